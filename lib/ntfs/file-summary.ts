/** What a list shows of a file, gathered from its records where they lie. spec-notes/ntfs.md, File summary. */
import { FileAttribute, type NamedStream } from '../volume/entry.ts'
import { shownName } from '../volume/path.ts'
import type { Geometry } from './boot-sector.ts'
import { FIXUP_OFFSET_WITH_NUMBER } from './file-record.ts'
import { AttributeType, type FileReference, fileNameHeader, Namespace, RecordFlag } from './format.ts'
import { INTERIX_MARK, INTERIX_MARK_SIZE } from './interix.ts'
import { isFramed, type RecordBytes } from './record-bytes.ts'
import { ReparseTag } from './reparse-tag.ts'
import { StreamSummary } from './stream-summary.ts'
import { WOF_STREAM } from './wof-reader.ts'

/** Files whose times are kept in one piece of memory. */
const TIMES_CHUNK = 512
/** Created, modified, record changed, accessed: as $STANDARD_INFORMATION has them. */
export const TIMES_PER_FILE = 4

/** Set in the attributes that $FILE_NAME has, for a directory. */
const DIRECTORY_FLAG = 0x1000_0000

/**
 * One file after the other: `begin` with its base record, `add` each record of it, then take what it says. One summary
 * serves millions of files, so nothing is made but names and what few files have.
 */
export class FileSummary {
  number = 0
  sequence = 0
  isDirectory = false
  /** FILE_ATTRIBUTE bits. */
  attributes = 0
  readonly streams: StreamSummary
  /** The names that are no short ones, and the directory that each is in: so many of each, and what the last file had behind them. */
  nameCount = 0
  readonly names: string[] = []
  readonly parents: number[] = []
  readonly parentSequences: number[] = []
  /** The value of the reparse point. Lies in the record: look at it before the next one is begun. */
  reparsePoint: Buffer | undefined
  /** The content, where it begins as that of links and devices of Interix does. Lies in the record, too. */
  interix: Buffer | undefined
  /** Whether more of it lies elsewhere: it has an attribute list, or a reparse point outside of its record. */
  isPartial = false
  /** What is wrong with its attributes; those before it count. */
  problem: string | undefined
  /** Four times of this file from `timesAt`, which stay as they are. */
  times = new BigUint64Array(0)
  timesAt = 0
  #timeHalves = new Uint32Array(0)
  readonly #recordSize: number

  constructor(geometry: Geometry) {
    this.#recordSize = geometry.recordSize
    this.streams = new StreamSummary(geometry)
  }

