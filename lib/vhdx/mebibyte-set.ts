/** A set of MiB of a file, one bit each: 8 MiB of memory for a file of 64 TiB. */
export class MebibyteSet {
  #bits: Uint32Array

  /** For MiB numbers 0 to `size - 1`; it grows when larger ones are added. */
  constructor(size: number) {
    this.#bits = new Uint32Array(Math.ceil(size / 32))
  }

  /** Adds `count` MiB from `first`. False, and the rest not added, at the first one that was there before. */
  claim(first: number, count: number): boolean {
    this.#growTo(first + count)
    for (let mebibyte = first; mebibyte < first + count; mebibyte++) {
      const bit = 1 << (mebibyte & 31)
      if ((this.#bits[mebibyte >>> 5]! & bit) !== 0) return false
      this.#bits[mebibyte >>> 5]! |= bit
    }
    return true
  }

  /** Takes `count` MiB from `first` out of the set. */
  release(first: number, count: number): void {
    for (let mebibyte = first; mebibyte < first + count; mebibyte++) {
      this.#bits[mebibyte >>> 5]! &= ~(1 << (mebibyte & 31))
    }
  }

  /** The first of `count` MiB in a row that are not in the set, from `from` on. Behind the last one all are. */
  findGap(count: number, from: number): number {
    let start = from
    for (let mebibyte = from; mebibyte - start < count && mebibyte < this.#bits.length * 32; mebibyte++) {
      const word = this.#bits[mebibyte >>> 5]!
      if (word === 0xffffffff && mebibyte % 32 === 0) {
        mebibyte += 31
        start = mebibyte + 1
      } else if ((word & (1 << (mebibyte & 31))) !== 0) start = mebibyte + 1
    }
    return start
  }

  /** The MiB behind the last one in the set; 0 when it is empty. */
  get end(): number {
    let word = this.#bits.length - 1
    while (word >= 0 && this.#bits[word] === 0) word--
    return word < 0 ? 0 : word * 32 + 32 - Math.clz32(this.#bits[word]!)
  }

  #growTo(size: number): void {
    if (size <= this.#bits.length * 32) return
    const bits = new Uint32Array(Math.max(Math.ceil(size / 32), this.#bits.length * 2))
    bits.set(this.#bits)
    this.#bits = bits
  }
}
