/** A set of MiB of a file, one bit each: 8 MiB of memory for a file of 64 TiB. */
export class MebibyteSet {
  readonly #bits: Uint32Array

  /** For MiB numbers 0 to `size - 1`. */
  constructor(size: number) {
    this.#bits = new Uint32Array(Math.ceil(size / 32))
  }

  /** Adds `count` MiB from `first`. False, and the rest not added, at the first one that was there before. */
  claim(first: number, count: number): boolean {
    for (let mebibyte = first; mebibyte < first + count; mebibyte++) {
      const bit = 1 << (mebibyte & 31)
      if ((this.#bits[mebibyte >>> 5]! & bit) !== 0) return false
      this.#bits[mebibyte >>> 5]! |= bit
    }
    return true
  }
}
