/**
 * The log, [MS-VHDX] 2.3: its valid entries, the sequence of them that has to be replayed, and what each of them writes.
 * Nothing is replayed here.
 *
 * An entry is one sector with its header, perhaps more with descriptors, then data sectors. No other sector of an entry
 * starts like a header, so valid entries cannot overlap, and looking at each sector once is enough. That bounds the work
 * by the log's length whatever the log contains.
 */
import { crc32c } from '../binary/crc32c.ts'
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { FormatError } from '../errors.ts'
import {
  dataDescriptor,
  dataSector,
  LOG_DESCRIPTOR_SIZE,
  LOG_SECTOR_SIZE,
  type LogEntryHeader,
  logEntryHeader,
  zeroDescriptor,
} from './format.ts'

/** An entry whose every byte is as it should be. */
export interface LogEntry {
  /** Bytes from the start of the log. */
  readonly offset: number
  readonly header: LogEntryHeader
}

/** Entries that follow each other without a gap. */
export interface LogSequence {
  /** Where its entries start, in bytes from the start of the log. */
  readonly offsets: readonly number[]
  readonly last: LogEntry
}

/** Bytes of the file that an entry gives new content. */
export interface LogWrite extends Range {
  /** Absolute byte of the descriptor that says so. */
  readonly descriptor: number
  /** Absolute byte of the data sector with the content; undefined for zeros. */
  readonly sector: number | undefined
}

const CHUNK_SIZE = MiB

/** The ring of log sectors, read a MiB at a time. */
export class Log {
  readonly #file: BlockDevice
  readonly #log: Range
  readonly #chunk: Buffer = Buffer.alloc(CHUNK_SIZE)
  #chunkOffset = -1

  /** `log`, in bytes of `file`, must lie inside it and start and end at multiples of 1 MiB. */
  constructor(file: BlockDevice, log: Range) {
    this.#file = file
    this.#log = log
  }

  /** Every valid entry, of this session or an earlier one, in the order they lie in the log. */
  async *entries(): AsyncIterable<LogEntry> {
    for (let offset = 0; offset < this.#log.length; ) {
      const entry = await this.#entryAt(offset)
      if (entry !== undefined) yield entry
      offset += entry?.header.entryLength ?? LOG_SECTOR_SIZE
    }
  }

  /**
   * The valid sequence with the highest sequence number, [MS-VHDX] 2.3.3; undefined when there is none. A sequence is
   * valid when the tail of its last entry is one of its entries. All sequences that start inside a longer one end with
   * the same entry, so each sequence found is passed over whole.
   */
  async activeSequence(logGuid: string): Promise<LogSequence | undefined> {
    let active: LogSequence | undefined
    for (let start = 0, next = 0; ; start = next) {
      const sequence = await this.#sequenceFrom(start, logGuid)
      if (sequence?.offsets.includes(sequence.last.header.tail) && isNewer(sequence, active)) active = sequence
      next = sequence === undefined ? start + LOG_SECTOR_SIZE : this.#behind(sequence.last)
      if (next <= start || next >= this.#log.length) return active
    }
  }

  /** What the valid entry at `offset` writes, in its order, sector by sector of its descriptors. Nothing is checked of it. */
  async *writes(offset: number): AsyncIterable<readonly LogWrite[]> {
    const header = logEntryHeader.decode(await this.#sector(offset))
    const descriptorSectors = descriptorSectorsOf(header)
    let dataSector = descriptorSectors
    let left = header.descriptorCount
    for (let index = 0; index < descriptorSectors; index++) {
      const start = index === 0 ? logEntryHeader.size : 0
      const sectorOffset = this.#wrapped(offset + index * LOG_SECTOR_SIZE)
      const sector = await this.#sector(sectorOffset)
      const end = Math.min(LOG_SECTOR_SIZE, start + left * LOG_DESCRIPTOR_SIZE)
      left -= (end - start) / LOG_DESCRIPTOR_SIZE
      const writes: LogWrite[] = []
      for (let at = start; at < end; at += LOG_DESCRIPTOR_SIZE) {
        const isData = sector.readUInt32LE(at) === DATA_SIGNATURE
        writes.push({
          offset: numberAt(sector, at + FILE_OFFSET),
          length: isData ? LOG_SECTOR_SIZE : numberAt(sector, at + ZERO_LENGTH),
          descriptor: this.#log.offset + sectorOffset + at,
          sector: isData ? this.#log.offset + this.#wrapped(offset + dataSector++ * LOG_SECTOR_SIZE) : undefined,
        })
      }
      yield writes
    }
  }

  async #sequenceFrom(start: number, logGuid: string): Promise<LogSequence | undefined> {
    const offsets: number[] = []
    let last: LogEntry | undefined
    for (let offset = start; ; offset = this.#behind(last)) {
      const entry = await this.#entryAt(offset)
      const fits =
        entry?.header.logGuid === logGuid &&
        (last === undefined || entry.header.sequenceNumber === last.header.sequenceNumber + 1n)
      if (!fits) return last && { offsets, last }
      offsets.push(offset)
      last = entry
    }
  }

  #behind({ offset, header }: LogEntry): number {
    return this.#wrapped(offset + header.entryLength)
  }

