/** Canonical Huffman codes, decoded by table. spec-notes/compression.md, Prefix codes. */

/** No code word of these formats is longer. */
const MAX_LENGTH = 16

/**
 * A code for symbols below 512, made anew for each block. To decode, look at the next 16 bits:
 *
 *     let word = code.root[next16 >>> (16 - code.rootBits)]
 *     if (word === 0) word = code.findLong(next16)
 *
 * The lowest 5 bits of `word` are the length of the code word, those above them the symbol.
 */
export class PrefixCode {
  readonly rootBits: number
  /** By the next `rootBits` bits; 0 where the code word is longer than that, or there is none. */
  readonly root: Uint16Array
  /** All symbols that have a code word, by length, then by number. */
  readonly #symbols: Uint16Array
  /** For each length the first place in `#symbols`, then the first code word and the end of them, of 16 bits. */
  readonly #starts = new Int32Array(MAX_LENGTH + 2)
  readonly #firsts = new Int32Array(MAX_LENGTH + 1)
  readonly #ends = new Int32Array(MAX_LENGTH + 1)
  readonly #next = new Int32Array(MAX_LENGTH + 1)

  constructor(symbolCount: number, rootBits: number) {
    this.rootBits = rootBits
    this.root = new Uint16Array(1 << rootBits)
    this.#symbols = new Uint16Array(symbolCount)
  }

  /** Makes the code from the length of each symbol's code word; 0: it has none. False, and no code, unless it is complete or empty. */
  build(lengths: Uint8Array): boolean {
    if (!this.#arrange(lengths)) return false
    this.#sort(lengths)
    this.#fillRoot()
    return true
  }

  #arrange(lengths: Uint8Array): boolean {
    const counts = this.#next.fill(0)
    for (let symbol = 0; symbol < lengths.length; symbol++) counts[lengths[symbol]!]!++
    let [start, first] = [0, 0]
    for (let length = 1; length <= MAX_LENGTH; length++) {
      this.#starts[length] = start
      this.#firsts[length] = first
      start += counts[length]!
      first += counts[length]! << (MAX_LENGTH - length)
      this.#ends[length] = first
    }
    this.#starts[MAX_LENGTH + 1] = start
    return first === 1 << MAX_LENGTH || first === 0
  }

  #sort(lengths: Uint8Array): void {
    const next = this.#next
    for (let length = 1; length <= MAX_LENGTH; length++) next[length] = this.#starts[length]!
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const length = lengths[symbol]!
      if (length !== 0) this.#symbols[next[length]!++] = symbol
    }
  }

  /** Code words of a length come one after the other, the shorter before the longer, so the table is filled in order. */
  #fillRoot(): void {
    const { root, rootBits } = this
    let at = 0
    for (let length = 1; length <= rootBits; length++) {
      const repeat = 1 << (rootBits - length)
      const end = this.#starts[length + 1]!
      for (let i = this.#starts[length]!; i < end; i++) {
        const word = (this.#symbols[i]! << 5) | length
        for (const stop = at + repeat; at < stop; at++) root[at] = word
      }
    }
    root.fill(0, at)
  }

  /** The symbol and length of a code word longer than `rootBits`; 0 when the code is empty. */
  findLong(next16: number): number {
    for (let length = this.rootBits + 1; length <= MAX_LENGTH; length++) {
      if (next16 >= this.#ends[length]!) continue
      const place = this.#starts[length]! + ((next16 - this.#firsts[length]!) >>> (MAX_LENGTH - length))
      return (this.#symbols[place]! << 5) | length
    }
    return 0
  }
}
