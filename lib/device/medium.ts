/** What a file device reads and writes through: bytes at offsets, with no size and no checks. */
import { roundDown } from '../binary/size.ts'

export interface Medium {
  /** Fills all of `target`, or throws a StorageError. */
  read(offset: number, target: Buffer): Promise<void>
  /** Writes all of `source`, or throws a StorageError. */
  write(offset: number, source: Buffer): Promise<void>
}

/**
 * Any bytes of a medium that takes whole sectors only, as raw disks and volumes do on Windows. The sectors that a
 * request covers in part go through a buffer of their own, those it covers wholly go straight through.
 */
export class SectorMedium implements Medium {
  readonly #base: Medium
  readonly #sectorSize: number
  /** Settles when the last write of a part of a sector is done: two that change the same sector must take turns. */
  #lastPartialWrite: Promise<void> = Promise.resolve()

  constructor(base: Medium, sectorSize: number) {
    this.#base = base
    this.#sectorSize = sectorSize
  }

  async read(offset: number, target: Buffer): Promise<void> {
    for (const { whole, at, piece } of this.#pieces(offset, target)) {
      if (whole) await this.#base.read(at, piece)
      else {
        const { start, sector } = await this.#sectorAt(at)
        sector.copy(piece, 0, at - start)
      }
    }
  }

  async write(offset: number, source: Buffer): Promise<void> {
    for (const { whole, at, piece } of this.#pieces(offset, source)) {
      if (whole) await this.#base.write(at, piece)
      else {
        const writing = this.#lastPartialWrite.then(() => this.#writePartOfSector(at, piece))
        this.#lastPartialWrite = writing.catch(() => {})
        await writing
      }
    }
  }

  async #writePartOfSector(at: number, piece: Buffer): Promise<void> {
    const { start, sector } = await this.#sectorAt(at)
    piece.copy(sector, at - start)
    await this.#base.write(start, sector)
  }

  async #sectorAt(at: number): Promise<{ start: number; sector: Buffer }> {
    const start = roundDown(at, this.#sectorSize)
    const sector = Buffer.alloc(this.#sectorSize)
    await this.#base.read(start, sector)
    return { start, sector }
  }

  /** `bytes` for `offset` cut into a part of a sector, whole sectors, and a part of a sector. */
  *#pieces(offset: number, bytes: Buffer): Iterable<{ whole: boolean; at: number; piece: Buffer }> {
    const size = this.#sectorSize
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done
      const left = bytes.length - done
      const whole = at % size === 0 && left >= size
      const length = whole ? roundDown(left, size) : Math.min(size - (at % size), left)
      yield { whole, at, piece: bytes.subarray(done, done + length) }
      done += length
    }
  }
}
