/**
 * Which MiB of the file are free. Space that a change frees is used again only when that change is on the medium: until
 * then a power cut brings back what lies there.
 */
import { MiB } from '../binary/size.ts'
import type { Range } from '../device/ranges.ts'
import type { BatCheck } from './bat-check.ts'
import type { MebibyteSet } from './mebibyte-set.ts'

export class FreeSpace {
  readonly #taken: MebibyteSet
  /** Lengths of gaps, in MiB, and where the first of that length can lie at the earliest. */
  readonly #searchFrom = new Map<number, number>()
  #released: Range[] = []

  /** All that `check` did not find taken. */
  constructor(check: BatCheck) {
    this.#taken = check.taken
  }

  /** The byte behind the last MiB that is taken. */
  get end(): number {
    return this.#taken.end * MiB
  }

  /** Takes `length` bytes, a MiB multiple, and gives their byte in the file, perhaps behind its end. What lies there is not cleared. */
  allocate(length: number): number {
    const count = length / MiB
    const mebibyte = this.#taken.findGap(count, this.#searchFrom.get(count) ?? 0)
    this.#taken.claim(mebibyte, count)
    this.#searchFrom.set(count, mebibyte + count)
    return mebibyte * MiB
  }

  /** Gives back what was allocated and is not named by anything that could be on the medium. */
  free({ offset, length }: Range): void {
    this.#taken.release(offset / MiB, length / MiB)
    for (const [count, from] of this.#searchFrom) {
      if (offset / MiB < from) this.#searchFrom.set(count, Math.max(0, Math.min(from, offset / MiB - count)))
    }
  }

  /** Gives back what is named no more by the changes made so far. It becomes free when they are on the medium. */
  release(range: Range): void {
    this.#released.push(range)
  }

  /** What was released so far and is now the caller's to `free`. */
  takeReleased(): readonly Range[] {
    const released = this.#released
    this.#released = []
    return released
  }
}
