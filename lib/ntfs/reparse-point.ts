/** Reparse points: what a name stands for when it is not just a file or a directory. spec-notes/ntfs.md, Reparse points. */
import { guid } from '../binary/fields.ts'
import { formatError, hex } from '../errors.ts'
import type { EntryKind } from '../volume/entry.ts'
import type { ReparseDetails } from '../volume/files.ts'
import {
  AttributeType,
  mountPointData,
  reparsePointHeader,
  SymbolicLinkFlag,
  symbolicLinkFlags,
  wofData,
} from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'
import { isMicrosoftTag, isNameSurrogate, ReparseTag, tagName } from './reparse-tag.ts'

/** MAXIMUM_REPARSE_DATA_BUFFER_SIZE of [MS-FSCC]: the header counts. */
const MAX_SIZE = 16 * 1024

/** The value of a $REPARSE_POINT attribute. */
export interface ReparsePoint {
  readonly tag: number
  /** Of tags that are not Microsoft's: whose it is. */
  readonly guid: string | undefined
  readonly data: Buffer
  /** Where the value lies on the volume, for error messages. */
  readonly position: number
}

/** Decodes the value of a $REPARSE_POINT that lies at byte `position`. Throws FormatError (NTFS_REPARSE_POINT, TRUNCATED). */
export function decodeReparsePoint(value: Buffer, position: number): ReparsePoint {
  const { tag, dataLength } = reparsePointHeader.decode(value, 0, position)
  const dataAt = reparsePointHeader.size + (isMicrosoftTag(tag) ? 0 : guid.span)
  if (dataAt + dataLength > Math.min(value.length, MAX_SIZE)) {
    throw damaged(position, 'dataLength', `at most ${Math.min(value.length, MAX_SIZE) - dataAt}`, dataLength)
  }
  return {
    tag,
    guid: isMicrosoftTag(tag) ? undefined : guid.decode(value, reparsePointHeader.size),
    data: value.subarray(dataAt, dataAt + dataLength),
    position,
  }
}

/** The reparse point of a file or directory, if it is one. Throws FormatError (NTFS_REPARSE_POINT, NTFS_RUN_LIST, TRUNCATED). */
export async function readReparsePoint(file: NtfsFile): Promise<ReparsePoint | undefined> {
  const reader = file.reader(AttributeType.reparsePoint)
  if (reader === undefined) return undefined
  const position = reader.positionOf(0) ?? file.find(AttributeType.reparsePoint)[0]!.position
  if (reader.size > MAX_SIZE) throw damaged(position, 'size', `at most ${MAX_SIZE}`, reader.size)
  const value = Buffer.alloc(reader.size)
  await reader.read(0, value)
  return decodeReparsePoint(value, position)
}

/** What it makes of a file or directory; undefined when that stays what it is. Throws FormatError (TRUNCATED). */
export function kindOfReparsePoint(point: ReparsePoint): EntryKind | undefined {
  switch (point.tag) {
    case ReparseTag.mountPoint:
    case ReparseTag.symbolicLink:
    case ReparseTag.lxSymbolicLink:
      return 'link'
    case ReparseTag.nfs:
      return nfsType(point) === 'LNK' ? 'link' : 'other'
    case ReparseTag.unixSocket:
    case ReparseTag.lxFifo:
    case ReparseTag.lxCharacterDevice:
    case ReparseTag.lxBlockDevice:
      return 'other'
    default:
      return isNameSurrogate(point.tag) ? 'other' : undefined
  }
}

/** Where a link points, as Windows shows it; undefined for what is no link. Throws FormatError (NTFS_REPARSE_POINT, TRUNCATED). */
export function linkTarget(point: ReparsePoint): string | undefined {
  switch (point.tag) {
    case ReparseTag.mountPoint:
    case ReparseTag.symbolicLink: {
      const { printName, substituteName } = linkNames(point)
      return printName === '' ? substituteName.replace(/^\\\?\?\\/, '') : printName
    }
    case ReparseTag.lxSymbolicLink:
      // A version, which is 2, comes first.
      return point.data.toString('utf8', 4)
    case ReparseTag.nfs:
      return nfsType(point) === 'LNK' ? point.data.toString('utf16le', 8) : undefined
    default:
      return undefined
  }
}

/** What a WOF file's reparse point says. Throws FormatError (TRUNCATED). */
export const wofOf = ({ data, position }: ReparsePoint) => wofData.decode(data, 0, position + reparsePointHeader.size)

/** What there is to know of it. Throws FormatError (NTFS_REPARSE_POINT, TRUNCATED). */
export const describeReparsePoint = (point: ReparsePoint): ReparseDetails => ({
  tag: point.tag,
  tagName: tagName(point.tag) ?? hex(point.tag),
  facts: factsOf(point),
})

function factsOf(point: ReparsePoint): Readonly<Record<string, string | number>> {
  switch (point.tag) {
    case ReparseTag.mountPoint:
      return linkNames(point)
    case ReparseTag.symbolicLink: {
      const { flags } = symbolicLinkFlags.decode(point.data, mountPointData.size, point.position)
      return { ...linkNames(point), relative: flags & SymbolicLinkFlag.relative ? 'yes' : 'no' }
    }
    case ReparseTag.lxSymbolicLink:
      return { target: linkTarget(point)! }
    case ReparseTag.nfs:
      return { type: nfsType(point) }
    case ReparseTag.wof: {
      const { provider, format } = wofOf(point)
      return { provider, format }
    }
    case ReparseTag.appExecLink: {
      // A version, then strings that each end with a zero.
      const [packageId = '', entryPoint = '', target = ''] = point.data.toString('utf16le', 4).split('\0')
      return { packageId, entryPoint, target }
    }
    default:
      return { ...(point.guid !== undefined && { guid: point.guid }), dataLength: point.data.length }
  }
}

/** Letters such as LNK, FIFO or CHR; the kind fills 8 bytes, and LNK has a 1 behind. */
function nfsType({ data, position }: ReparsePoint): string {
  if (data.length < 8) throw damaged(position, 'type', '8 bytes', data.length)
  return data.toString('latin1', 0, 4).replace(/[^A-Z]/g, '')
}

/** The two names of a mount point or a symbolic link. */
function linkNames({ tag, data, position }: ReparsePoint) {
  const fields = mountPointData.decode(data, 0, position + reparsePointHeader.size)
  const namesAt = mountPointData.size + (tag === ReparseTag.symbolicLink ? symbolicLinkFlags.size : 0)
  const nameAt = (field: string, offset: number, length: number): string => {
    const end = namesAt + offset + length
    if (end > data.length) throw damaged(position, field, `a name of ${data.length} bytes of data`, end)
    return data.toString('utf16le', namesAt + offset, end)
  }
  return {
    substituteName: nameAt('substituteName', fields.substituteOffset, fields.substituteLength),
    printName: nameAt('printName', fields.printOffset, fields.printLength),
  }
}

const damaged = (position: number, field: string, expected: string, actual: number) =>
  formatError('NTFS_REPARSE_POINT', {
    structure: reparsePointHeader.name,
    field,
    position,
    expected,
    actual: `${actual}`,
  })
