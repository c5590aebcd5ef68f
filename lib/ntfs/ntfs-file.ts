/** A file: its base record with the records that extend it. spec-notes/ntfs.md, Attribute list. */
import { MiB } from '../binary/size.ts'
import { formatError, hex } from '../errors.ts'
import type { Attribute } from './attribute.ts'
import { readAttributeList } from './attribute-list.ts'
import { AttributeReader } from './attribute-reader.ts'
import { type FileRecord, unnamed } from './file-record.ts'
import { AttributeType, type FileReference } from './format.ts'
import type { Mft } from './mft.ts'

/** Bytes of the records of one file: more than all that a list of Windows' 256 KiB can name, in records of 4 KiB. */
const MAX_RECORDS_SIZE = 64 * MiB

export class NtfsFile {
  readonly base: FileRecord
  /** The base record and those that extend it. */
  readonly records: readonly FileRecord[]
  /** Those of the base record and of all records that extend it. */
  readonly attributes: readonly Attribute[]
  readonly mft: Mft

  private constructor(mft: Mft, base: FileRecord, extensions: readonly FileRecord[]) {
    this.mft = mft
    this.base = base
    this.records = [base, ...extensions]
    // A list in an extension record would lead in circles, and is none.
    const extending = extensions.flatMap(({ attributes }) => attributes.filter(({ type }) => !isList(type)))
    this.attributes = [...base.attributes, ...extending]
  }

  /**
   * Opens the file whose base record is `reference`, with all of its attributes.
   * Throws FormatError: NTFS_STALE_REFERENCE, NTFS_MISPLACED_RECORD, NTFS_ATTRIBUTE_LIST, and what damaged records throw.
   */
  static async open(mft: Mft, reference: FileReference): Promise<NtfsFile> {
    const base = await mft.record(reference)
    if (base.base !== undefined) throw misplaced(base, 'the base record of a file')
    const list = unnamed(base, AttributeType.attributeList)
    if (list === undefined) return new NtfsFile(mft, base, [])
    const entries = await readAttributeList(mft.volume, mft.geometry, list)
    const references = new Map(entries.map(entry => [entry.reference.record, entry.reference]))
    references.delete(base.number)
    checkCount(references.size, list, mft.geometry.recordSize)
    const extensions: FileRecord[] = []
    for (const reference of references.values()) {
      const record = await mft.record(reference)
      if (record.base?.record !== base.number) throw misplaced(record, `a part of file ${base.number}, which lists it`)
      extensions.push(record)
    }
    return new NtfsFile(mft, base, extensions)
  }

  /** The resident attribute, or the extents, of a type and name. */
  find(type: number, name = ''): Attribute[] {
    return this.attributes.filter(attribute => attribute.type === type && attribute.name === name)
  }

  /** The content of an attribute; undefined when the file has none such. Throws FormatError (NTFS_RUN_LIST, NTFS_ATTRIBUTE). */
  reader(type: number, name = ''): AttributeReader | undefined {
    const [first, ...rest] = this.find(type, name)
    const second = rest.length === 0 ? undefined : [first!, ...rest].find(({ resident }) => resident)
    if (second !== undefined) throw twice(second)
    return first === undefined ? undefined : new AttributeReader(this.mft.volume, this.mft.geometry, [first, ...rest])
  }
}

const isList = (type: number) => type === AttributeType.attributeList

/** Throws FormatError (NTFS_ATTRIBUTE_LIST) when `count` records of `recordSize` bytes are too much to hold. */
function checkCount(count: number, { position }: Attribute, recordSize: number): void {
  const most = MAX_RECORDS_SIZE / recordSize
  if (count <= most) return
  const [expected, actual] = [`one of attributes in at most ${most} records`, `one that names ${count}`]
  throw formatError('NTFS_ATTRIBUTE_LIST', { structure: 'NTFS attribute list', position, expected, actual })
}

const twice = ({ type, position }: Attribute) =>
  formatError('NTFS_ATTRIBUTE', {
    structure: `NTFS attribute ${hex(type)}`,
    position,
    expected: 'the only one of its kind and name',
    actual: 'one of several, of which it is not known which counts',
  })

const misplaced = ({ number, position, base }: FileRecord, expected: string) =>
  formatError('NTFS_MISPLACED_RECORD', {
    structure: `NTFS file record ${number}`,
    field: 'base',
    position,
    expected,
    actual: base === undefined ? 'a base record' : `a part of file ${base.record}`,
  })
