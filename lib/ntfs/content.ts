/** The content of a stream as programs see it, whatever way NTFS stores it. spec-notes/ntfs.md, Undecodable content. */
import { KiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { FormatError, NotFoundError } from '../errors.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { type Attribute, type AttributeExtent, isCompressed } from './attribute.ts'
import { CompressedReader } from './compressed-reader.ts'
import { encryptedBytes } from './encrypted-bytes.ts'
import { AttributeType } from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'
import { type ReparsePoint, readReparsePoint, wofOf } from './reparse-point.ts'
import { ReparseTag } from './reparse-tag.ts'
import { whyUndecodable } from './undecodable.ts'
import { WOF_STREAM, WofReader, wofFormats } from './wof-reader.ts'

/** Decoded content that is kept of an open stream. Reads of more than a quarter of it go by the cache. */
const CACHE_SIZE = 256 * KiB

/** How `openContent` opens. */
export interface ContentOptions {
  /** Of the file, for people. */
  readonly path: string
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
  const { volume, geometry } = file.mft
  const reader = file.reader(AttributeType.data, stream)
  if (reader === undefined) {
    const { path } = options
    const message = stream === '' ? `${path} has no content` : `${path} has no stream '${stream}'`
    throw new NotFoundError('NO_SUCH_STREAM', message, { path, stream })
  }
  const [first, ...rest] = inOrder(file.find(AttributeType.data, stream))
  const reparsePoint = stream === '' ? await readReparsePoint(file) : undefined
  const reason = whyUndecodable({
    name: stream,
    flags: first.flags,
    size: reader.size,
    isHole: reader.runs?.clusterCount === 0,
    hasHole: reparsePoint !== undefined && !isCompressed(first) && reader.hasHole,
    fileAttributes: options.fileAttributes,
    reparsePoint,
    leftOut: options.leftOut,
  })
  if (options.raw && reason?.code === 'NTFS_ENCRYPTED') return encryptedBytes(volume, geometry, [first, ...rest])
  if (reason !== undefined) throw reason
  if (reparsePoint?.tag === ReparseTag.wof) return openWof(file, reader.size, reparsePoint)
  if (first.resident || !isCompressed(first)) return reader
  const unpacked = new CompressedReader(volume, geometry, [first, ...(rest as AttributeExtent[])])
  return new CachedDevice(unpacked, { chunkSize: unpacked.unitSize, capacity: Math.max(CACHE_SIZE, unpacked.unitSize) })
}

/** The one with VCN 0 first: it alone has the sizes and flags of all. */
function inOrder(attributes: readonly Attribute[]): [Attribute, ...Attribute[]] {
  const vcnOf = (attribute: Attribute) => (attribute.resident ? 0 : attribute.lowestVcn)
  return [...attributes].sort((a, b) => vcnOf(a) - vcnOf(b)) as [Attribute, ...Attribute[]]
}

/** `size`: bytes of the content. The format is known. */
function openWof(file: NtfsFile, size: number, point: ReparsePoint): BlockDevice {
  const stream = file.reader(AttributeType.data, WOF_STREAM)
  if (stream === undefined) {
    const message = `file record ${file.base.number} is marked as compressed (WOF), but it has no stream ${WOF_STREAM}`
    throw new FormatError('NTFS_WOF_STREAM', message, { record: file.base.number, position: point.position })
  }
  const unpacked = new WofReader(stream, size, wofFormats[wofOf(point).format]!)
  return new CachedDevice(unpacked, { chunkSize: unpacked.format.chunkSize, capacity: CACHE_SIZE })
}
