/**
 * The writes of a log in their order, in columns of numbers: a log of 4 GiB can have a million of them. What they write
 * stays in the log until it is read.
 */
import type { ByteSource } from '../device/block-device.ts'
import { endOf } from '../device/ranges.ts'
import { dataDescriptor, dataSector, LOG_DESCRIPTOR_SIZE, LOG_SECTOR_SIZE } from './format.ts'
import type { LogWrite } from './log.ts'

export class LogWrites {
  /** The first byte of the file behind all of them. */
  end = 0
  readonly #offsets: number[] = []
  readonly #lengths: number[] = []
  readonly #descriptors: number[] = []
  /** 0 for zeros: no log lies there. */
  readonly #sectors: number[] = []

  get count(): number {
    return this.#offsets.length
  }

  add(write: LogWrite): void {
    this.#offsets.push(write.offset)
    this.#lengths.push(write.length)
    this.#descriptors.push(write.descriptor)
    this.#sectors.push(write.sector ?? 0)
    this.end = Math.max(this.end, endOf(write))
  }

  /** All of them, in the order in which they have to be made. */
  *[Symbol.iterator](): Iterator<LogWrite> {
    for (let index = 0; index < this.count; index++) yield this.at(index)
  }

  at(index: number): LogWrite {
    const [offset, length] = [this.#offsets[index]!, this.#lengths[index]!]
    return { offset, length, descriptor: this.#descriptors[index]!, sector: this.#sectors[index]! || undefined }
  }
}

const LEADING = dataDescriptor.offsetOf('leadingBytes')
const TRAILING = dataDescriptor.offsetOf('trailingBytes')
const DATA = dataSector.offsetOf('data')
const DATA_END = dataSector.offsetOf('sequenceLow')

/** The 4 KiB whose middle is the data sector at `sector` of `file`, and whose ends are in the descriptor, [MS-VHDX] 2.3.1.3. */
export async function readLogged(file: ByteSource, descriptor: number, sector: number): Promise<Buffer> {
  const content = Buffer.alloc(LOG_SECTOR_SIZE)
  await file.read(sector, content)
  const ends = Buffer.alloc(LOG_DESCRIPTOR_SIZE)
  await file.read(descriptor, ends)
  ends.copy(content, 0, LEADING, LEADING + DATA)
  ends.copy(content, DATA_END, TRAILING, TRAILING + LOG_SECTOR_SIZE - DATA_END)
  return content
}
