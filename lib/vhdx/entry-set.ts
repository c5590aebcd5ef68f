/** A set of BAT entries, a bit each: memory is for those parts of the table that have some in it. */

const PAGE_BITS = 65_536

export class EntrySet {
  readonly #pages = new Map<number, Uint8Array>()

  add(index: number): void {
    const number = Math.floor(index / PAGE_BITS)
    let page = this.#pages.get(number)
    if (page === undefined) {
      page = new Uint8Array(PAGE_BITS / 8)
      this.#pages.set(number, page)
    }
    const bit = index % PAGE_BITS
    page[bit >>> 3]! |= 1 << (bit & 7)
  }

  has(index: number): boolean {
    const bit = index % PAGE_BITS
    const page = this.#pages.get(Math.floor(index / PAGE_BITS))
    return page !== undefined && ((page[bit >>> 3]! >>> (bit & 7)) & 1) === 1
  }
}
