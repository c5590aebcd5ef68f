/** A long ordered stream of ranges, looked at piece by piece of what it lies in. */
import { endOf, intersect, type Range } from './ranges.ts'

export class RangeCursor implements AsyncDisposable {
  readonly #ranges: AsyncIterator<Range>
  #head: Range | undefined
  #isAtEnd = false

  /** `ranges` come in order and do not overlap. */
  constructor(ranges: AsyncIterable<Range>) {
    this.#ranges = ranges[Symbol.asyncIterator]()
  }

  /** What of the ranges lies in `piece`. Pieces are asked for in order and do not overlap. */
  async within(piece: Range): Promise<Range[]> {
    const found: Range[] = []
    while (!this.#isAtEnd) {
      if (this.#head === undefined || endOf(this.#head) <= piece.offset) await this.#advance()
      else if (this.#head.offset >= endOf(piece)) break
      else {
        found.push(intersect(this.#head, piece)!)
        if (endOf(this.#head) > endOf(piece)) break
        await this.#advance()
      }
    }
    return found
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ranges.return?.()
  }

  async #advance(): Promise<void> {
    const { value, done } = await this.#ranges.next()
    this.#head = value
    this.#isAtEnd = done === true
  }
}
