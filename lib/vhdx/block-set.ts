/** A set of the blocks of an image, one bit each: 8 MiB of memory for 64 TiB in blocks of 1 MiB. */
export class BlockSet {
  readonly #bits: Uint32Array
  #count = 0

  /** For blocks 0 to `blockCount - 1`. */
  constructor(blockCount: number) {
    this.#bits = new Uint32Array(Math.ceil(blockCount / 32))
  }

  /** How many blocks are in it. */
  get count(): number {
    return this.#count
  }

  add(block: number): void {
    if (this.has(block)) return
    this.#bits[block >>> 5]! |= 1 << (block & 31)
    this.#count++
  }

  has(block: number): boolean {
    return (this.#bits[block >>> 5]! & (1 << (block & 31))) !== 0
  }
}
