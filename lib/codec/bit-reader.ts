/** The bits of XPRESS-Huffman and LZX: 16-bit little-endian units, from the highest bit on. spec-notes/compression.md, Bits. */

/**
 * Where a decoder stands in its source. Hot loops copy the fields into variables of their own and put them back. Past the
 * end come zeros, for decoders look ahead: whether they used any of them shows `isPastEnd`.
 */
export class BitReader {
  readonly source: Buffer
  /** The next byte that is not in `bits` yet. May be past the end. */
  at: number
  /** The last `count` bits are loaded and not used; those above them mean nothing. */
  bits = 0
  /** Below 32. */
  count = 0

  constructor(source: Buffer, at = 0) {
    this.source = source
    this.at = at
  }

  /** The next `length` bits, at most 16, as a number. */
  read(length: number): number {
    if (this.count < 16) this.load()
    this.count -= length
    return (this.bits >>> this.count) & ((1 << length) - 1)
  }

  /** One unit more. `count` must be below 16. */
  load(): void {
    const { source, at } = this
    this.bits = (this.bits << 16) | (at + 1 < source.length ? source[at]! | (source[at + 1]! << 8) : 0)
    this.at += 2
    this.count += 16
  }

  /** Passes over the rest of a unit, or all of one when it stands between two, and lets go of what was loaded after it. */
  alignPastUnit(): void {
    const loaded = this.count >>> 4
    this.at += this.count % 16 === 0 ? 2 - 2 * loaded : -2 * loaded
    this.count = 0
  }

  /** Whether bits were used that are not there. */
  get isPastEnd(): boolean {
    return 8 * this.at - this.count > 8 * this.source.length
  }
}