  /** The ring goes on at its start. */
  #wrapped(offset: number): number {
    return offset % this.#log.length
  }

  /** The entry at `offset` if it is valid, [MS-VHDX] 2.3.1. It may go on at the start of the log. */
  async #entryAt(offset: number): Promise<LogEntry | undefined> {
    const first = await this.#sector(offset)
    const header = decodeHeader(first)
    if (header === undefined || !this.#isPlausible(header)) return undefined

    const checksumOffset = logEntryHeader.offsetOf('checksum')
    const withoutChecksum = Buffer.from(first)
    withoutChecksum.fill(0, checksumOffset, checksumOffset + 4)
    let crc = crc32c(withoutChecksum)
    let dataSectors = countData(first, logEntryHeader.size, header.descriptorCount, header.sequenceNumber)
    const descriptorSectors = descriptorSectorsOf(header)
    const sectors = header.entryLength / LOG_SECTOR_SIZE
    for (let index = 1; index < sectors && !Number.isNaN(dataSectors); index++) {
      const sector = await this.#sector(this.#wrapped(offset + index * LOG_SECTOR_SIZE))
      if (index < descriptorSectors) {
        const before = (index * LOG_SECTOR_SIZE - logEntryHeader.size) / LOG_DESCRIPTOR_SIZE
        dataSectors += countData(sector, 0, header.descriptorCount - before, header.sequenceNumber)
      } else if (!isDataSector(sector, header.sequenceNumber)) return undefined
      crc = crc32c(sector, crc)
    }
    const isWhole = sectors === descriptorSectors + dataSectors && crc === header.checksum
    return isWhole ? { offset, header } : undefined
  }

  #isPlausible({ entryLength, tail, sequenceNumber, ...header }: LogEntryHeader): boolean {
    return (
      entryLength % LOG_SECTOR_SIZE === 0 &&
      entryLength <= this.#log.length &&
      descriptorSectorsOf(header) * LOG_SECTOR_SIZE <= entryLength &&
      tail % LOG_SECTOR_SIZE === 0 &&
      tail < this.#log.length &&
      sequenceNumber > 0n
    )
  }

  /** Good until the next one is asked for. */
  async #sector(offset: number): Promise<Buffer> {
    const chunkOffset = offset - (offset % CHUNK_SIZE)
    if (chunkOffset !== this.#chunkOffset) {
      this.#chunkOffset = -1
      await this.#readChunk({ offset: this.#log.offset + chunkOffset, length: CHUNK_SIZE })
      this.#chunkOffset = chunkOffset
    }
    return this.#chunk.subarray(offset - chunkOffset, offset - chunkOffset + LOG_SECTOR_SIZE)
  }

  /** A log may be 4 GiB of hole, which costs a reader more than the file's maker. */
  async #readChunk(range: Range): Promise<void> {
    for await (const _ of this.#file.dataRanges(range)) return this.#file.read(range.offset, this.#chunk)
    this.#chunk.fill(0)
  }
}

const isNewer = (sequence: LogSequence, than: LogSequence | undefined) =>
  than === undefined || sequence.last.header.sequenceNumber > than.last.header.sequenceNumber

function decodeHeader(sector: Buffer): LogEntryHeader | undefined {
  if (!logEntryHeader.matches(sector)) return undefined
  try {
    return logEntryHeader.decode(sector)
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

const descriptorSectorsOf = ({ descriptorCount }: Pick<LogEntryHeader, 'descriptorCount'>) =>
  Math.ceil((logEntryHeader.size + descriptorCount * LOG_DESCRIPTOR_SIZE) / LOG_SECTOR_SIZE)

/**
 * How many of the next `count` descriptors from `at` have a data sector; NaN when one of them is no descriptor of the
 * entry. Hot: a log can have millions of descriptors.
 */
function countData(sector: Buffer, at: number, count: number, sequenceNumber: bigint): number {
  const low = Number(BigInt.asUintN(32, sequenceNumber))
  const high = Number(sequenceNumber >> 32n)
  let data = 0
  const end = Math.min(LOG_SECTOR_SIZE, at + count * LOG_DESCRIPTOR_SIZE)
  for (let offset = at; offset < end; offset += LOG_DESCRIPTOR_SIZE) {
    const signature = sector.readUInt32LE(offset)
    if (signature === DATA_SIGNATURE) data++
    else if (signature !== ZERO_SIGNATURE) return Number.NaN
    const number = offset + SEQUENCE_NUMBER
    if (sector.readUInt32LE(number) !== low || sector.readUInt32LE(number + 4) !== high) return Number.NaN
  }
  return data
}

const DATA_SIGNATURE = Buffer.from('desc').readUInt32LE()
const ZERO_SIGNATURE = Buffer.from('zero').readUInt32LE()
const ZERO_LENGTH = zeroDescriptor.offsetOf('zeroLength')
/** In the same places in both kinds of descriptor. */
const FILE_OFFSET = dataDescriptor.offsetOf('fileOffset')
const SEQUENCE_NUMBER = dataDescriptor.offsetOf('sequenceNumber')

/** The 64-bit number at `offset`: exact below 2^53, and above it still too large for any file. A log can have millions. */
const numberAt = (sector: Buffer, offset: number) =>
  sector.readUInt32LE(offset + 4) * 2 ** 32 + sector.readUInt32LE(offset)

/** The two halves of the entry's number stand at the ends of its data sectors: a torn write shows. */
const isDataSector = (sector: Buffer, sequenceNumber: bigint) =>
  dataSector.matches(sector) &&
  BigInt(sector.readUInt32LE(dataSector.offsetOf('sequenceHigh'))) === sequenceNumber >> 32n &&
  BigInt(sector.readUInt32LE(dataSector.offsetOf('sequenceLow'))) === BigInt.asUintN(32, sequenceNumber)
