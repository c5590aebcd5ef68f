/** The attributes of one file record. spec-notes/ntfs.md, Attribute header. */
import { type FormatError, formatError, hex } from '../errors.ts'
import {
  AttributeFlag,
  AttributeType,
  attributeHeader,
  attributeSizes,
  nonResidentHeader,
  residentHeader,
} from './format.ts'
import { RunCursor, type RunList } from './run-list.ts'

interface AttributeCommon {
  readonly type: number
  /** Empty for most; a stream's or an index's name. */
  readonly name: string
  readonly flags: number
  /** Where the attribute lies on the volume, for error messages. */
  readonly position: number
}

export interface ResidentAttribute extends AttributeCommon {
  readonly resident: true
  readonly value: Buffer
}

/** Clusters `lowestVcn` to `highestVcn` of an attribute whose content lies outside of the record. */
export interface AttributeExtent extends AttributeCommon {
  readonly resident: false
  readonly lowestVcn: number
  readonly highestVcn: number
  /** The power of two of clusters that are compressed together. Set on sparse attributes too. */
  readonly compressionUnit: number
  /** Bytes; zeros unless `lowestVcn` is 0, for only that extent has them. */
  readonly allocatedSize: number
  readonly dataSize: number
  readonly initializedSize: number
  readonly mappingPairs: Buffer
}

export type Attribute = ResidentAttribute | AttributeExtent

/** LZNT1 or a method unknown. The compression unit is set on sparse files too, and decides nothing. */
export const isCompressed = (attribute: Attribute) => (attribute.flags & AttributeFlag.compressionMask) !== 0
export const isEncrypted = (attribute: Attribute) => (attribute.flags & AttributeFlag.encrypted) !== 0

/**
 * The attributes in `record` from byte `start` to `end`. `position`: where the record lies on the volume.
 * Throws FormatError (NTFS_ATTRIBUTE, NUMBER_TOO_LARGE).
 */
export function decodeAttributes(record: Buffer, start: number, end: number, position: number): Attribute[] {
  const attributes: Attribute[] = []
  for (let at = start; at + 4 <= end; ) {
    if (record.readUInt32LE(at) === AttributeType.end) return attributes
    const { attribute, length } = decodeAttribute(record, at, end, position)
    attributes.push(attribute)
    at += length
  }
  throw formatError('NTFS_ATTRIBUTE', {
    structure: 'NTFS attributes of a record',
    position: position + start,
    expected: 'ended by a mark',
    actual: `without one up to byte ${hex(position + end)}`,
  })
}

function decodeAttribute(record: Buffer, at: number, end: number, position: number) {
  const header = attributeHeader.decode(record.subarray(0, end), at, position)
  const { type, length, flags } = header
  const fits = (offset: number, size: number) => offset + size <= length
  const problem = (field: string, expected: string, actual: number): FormatError =>
    formatError('NTFS_ATTRIBUTE', {
      structure: `NTFS attribute ${hex(type)}`,
      field,
      position: position + at,
      expected,
      actual: `${actual}`,
    })

  const least = attributeHeader.size + (header.nonResident ? nonResidentHeader.size + attributeSizes.size : 8)
  if (length % 8 !== 0 || length < least || length > end - at) {
    throw problem('length', `a multiple of 8 from ${least} to ${end - at}`, length)
  }
  if (!fits(header.nameOffset, 2 * header.nameLength)) throw problem('nameOffset', 'a name inside', header.nameOffset)
  const name = record.toString('utf16le', at + header.nameOffset, at + header.nameOffset + 2 * header.nameLength)
  const common = { type, name, flags, position: position + at }
  const body = at + attributeHeader.size

  if (header.nonResident === 0) {
    const { valueOffset, valueLength } = residentHeader.decode(record, body, position)
    if (!fits(valueOffset, valueLength)) throw problem('valueLength', 'a value inside', valueLength)
    const value = record.subarray(at + valueOffset, at + valueOffset + valueLength)
    return { attribute: { ...common, resident: true, value } as const, length }
  }

  const { lowestVcn, highestVcn, runListOffset, compressionUnit } = nonResidentHeader.decode(record, body, position)
  if (!(lowestVcn >= 0 && highestVcn >= lowestVcn - 1 && Number.isSafeInteger(highestVcn + 1))) {
    throw problem('highestVcn', `at least ${lowestVcn - 1}`, highestVcn)
  }
  if (runListOffset < least || runListOffset > length) throw problem('runListOffset', 'a runlist inside', runListOffset)
  const sizes =
    lowestVcn === 0
      ? attributeSizes.decode(record, body + nonResidentHeader.size, position)
      : { allocatedSize: 0, dataSize: 0, initializedSize: 0 }
  const mappingPairs = record.subarray(at + runListOffset, at + length)
  const extent = { lowestVcn, highestVcn, compressionUnit, ...sizes, mappingPairs }
  return { attribute: { ...common, resident: false, ...extent } as const, length }
}

/**
 * Appends the runs of `extent` to `runs`, which must end where it begins. `clusterCount`: clusters of the volume.
 * Throws FormatError (NTFS_RUN_LIST, NTFS_TOO_MANY_RUNS); `runs` then holds those before the bad one.
 */
export function appendExtent(runs: RunList, extent: AttributeExtent, clusterCount: number): void {
  const check = (holds: boolean, expected: string, actual: string) => {
    const structure = `runlist of NTFS attribute ${hex(extent.type)}`
    if (!holds) throw formatError('NTFS_RUN_LIST', { structure, position: extent.position, expected, actual })
  }
  const { lowestVcn, highestVcn, mappingPairs } = extent
  check(lowestVcn === runs.end, `one that begins with VCN ${runs.end}`, `one that begins with VCN ${lowestVcn}`)
  const cursor = new RunCursor(clusterCount)
  cursor.begin(mappingPairs, 0, mappingPairs.length, lowestVcn)
  while (cursor.next()) runs.append(cursor.lcn, cursor.length)
  check(cursor.problem === undefined, 'runs of clusters that exist', `${cursor.problem}`)
  check(runs.end === highestVcn + 1, `one that ends with VCN ${highestVcn}`, `one that ends with VCN ${runs.end - 1}`)
}
