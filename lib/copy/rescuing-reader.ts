/** Reads a disk that may have unreadable sectors: every other sector still comes out. */
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, intersect, normalizeRanges, type Range } from '../device/ranges.ts'
import { StorageError } from '../errors.ts'

/** How often a sector that cannot be read is tried again. */
const RETRIES = 2

/** The most unreadable ranges that are kept one by one. */
const MAX_LISTED = 1_000

export interface ReadErrors {
  /** Bytes that could not be read, and are zeros in the copy. */
  readonly bytes: number
  /** Where, in order, merged where they touch. */
  readonly ranges: readonly Range[]
  /** Whether there were more ranges than are listed. */
  readonly truncated: boolean
}

/** Sectors that are tried at random places to tell a disk that went away from one with bad sectors. */
const PROBES = 8

/** Bytes that may stay unreadable before it is asked again whether the disk is still there. */
const PROBE_INTERVAL = 2 ** 20

/** What is not a matter of bad sectors: a disk that is gone, a file that became shorter. */
const FATAL = new Set(['DEVICE_GONE', 'SHORT_READ'])

/** What an image says that it has lost: there is no use in trying the sectors one by one. */
const LOST = 'LOST_IN_REPAIR'

/** Bytes of the disk that are lost by the word of the image that is read. */
function lostBy({ code, details }: StorageError): Range {
  if (code !== LOST) return { offset: 0, length: 0 }
  return { offset: Number(details.position), length: Number(details.length) }
}

/** Requests that fail are halved down to the sector; sectors that stay unreadable are zeros and are listed. */
export class RescuingReader {
  /** Bytes that came from the disk. */
  bytesRead = 0
  readonly #disk: BlockDevice
  readonly #onReadError: 'zero' | 'fail'
  readonly #signal: AbortSignal | undefined
  readonly #listed: Range[] = []
  #bytes = 0
  #truncated = false
  #nextProbe = 0

  /** `onReadError` 'fail': the first sector that stays unreadable ends it with its StorageError. */
  constructor(disk: BlockDevice, onReadError: 'zero' | 'fail' = 'zero', signal?: AbortSignal) {
    this.#disk = disk
    this.#onReadError = onReadError
    this.#signal = signal
  }

  get errors(): ReadErrors {
    return { bytes: this.#bytes, ranges: normalizeRanges(this.#listed), truncated: this.#truncated }
  }

  /**
   * Fills `ranges`, which are in order, of `bytes`, which stand for the disk from `start`, by one request across them
   * all; what lies between them is left undefined. Sectors between them may be unreadable without harm.
   * Throws StorageError when the disk stopped answering altogether (DEVICE_GONE) or became shorter (SHORT_READ).
   */
  async readRanges(ranges: readonly Range[], bytes: Buffer, start: number): Promise<void> {
    const part = (from: number, to: number) => bytes.subarray(from - start, to - start)
    const [first, end] = [ranges[0]!.offset, endOf(ranges.at(-1)!)]
    if ((await this.#tryRead(first, part(first, end))) === undefined) return
    for (const range of ranges) await this.#rescue(range.offset, part(range.offset, endOf(range)))
  }

  /** What went wrong filling `target`; undefined when it is filled. */
  async #tryRead(offset: number, target: Buffer): Promise<StorageError | undefined> {
    this.#signal?.throwIfAborted()
    try {
      await this.#disk.read(offset, target)
      this.bytesRead += target.length
      return undefined
    } catch (error) {
      if (error instanceof StorageError && !FATAL.has(error.code)) return error
      throw error
    }
  }

  async #rescue(offset: number, target: Buffer): Promise<void> {
    const sector = this.#disk.sectorSize
    const sectors = Math.ceil((offset + target.length) / sector) - Math.floor(offset / sector)
    let failure: StorageError | undefined
    for (let attempt = 0; attempt < (sectors > 1 ? 1 : RETRIES); attempt++) {
      failure = await this.#tryRead(offset, target)
      if (failure === undefined) return
    }
    const lost = intersect(lostBy(failure!), { offset, length: target.length })
    if (lost !== undefined) {
      const [from, to] = [lost.offset - offset, endOf(lost) - offset]
      await this.#rescue(offset, target.subarray(0, from))
      await this.#giveUp(lost.offset, target.subarray(from, to), failure!)
      return await this.#rescue(endOf(lost), target.subarray(to))
    }
    if (sectors <= 1) return this.#giveUp(offset, target, failure!)
    const middle = (Math.floor(offset / sector) + Math.ceil(sectors / 2)) * sector - offset
    await this.#rescue(offset, target.subarray(0, middle))
    await this.#rescue(offset + middle, target.subarray(middle))
  }

  async #giveUp(offset: number, target: Buffer, failure: StorageError): Promise<void> {
    if (failure.code !== LOST && this.#bytes >= this.#nextProbe) {
      this.#nextProbe = this.#bytes + PROBE_INTERVAL
      await this.#refuseIfGone(failure)
    }
    if (this.#onReadError === 'fail') throw failure
    target.fill(0)
    this.#list({ offset, length: target.length })
  }

  /**
   * A disk with bad sectors reads at most places; one that was pulled out reads nowhere but where the system still has
   * it in memory. So places are drawn at random, where nothing has been read yet.
   */
  async #refuseIfGone(cause: StorageError): Promise<void> {
    const { sectorSize, size } = this.#disk
    const sector = Buffer.alloc(Math.min(sectorSize, size))
    for (let probe = 0; probe < PROBES; probe++) {
      const place = Math.floor(Math.random() * Math.floor(size / sector.length)) * sector.length
      const failure = await this.#tryRead(place, sector)
      if (failure === undefined || failure.code === LOST) return
    }
    const message = `the source stopped answering (${cause.message}). Connect it again and start over`
    throw new StorageError('DEVICE_GONE', message, cause.details, { cause })
  }

  #list(range: Range): void {
    this.#bytes += range.length
    const last = this.#listed.at(-1)
    if (last !== undefined && endOf(last) === range.offset) {
      this.#listed[this.#listed.length - 1] = { offset: last.offset, length: last.length + range.length }
    } else if (this.#listed.length < MAX_LISTED) this.#listed.push(range)
    else this.#truncated = true
  }
}
