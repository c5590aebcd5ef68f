/** What of a disk is lost: as many ranges as are worth naming, and how much there is of all. */
import { endOf, type Range } from '../device/ranges.ts'
import type { RuleCode } from './rules.ts'

/** Bytes of the disk that cannot be read any more. */
export interface LostRange extends Range {
  /** Which rule they broke. */
  readonly reason: RuleCode
  /** Byte of the file where they may still lie, one behind the other; null where nothing says so. */
  readonly fileOffset: number | null
}

/** The most ranges that are named. */
const MAX_LISTED = 1_000

export interface LostRanges {
  readonly bytes: number
  /** In the order of the disk. */
  readonly ranges: readonly LostRange[]
  /** Whether there were more ranges than are named. */
  readonly truncated: boolean
}

export class LostRangeList {
  #bytes = 0
  #truncated = false
  readonly #ranges: LostRange[] = []

  /** Ranges come in the order of the disk, more or less, and do not overlap. */
  add(range: LostRange): void {
    this.#bytes += range.length
    const last = this.#ranges.at(-1)
    if (last !== undefined && isNext(last, range)) {
      this.#ranges[this.#ranges.length - 1] = { ...last, length: last.length + range.length }
    } else if (this.#ranges.length < MAX_LISTED) this.#ranges.push(range)
    else this.#truncated = true
  }

  get lost(): LostRanges {
    const ranges = this.#ranges.toSorted((a, b) => a.offset - b.offset)
    return { bytes: this.#bytes, ranges, truncated: this.#truncated }
  }
}

function isNext(last: LostRange, range: LostRange): boolean {
  if (endOf(last) !== range.offset || last.reason !== range.reason) return false
  if (last.fileOffset === null) return range.fileOffset === null
  return last.fileOffset + last.length === range.fileOffset
}
