/**
 * A block that has a place in the file and no entry in the BAT yet: only who writes it knows of it. It is known what of it
 * was written, so that the rest is filled once, when it gets its entry, and not before each part of it is written anyway.
 */
import { endOf, intersect, intersectRanges, normalizeRanges, type Range, subtractRanges } from '../device/ranges.ts'

export class NewBlock {
  /** Byte of the file. */
  readonly place: number
  /** What the disk has where nothing was written yet. */
  readonly rest: 'zeros' | 'parent'
  /** Bytes of the disk, perhaps beyond its end. */
  readonly #range: Range
  readonly #disk: Range
  #written: readonly Range[] = []

  /** `range`: the block in bytes of the disk, which `diskSize` cuts. */
  constructor(range: Range, diskSize: number, place: number, rest: 'zeros' | 'parent') {
    this.place = place
    this.rest = rest
    this.#range = range
    this.#disk = intersect(range, { offset: 0, length: diskSize })!
  }

  /** The byte of the file where byte `offset` of the disk lies. */
  placeOf(offset: number): number {
    return this.place + offset - this.#range.offset
  }

  /** What was written, in order. */
  get written(): readonly Range[] {
    return this.#written
  }

  /** Takes note that `range` of the disk was written. */
  add(range: Range): void {
    this.#written = normalizeRanges([...this.#written, range])
  }

  /** Whether all was written that the disk has of the block. */
  get isFull(): boolean {
    return subtractRanges([this.#disk], this.#written).length === 0
  }

  /** What of `within` was written, and what was not, in order. */
  runs(within: Range): (Range & { isWritten: boolean })[] {
    const written = intersectRanges(this.#written, [within]).map(range => ({ ...range, isWritten: true }))
    const rest = subtractRanges([within], this.#written).map(range => ({ ...range, isWritten: false }))
    return [...written, ...rest].sort((a, b) => a.offset - b.offset)
  }

  /** The bytes of the file that nothing was written to. */
  gaps(): Range[] {
    return subtractRanges([this.#range], this.#written).map(({ offset, length }) => ({
      offset: this.placeOf(offset),
      length,
    }))
  }

  /** All of it in the file. */
  get range(): Range {
    return { offset: this.place, length: endOf(this.#range) - this.#range.offset }
  }
}
