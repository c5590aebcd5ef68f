/** A device with bad sectors, for whoever has to know what is in the others: bytes that cannot be read have a value. */
import type { StorageError } from '../errors.ts'
import { BlockDevice } from './block-device.ts'
import { endOf, intersect, normalizeRanges, type Range } from './ranges.ts'
import { tryRead } from './try-read.ts'

/** What is tried at once when a larger piece cannot be read. */
const SECTOR = 4096

/**
 * `base`, for reading, in which bytes that cannot be read are `filler`: all of them at first, then only those in
 * `shielded`; reading others fails as `base` does. Closing leaves `base` open.
 */
export class ShieldedDevice extends BlockDevice {
  override readonly readOnly = true
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  /** Where bytes that cannot be read are `filler`; undefined for everywhere. */
  shielded: readonly Range[] | undefined
  readonly #base: BlockDevice
  readonly #filler: number
  readonly #unread: Range[] = []

  constructor(base: BlockDevice, filler: number) {
    super()
    this.#base = base
    this.#filler = filler
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
  }

  get size(): number {
    return this.#base.size
  }

  /** What was asked for and could not be read, in order, merged where it touches. */
  get unread(): readonly Range[] {
    return normalizeRanges(this.#unread)
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    if ((await tryRead(this.#base, offset, target)) === undefined) return
    for (let at = 0; at < target.length; ) {
      const piece = { offset: offset + at, length: Math.min(SECTOR - ((offset + at) % SECTOR), target.length - at) }
      const part = target.subarray(at, at + piece.length)
      const failure = await tryRead(this.#base, piece.offset, part)
      if (failure !== undefined) this.#fill(piece, part, failure)
      at += piece.length
    }
  }

  #fill(piece: Range, part: Buffer, failure: StorageError): void {
    if (this.shielded?.every(range => intersect(range, piece) === undefined)) throw failure
    part.fill(this.#filler)
    const last = this.#unread.at(-1)
    if (last !== undefined && endOf(last) === piece.offset) {
      this.#unread[this.#unread.length - 1] = { offset: last.offset, length: last.length + piece.length }
    } else this.#unread.push(piece)
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return this.#base.dataRanges(within)
  }

  protected override writeBytes(): Promise<void> {
    throw new Error('a device that is read-only was written')
  }

  override async close(): Promise<void> {}
}
