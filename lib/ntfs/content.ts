/** The content of a stream as programs see it, whatever way NTFS stores it. spec-notes/ntfs.md, Undecodable content. */
import type { BlockDevice } from '../device/block-device.ts'
import { NotFoundError, UnsupportedError } from '../errors.ts'
import type { LeftOut } from '../volume/left-out.ts'
import type { AttributeReader } from './attribute-reader.ts'
import { AttributeType } from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'
import { readReparsePoint } from './reparse-point.ts'
import { ReparseTag } from './reparse-tag.ts'
import { type StreamFacts, whyUndecodable } from './undecodable.ts'

/** How `openContent` opens. */
export interface ContentOptions {
  /** An encrypted stream as it lies on the volume, instead of an error. */
  readonly raw?: boolean
  /** Set when the capture left the content of this file out. */
  readonly leftOut?: LeftOut | undefined
  /** FILE_ATTRIBUTE bits of the file, from $STANDARD_INFORMATION. */
  readonly fileAttributes: number
}

/**
 * The content of `file`, or of its stream `stream`, as a read-only device. It need not be closed.
 * Throws NotFoundError (NO_SUCH_STREAM), UnsupportedError with one of the codes of `whyUndecodable`, and FormatError for
 * damage; reading from it throws FormatError for what is damaged there.
 */
export async function openContent(file: NtfsFile, stream: string, options: ContentOptions): Promise<BlockDevice> {
  const [first] = file.find(AttributeType.data, stream)
  if (first === undefined) {
    throw new NotFoundError('NO_SUCH_STREAM', stream === '' ? 'it has no content' : `it has no stream '${stream}'`)
  }
  const reader = file.reader(AttributeType.data, stream)!
  const reparsePoint = stream === '' ? await readReparsePoint(file) : undefined
  const facts: StreamFacts = {
    name: stream,
    flags: first.flags,
    size: reader.size,
    isHole: isHole(reader),
    fileAttributes: options.fileAttributes,
    reparsePoint,
    leftOut: options.leftOut,
  }
  const reason = whyUndecodable(facts)
  if (reason !== undefined) throw reason
  if (reparsePoint?.tag === ReparseTag.wof) throw new UnsupportedError('NTFS_CODED_CONTENT', 'compressed by WOF')
  return reader
}

const isHole = ({ runs }: AttributeReader) => runs !== undefined && runs.clusterCount === 0
