/** A table of a new image, written a page at a time from its start to its end: memory is one page, whatever its length. */
import { MiB } from '../binary/size.ts'

const PAGE_SIZE = MiB

/** Takes places in ascending order; pages go to `write` in order, all of them, those that nobody touched too. */
export class TableWriter {
  readonly #length: number
  readonly #fill: number
  readonly #write: (offset: number, page: Buffer) => Promise<void>
  readonly #page: Buffer
  /** Where in the table the page in memory belongs. */
  #pageOffset = 0

  /**
   * A table of `length` bytes, each `fill` until it is changed. `write` gets offsets from its start; the page is its own
   * only until its promise settles.
   */
  constructor(length: number, fill: number, write: (offset: number, page: Buffer) => Promise<void>) {
    this.#length = length
    this.#fill = fill
    this.#write = write
    this.#page = Buffer.alloc(PAGE_SIZE, fill)
  }

  /**
   * The table from byte `offset` to the end of its page, to be changed before the next call. Entries are of sizes that
   * divide a page. Only the call that leaves a page writes.
   */
  async at(offset: number): Promise<Buffer> {
    while (this.#pageOffset + PAGE_SIZE <= offset) await this.#writePage()
    return this.#page.subarray(offset - this.#pageOffset)
  }

  /** Writes what is left of the table. */
  async finish(): Promise<void> {
    while (this.#pageOffset < this.#length) await this.#writePage()
  }

  async #writePage(): Promise<void> {
    await this.#write(this.#pageOffset, this.#page.subarray(0, this.#length - this.#pageOffset))
    this.#page.fill(this.#fill)
    this.#pageOffset += PAGE_SIZE
  }
}
