/** Reads a disk that may have unreadable sectors: every other sector still comes out. */
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { StorageError } from '../errors.ts'

/** How often a sector that cannot be read is tried again. */
const RETRIES = 2

/** The most unreadable ranges that are kept one by one. */
const MAX_LISTED = 1_000

export interface ReadErrors {
  /** Bytes that could not be read, and are zeros in the copy. */
  readonly bytes: number
  /** Where, in the order met, merged where they touch. */
  readonly ranges: readonly Range[]
  /** Whether there were more ranges than are listed. */
  readonly truncated: boolean
}

/** Requests that fail are halved down to the sector; sectors that stay unreadable are zeros and are listed. */
export class RescuingReader {
  readonly #disk: BlockDevice
  readonly #onReadError: 'zero' | 'fail'
  readonly #listed: Range[] = []
  /** Bytes that came from the disk. */
  bytesRead = 0
  #bytes = 0
  #truncated = false
  #failure: StorageError | undefined

  /** `onReadError` 'fail': the first sector that stays unreadable ends it with its StorageError. */
  constructor(disk: BlockDevice, onReadError: 'zero' | 'fail' = 'zero') {
    this.#disk = disk
    this.#onReadError = onReadError
  }

  get errors(): ReadErrors {
    const ranges = [...this.#listed].sort((a, b) => a.offset - b.offset)
    return { bytes: this.#bytes, ranges, truncated: this.#truncated }
  }

  /**
   * Fills `ranges`, which are in order, of `bytes`, which stand for the disk from `start`, by one request across them
   * all; what lies between them is left undefined. Sectors between them may be unreadable without harm.
   * Throws StorageError (DEVICE_GONE) when the disk stopped answering altogether.
   */
  async readRanges(ranges: readonly Range[], bytes: Buffer, start: number): Promise<void> {
    const part = (from: number, to: number) => bytes.subarray(from - start, to - start)
    const [first, end] = [ranges[0]!.offset, endOf(ranges.at(-1)!)]
    if (await this.#readable(first, part(first, end))) return
    for (const range of ranges) await this.#rescue(range.offset, part(range.offset, endOf(range)))
  }

  /** Whether `target` could be filled. A source that is gone is not a matter of sectors, so that is thrown. */
  async #readable(offset: number, target: Buffer): Promise<boolean> {
    try {
      await this.#disk.read(offset, target)
      this.bytesRead += target.length
      return true
    } catch (error) {
      if (!(error instanceof StorageError) || error.code === 'DEVICE_GONE') throw error
      this.#failure = error
      return false
    }
  }

  async #rescue(offset: number, target: Buffer): Promise<void> {
    const sector = this.#disk.sectorSize
    const sectors = Math.ceil((offset + target.length) / sector) - Math.floor(offset / sector)
    for (let attempt = 0; attempt < (sectors > 1 ? 1 : RETRIES); attempt++) {
      if (await this.#readable(offset, target)) return
    }
    if (sectors <= 1) return this.#giveUp(offset, target)
    const middle = (Math.floor(offset / sector) + Math.ceil(sectors / 2)) * sector - offset
    await this.#rescue(offset, target.subarray(0, middle))
    await this.#rescue(offset + middle, target.subarray(middle))
  }

  async #giveUp(offset: number, target: Buffer): Promise<void> {
    const failure = this.#failure!
    await this.#refuseIfGone(failure)
    if (this.#onReadError === 'fail') throw failure
    target.fill(0)
    this.#list({ offset, length: target.length })
  }

  /** A disk with bad sectors still reads its first one; a disk that was pulled out reads nothing. */
  async #refuseIfGone(cause: StorageError): Promise<void> {
    try {
      await this.#disk.read(0, Buffer.alloc(Math.min(this.#disk.sectorSize, this.#disk.size)))
    } catch {
      const message = `the source stopped answering (${cause.message}). Connect it again and start over`
      throw new StorageError('DEVICE_GONE', message, cause.details, { cause })
    }
  }

  #list(range: Range): void {
    this.#bytes += range.length
    const i = this.#listed.findIndex(other => endOf(other) === range.offset)
    if (i >= 0) {
      this.#listed[i] = { offset: this.#listed[i]!.offset, length: this.#listed[i]!.length + range.length }
    } else if (this.#listed.length < MAX_LISTED) this.#listed.push(range)
    else this.#truncated = true
  }
}
