/** Content that cannot be had from the volume, by name: never zeros instead. spec-notes/ntfs.md, Undecodable content. */
import { hex, UnsupportedError } from '../errors.ts'
import { FileAttribute } from '../volume/entry.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { AttributeFlag, WofProvider } from './format.ts'
import { type ReparsePoint, wofOf } from './reparse-point.ts'
import { isCloudTag, isNameSurrogate, ReparseTag, tagName } from './reparse-tag.ts'
import { wofFormats } from './wof-reader.ts'

/** What a stream's own attribute and its file say of it: enough to know whether it can be read, without reading it. */
export interface StreamFacts {
  /** '' for the content of the file: what the file is stands for that one only. */
  readonly name: string
  /** Attribute flags of the extent with VCN 0. */
  readonly flags: number
  /** Bytes. */
  readonly size: number
  /** Whether it is neither in the record nor in any cluster. */
  readonly isHole: boolean
  /** Whether some of what was written is in no cluster. */
  readonly hasHole: boolean
  /** FILE_ATTRIBUTE bits of the file, from $STANDARD_INFORMATION. */
  readonly fileAttributes: number
  readonly reparsePoint: ReparsePoint | undefined
  /** Set when the capture left the content of this file out. */
  readonly leftOut: LeftOut | undefined
}

const LZNT1 = 1

/** Cloud files that are not on the disk say so in bits; FILE_ATTRIBUTE_RECALL_ON_OPEN is not among them, for it also means extended attributes. */
const AWAY = FileAttribute.offline | FileAttribute.recallOnDataAccess

/**
 * Why the stream cannot be read; undefined when it can, as far as these facts go. The codes: LEFT_OUT, NTFS_ENCRYPTED,
 * NTFS_COMPRESSION_UNKNOWN, NTFS_DEDUPLICATED, NTFS_CLOUD_PLACEHOLDER, NTFS_WIM_BACKED, NTFS_WOF_UNKNOWN, NTFS_HSM,
 * NTFS_SINGLE_INSTANCE, NTFS_PLACEHOLDER. Throws FormatError (TRUNCATED) when the reparse point is damaged.
 */
export function whyUndecodable(facts: StreamFacts): UnsupportedError | undefined {
  const { name, flags, leftOut, reparsePoint } = facts
  if (leftOut !== undefined && name === '') {
    return new UnsupportedError(
      'LEFT_OUT',
      `the content was left out when the volume was captured (${leftOut.reason})`,
      {
        reason: leftOut.reason,
      },
    )
  }
  if ((flags & AttributeFlag.encrypted) !== 0) {
    return new UnsupportedError('NTFS_ENCRYPTED', 'the content is encrypted (EFS), and only its owner has the key')
  }
  const method = flags & AttributeFlag.compressionMask
  if (method > LZNT1) {
    return new UnsupportedError('NTFS_COMPRESSION_UNKNOWN', `the content is compressed by the unknown method ${method}`)
  }
  if (name !== '' || facts.size === 0 || reparsePoint === undefined) return undefined
  return whyReplaced(reparsePoint, facts)
}

/** Why the reparse point stands for content that is elsewhere. */
function whyReplaced(
  point: ReparsePoint,
  { isHole, hasHole, fileAttributes }: StreamFacts,
): UnsupportedError | undefined {
  const refuse = (code: string, message: string) =>
    new UnsupportedError(code, message, { tag: point.tag, tagName: tagName(point.tag) })
  const away = isHole || (fileAttributes & AWAY) !== 0
  switch (point.tag) {
    case ReparseTag.wof:
      return whyNotWof(point)
    case ReparseTag.dedup:
      return refuse('NTFS_DEDUPLICATED', 'the content is deduplicated: it lies in pieces in System Volume Information')
    case ReparseTag.singleInstance:
      return refuse('NTFS_SINGLE_INSTANCE', 'the content is in the SIS Common Store (single-instance storage)')
    case ReparseTag.wim:
      return refuse('NTFS_WIM_BACKED', 'the content is in a WIM file that was mounted here')
    case ReparseTag.hsm:
    case ReparseTag.hsm2:
      return away || hasHole
        ? refuse('NTFS_HSM', 'the content was moved to other storage (hierarchical storage)')
        : undefined
  }
  if (isCloudTag(point.tag) || CLOUD_TAGS.has(point.tag)) {
    if (away) {
      return refuse('NTFS_CLOUD_PLACEHOLDER', 'the content is in the cloud only: the file was not kept on this device')
    }
    if (!hasHole) return undefined
    return refuse('NTFS_CLOUD_PLACEHOLDER', 'parts of the content are in the cloud only: holes stand for them here')
  }
  if (!away || isNameSurrogate(point.tag)) return undefined
  const tag = tagName(point.tag) ?? hex(point.tag)
  return refuse('NTFS_PLACEHOLDER', `the content is not here: the reparse point ${tag} stands for it`)
}

const CLOUD_TAGS: ReadonlySet<number> = new Set([ReparseTag.oneDrive, ReparseTag.storageSync, ReparseTag.projFs])

function whyNotWof(point: ReparsePoint): UnsupportedError | undefined {
  const { provider, format } = wofOf(point)
  if (provider === WofProvider.wim) {
    return new UnsupportedError('NTFS_WIM_BACKED', 'the content is in a WIM file elsewhere (WIMBoot)')
  }
  if (provider === WofProvider.file && wofFormats[format] !== undefined) return undefined
  const message = `the content is compressed (WOF) by provider ${provider} and format ${format}, which are not known`
  return new UnsupportedError('NTFS_WOF_UNKNOWN', message, { provider, format })
}