  get #isWof(): boolean {
    return (
      this.reparsePoint !== undefined &&
      this.reparsePoint.length >= 4 &&
      this.reparsePoint.readUInt32LE() === ReparseTag.wof
    )
  }

  /** The named streams but for the one that Windows keeps compressed content in, and shows to nobody. */
  get shownStreams(): readonly NamedStream[] {
    const { named } = this.streams
    return this.#isWof ? named.filter(({ name }) => name !== WOF_STREAM) : named
  }

  /** Byte of the volume where the content begins; undefined where it has no clusters. */
  get position(): number | undefined {
    return this.streams.positionOf(this.#isWof)
  }

  /** Whether the content is nothing but the bytes from `position` on. */
  get isContiguous(): boolean {
    return this.streams.isContiguous && this.reparsePoint === undefined && !this.isPartial && this.problem === undefined
  }

  /** Begins the file whose record `number` is at `at`. False when that extends another, which alone lists it. */
  begin({ view }: RecordBytes, at: number, number: number): boolean {
    if (view.getUint32(at + 0x20, true) !== 0 || view.getUint32(at + 0x24, true) !== 0) return false
    this.#reset()
    this.number = number
    this.sequence = view.getUint16(at + 0x10, true)
    this.isDirectory = (view.getUint16(at + 0x16, true) & RecordFlag.directory) !== 0
    const ownNumber = view.getUint16(at + 4, true) >= FIXUP_OFFSET_WITH_NUMBER ? view.getUint32(at + 0x2c, true) : 0
    if (ownNumber !== 0 && ownNumber !== number) this.problem = `the number ${ownNumber} of another record`
    return true
  }

  #reset(): void {
    this.attributes = 0
    this.streams.begin()
    this.nameCount = 0
    this.reparsePoint = undefined
    this.interix = undefined
    this.isPartial = false
    this.problem = undefined
    this.timesAt += TIMES_PER_FILE
    if (this.timesAt >= this.times.length) {
      this.times = new BigUint64Array(TIMES_CHUNK * TIMES_PER_FILE)
      this.#timeHalves = new Uint32Array(this.times.buffer)
      this.timesAt = 0
    }
  }

  /** A directory of which nothing is known. */
  beginUnknown({ record, sequence }: FileReference): void {
    this.#reset()
    this.number = record
    this.sequence = sequence
    this.isDirectory = true
  }

  /** Takes what a directory says of a file, where its record does not tell. `value`: a $FILE_NAME, whose copies may be old. */
  beginFromName({ record, sequence }: FileReference, value: Buffer, position: number): void {
    const name = fileNameHeader.decode(value, 0, position)
    this.beginUnknown({ record, sequence })
    this.isDirectory = (name.attributes & DIRECTORY_FLAG) !== 0
    this.attributes = name.attributes
    this.streams.size = sizeOrNone(name.dataSize)
    this.streams.allocatedSize = sizeOrNone(name.allocatedSize)
    const { created, modified, recordChanged, accessed } = name
    this.times.set([created, modified, recordChanged, accessed], this.timesAt)
  }

  /** Adds what the record at `at` says. Millions of records pass here, so it reads the bytes where they are. */
  add(records: RecordBytes, at: number): void {
    const { view } = records
    const used = view.getUint32(at + 0x18, true)
    const start = view.getUint16(at + 0x14, true)
    const isSound = start % 8 === 0 && start >= 42 && start <= used && used <= this.#recordSize
    if (!isSound || view.getUint32(at + 0x1c, true) !== this.#recordSize) {
      this.problem = `attributes from byte ${start} to ${used} of ${view.getUint32(at + 0x1c, true)}`
      return
    }
    const end = at + used
    for (let attribute = at + start; ; ) {
      const type = attribute + 4 <= end ? view.getUint32(attribute, true) : undefined
      if (type === AttributeType.end) return
      if (type === undefined || attribute + 16 > end) {
        this.problem = `attributes without an end, up to byte ${attribute - at}`
        return
      }
      const length = view.getUint32(attribute + 4, true)
      const isResident = view.getUint8(attribute + 8) === 0
      if (length % 8 !== 0 || length < (isResident ? 24 : 64) || attribute + length > end) {
        this.problem = `an attribute of ${length} bytes at byte ${attribute - at}`
        return
      }
      if (!isFramed(view, attribute, length, isResident)) {
        this.problem = `a name, a value or clusters that are not in their attribute at byte ${attribute - at}`
        return
      }
      const next = attribute + length
      if (type === AttributeType.data && !isResident) {
        this.problem = this.streams.addExtent(records, attribute, next) ?? this.problem
      } else if (type === AttributeType.attributeList) this.isPartial = true
      else if (!isResident) this.isPartial ||= type === AttributeType.reparsePoint
      else if (!this.#addResident(records, attribute, type)) {
        this.problem = `a file name that is cut off at byte ${attribute - at}`
      }
      attribute = next
    }
  }

  /** False for a file name that its value does not hold. */
  #addResident(records: RecordBytes, attribute: number, type: number): boolean {
    const { view } = records
    const length = view.getUint32(attribute + 0x10, true)
    const value = attribute + view.getUint16(attribute + 0x14, true)
    const end = value + length
    if (type === AttributeType.standardInformation && length >= 0x30) {
      // In halves: no bigint is made unless somebody asks for one.
      const half = 2 * this.timesAt
      for (let i = 0; i < 2 * TIMES_PER_FILE; i++) this.#timeHalves[half + i] = view.getUint32(value + 4 * i, true)
      this.attributes = view.getUint32(value + 0x20, true)
    } else if (type === AttributeType.fileName) {
      return this.#addName(records, value, end)
    } else if (type === AttributeType.data) {
      this.problem = this.streams.addResident(records, attribute, length) ?? this.problem
      if ((this.attributes & FileAttribute.system) !== 0) this.#noteInterix(records, attribute, value, end)
    } else if (type === AttributeType.reparsePoint) {
      this.reparsePoint = records.bytes.subarray(value, end)
    }
    return true
  }

  #addName({ bytes, view }: RecordBytes, value: number, end: number): boolean {
    const name = value + 66
    if (name > end) return false
    const nameEnd = name + 2 * view.getUint8(value + 0x40)
    if (nameEnd > end || nameEnd === name) return false
    if (view.getUint8(value + 0x41) === Namespace.dos) return true
    const index = this.nameCount++
    this.parents[index] = view.getUint32(value, true) + view.getUint16(value + 4, true) * 2 ** 32
    this.parentSequences[index] = view.getUint16(value + 6, true)
    this.names[index] = shownName(bytes.toString('utf16le', name, nameEnd))
    return true
  }

  #noteInterix({ bytes, view }: RecordBytes, attribute: number, value: number, end: number): void {
    const isUnnamed = view.getUint8(attribute + 9) === 0
    const isMarked = value + INTERIX_MARK_SIZE <= end && view.getUint32(value, true) === INTERIX_MARK
    if (isUnnamed && isMarked) this.interix = bytes.subarray(value, end)
  }
}

/** A copy of a size, which nothing depends on. */
const sizeOrNone = (size: bigint) => (size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : 0)
