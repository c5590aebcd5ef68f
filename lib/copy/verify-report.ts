/** What verifying found, and how it is added up. */
import { endOf, type Range } from '../device/ranges.ts'
import type { ReadErrors } from './rescuing-reader.ts'

/** The most ranges that are listed. */
const MAX_LISTED = 1_000

/** What verifying found. */
export interface VerifyReport {
  /** Bytes of the disk that were compared. */
  readonly bytesChecked: number
  /** Where the image is not what it should be, in order, merged; of hashes, whole grains. At most a thousand. */
  readonly differences: readonly Range[]
  readonly differentBytes: number
  /** What of the disk beside the image could not be read: that is neither the same nor different, and not checked. */
  readonly readErrors: ReadErrors
}

/** Adds up a report from the start of the disk to its end. */
export class VerifyTally {
  bytesChecked = 0
  readonly #differences = new RangeTally()
  readonly #unreadable = new RangeTally()

  /** `length` more bytes were compared. */
  addChecked(length: number, differences: readonly Range[]): void {
    this.bytesChecked += length
    for (const range of differences) this.#differences.add(range)
  }

  addUnreadable(ranges: readonly Range[]): void {
    for (const range of ranges) this.#unreadable.add(range)
  }

  get report(): VerifyReport {
    const { ranges, bytes } = this.#differences
    const { ...readErrors } = this.#unreadable
    return { bytesChecked: this.bytesChecked, differences: ranges, differentBytes: bytes, readErrors }
  }
}

/** Counts ranges that come in order, and keeps the first of them. */
class RangeTally implements ReadErrors {
  bytes = 0
  readonly ranges: Range[] = []
  truncated = false

  add(range: Range): void {
    this.bytes += range.length
    const last = this.ranges.at(-1)
    if (last !== undefined && endOf(last) === range.offset) {
      this.ranges[this.ranges.length - 1] = { offset: last.offset, length: last.length + range.length }
    } else if (this.ranges.length < MAX_LISTED) this.ranges.push(range)
    else this.truncated = true
  }
}
