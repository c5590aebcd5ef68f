/** File records, of which the $MFT is made. spec-notes/ntfs.md, File record. */
import { formatError } from '../errors.ts'
import { type Attribute, decodeAttributes } from './attribute.ts'
import { applyFixup } from './fixup.ts'
import { type FileReference, fileRecordHeader, RecordFlag } from './format.ts'

/** One record: a file, or a part of one whose base record it names. */
export interface FileRecord {
  readonly number: number
  readonly sequence: number
  readonly inUse: boolean
  readonly directory: boolean
  /** The record this one extends; undefined for a base record. */
  readonly base: FileReference | undefined
  readonly linkCount: number
  readonly attributes: readonly Attribute[]
  /** The whole record, its update sequence put back in place. */
  readonly bytes: Buffer
  /** Absolute byte on the volume. */
  readonly position: number
}

/** Where the update sequence begins at this byte or later, the record holds its own number. */
export const FIXUP_OFFSET_WITH_NUMBER = 48

/**
 * Decodes record `number` from `record`, whose update sequence is put back in place. `position`: absolute byte.
 * Throws FormatError (NTFS_FILE_RECORD, NTFS_ATTRIBUTE, BAD_CONSTANT, NUMBER_TOO_LARGE).
 */
export function decodeFileRecord(record: Buffer, number: number, position: number): FileRecord {
  const check = (holds: boolean, field: string | undefined, expected: string, actual: string) => {
    if (holds) return
    const structure = `NTFS file record ${number}`
    const named = field === undefined ? { structure } : { structure, field }
    throw formatError('NTFS_FILE_RECORD', { ...named, position, expected, actual })
  }
  const header = fileRecordHeader.decode(record, 0, position)
  const torn = applyFixup(record, 0, record.length)
  check(torn === undefined, undefined, 'written whole', `${torn}`)

  const { attributesOffset, bytesUsed, bytesAllocated, base, fixupOffset, flags } = header
  check(bytesAllocated === record.length, 'bytesAllocated', `${record.length}`, `${bytesAllocated}`)
  check(bytesUsed <= record.length, 'bytesUsed', `at most ${record.length}`, `${bytesUsed}`)
  const start = attributesOffset
  check(start % 8 === 0 && start >= 42 && start <= bytesUsed, 'attributesOffset', 'inside the record', `${start}`)
  const ownNumber = fixupOffset >= FIXUP_OFFSET_WITH_NUMBER ? header.number : 0
  check(ownNumber === 0 || ownNumber === number, 'number', `${number}`, `${ownNumber}`)

  return {
    number,
    sequence: header.sequence,
    inUse: (flags & RecordFlag.inUse) !== 0,
    directory: (flags & RecordFlag.directory) !== 0,
    base: base.record === 0 && base.sequence === 0 ? undefined : base,
    linkCount: header.linkCount,
    attributes: decodeAttributes(record, start, bytesUsed, position),
    bytes: record,
    position,
  }
}

/** The first attribute of a type with no name. */
export const unnamed = (record: FileRecord, type: number): Attribute | undefined =>
  record.attributes.find(attribute => attribute.type === type && attribute.name === '')
