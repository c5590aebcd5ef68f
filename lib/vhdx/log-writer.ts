/**
 * Writing to the log, [MS-VHDX] 2.3: each commit is one entry, so that a power cut leaves all of it or nothing. What an
 * entry changes is at home and flushed before the next one is written, so each is its own tail.
 */
import { crc32c } from '../binary/crc32c.ts'
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { dataDescriptor, dataSector, LOG_DESCRIPTOR_SIZE, LOG_SECTOR_SIZE, logEntryHeader } from './format.ts'
import type { ChangedSector } from './metadata-pages.ts'

/** Sizes of the file that an entry tells, in bytes and MiB multiples, [MS-VHDX] 2.3.1.1. */
export interface FileOffsets {
  /** What the file had when it was last flushed: shorter, and it was cut. */
  readonly flushed: number
  /** What holds all that is allocated. */
  readonly last: number
}

export class LogWriter {
  readonly #file: BlockDevice
  readonly #log: Range
  readonly #logGuid: string
  /** A random start, as Windows chooses one: entries of an earlier session never seem to go on. */
  #sequenceNumber = crypto.getRandomValues(new BigUint64Array(1))[0]! / 2n + 1n
  #offset = 0

  /** For entries of `logGuid`, from the start of `log` in `file` on. What lies there must not be needed any more. */
  constructor(file: BlockDevice, log: Range, logGuid: string) {
    this.#file = file
    this.#log = log
    this.#logGuid = logGuid
  }

  /** Writes an entry that changes `sectors`, at most 126 in the order of their positions, and flushes it. */
  async append(sectors: readonly ChangedSector[], offsets: FileOffsets): Promise<void> {
    const entry = this.#entry(sectors, offsets)
    const first = Math.min(entry.length, this.#log.length - this.#offset)
    await this.#file.write(this.#log.offset + this.#offset, entry.subarray(0, first))
    // The ring goes on at its start.
    await this.#file.write(this.#log.offset, entry.subarray(first))
    await this.#file.flush()
    this.#offset = (this.#offset + entry.length) % this.#log.length
    this.#sequenceNumber++
  }

  #entry(sectors: readonly ChangedSector[], { flushed, last }: FileOffsets): Buffer {
    const sequenceNumber = this.#sequenceNumber
    const entry = Buffer.alloc((1 + sectors.length) * LOG_SECTOR_SIZE)
    logEntryHeader.encode(
      {
        checksum: 0,
        entryLength: entry.length,
        tail: this.#offset,
        sequenceNumber,
        descriptorCount: sectors.length,
        logGuid: this.#logGuid,
        flushedFileOffset: Math.floor(flushed / MiB) * MiB,
        lastFileOffset: Math.ceil(last / MiB) * MiB,
      },
      entry,
    )
    for (const [index, { position, bytes }] of sectors.entries()) {
      const descriptor = logEntryHeader.size + index * LOG_DESCRIPTOR_SIZE
      dataDescriptor.encode(
        {
          leadingBytes: bytes.subarray(0, LEADING),
          trailingBytes: bytes.subarray(TRAILING),
          fileOffset: position,
          sequenceNumber,
        },
        entry,
        descriptor,
      )
      dataSector.encode(
        {
          sequenceHigh: Number(sequenceNumber >> 32n),
          data: bytes.subarray(LEADING, TRAILING),
          sequenceLow: Number(BigInt.asUintN(32, sequenceNumber)),
        },
        entry,
        (1 + index) * LOG_SECTOR_SIZE,
      )
    }
    entry.writeUInt32LE(crc32c(entry), logEntryHeader.offsetOf('checksum'))
    return entry
  }
}

/** The bytes of a sector that its descriptor keeps: those before and those behind what the data sector has room for. */
const LEADING = dataSector.offsetOf('data')
const TRAILING = dataSector.offsetOf('sequenceLow')
