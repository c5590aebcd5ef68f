/** Blocks by their numbers, which are next to each other in one of these. */
const BLOCKS_PER_PAGE = 65_536

/** A set of the blocks of an image, one bit each where there are any near: at most 8 MiB of memory for 67 million blocks. */
export class BlockSet {
  readonly #pages: (Uint32Array | undefined)[] = []
  #count = 0

  /** How many blocks are in it. */
  get count(): number {
    return this.#count
  }

  add(block: number): void {
    if (this.has(block)) return
    const at = block % BLOCKS_PER_PAGE
    this.#pages[Math.floor(block / BLOCKS_PER_PAGE)] ??= new Uint32Array(BLOCKS_PER_PAGE / 32)
    this.#pages[Math.floor(block / BLOCKS_PER_PAGE)]![at >>> 5]! |= 1 << (at & 31)
    this.#count++
  }

  has(block: number): boolean {
    const page = this.#pages[Math.floor(block / BLOCKS_PER_PAGE)]
    const at = block % BLOCKS_PER_PAGE
    return page !== undefined && (page[at >>> 5]! & (1 << (at & 31))) !== 0
  }
}
