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

type Writable<T> = { -readonly [K in keyof T]: T[K] }

export class LostRangeList {
  #bytes = 0
  #truncated = false
  readonly #ranges: Writable<LostRange>[] = []

  /** Ranges come in the order of the disk, more or less, and do not overlap. Hot: a table can be all of lost blocks. */
  add(offset: number, length: number, reason: RuleCode, fileOffset: number | null): void {
    this.#bytes += length
    const last = this.#ranges.at(-1)
    if (last !== undefined && isNext(last, offset, reason, fileOffset)) last.length += length
    else if (this.#ranges.length < MAX_LISTED) this.#ranges.push({ offset, length, reason, fileOffset })
    else this.#truncated = true
  }

  get lost(): LostRanges {
    const ranges = this.#ranges.toSorted((a, b) => a.offset - b.offset)
    return { bytes: this.#bytes, ranges, truncated: this.#truncated }
  }
}

function isNext(last: LostRange, offset: number, reason: RuleCode, fileOffset: number | null): boolean {
  if (endOf(last) !== offset || last.reason !== reason) return false
  return last.fileOffset === null ? fileOffset === null : last.fileOffset + last.length === fileOffset
}
