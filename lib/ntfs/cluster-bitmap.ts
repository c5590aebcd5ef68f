/** One bit per cluster, for a window of a volume's clusters. spec-notes/ntfs.md, $Bitmap. */

/** Clusters that fit one window: 8 MiB of bits. So the memory for a volume of any size is bounded. */
export const WINDOW_CLUSTERS = 2 ** 26

/**
 * Which clusters of a window are used. Clusters are given by their number in the volume; `to` and `end` are the first
 * one after. The bits are as NTFS stores them, the lowest bit first, in words of a little-endian machine.
 */
export class ClusterBitmap {
  readonly #words: Uint32Array
  #first = 0
  #end = 0

  /** `capacity`: clusters of the largest window to come. */
  constructor(capacity: number) {
    this.#words = new Uint32Array(Math.ceil(capacity / 32))
  }

  get first(): number {
    return this.#first
  }

  get end(): number {
    return this.#end
  }

  /** Moves on to the clusters from `first` to `end`, all free. `first` must be a multiple of 32. */
  moveTo(first: number, end: number): void {
    this.#words.fill(0)
    this.#first = first
    this.#end = end
  }

  /** The bits, to be filled as they are on disk; `trim` is to follow. */
  get bytes(): Buffer {
    return Buffer.from(this.#words.buffer, 0, Math.ceil((this.#end - this.#first) / 8))
  }

  /** Frees the bits of the last byte that stand for no cluster. */
  trim(): void {
    const rest = (this.#end - this.#first) % 32
    if (rest !== 0) this.#words[(this.#end - this.#first - rest) / 32]! &= (1 << rest) - 1
  }

  /** Sets the clusters of `from` to `to` that lie in the window. */
  set(from: number, to: number): void {
    this.#change(from, to, true)
  }

  /** Frees the clusters of `from` to `to` that lie in the window. */
  clear(from: number, to: number): void {
    this.#change(from, to, false)
  }

  #change(from: number, to: number, value: boolean): void {
    const words = this.#words
    const start = Math.max(from, this.#first) - this.#first
    const end = Math.min(to, this.#end) - this.#first
    if (start >= end) return
    const firstWord = start >>> 5
    const lastWord = (end - 1) >>> 5
    for (let i = firstWord; i <= lastWord; i++) {
      let mask = -1
      if (i === firstWord) mask &= -1 << (start & 31)
      if (i === lastWord) mask &= -1 >>> (31 - ((end - 1) & 31))
      if (value) words[i]! |= mask
      else words[i]! &= ~mask
    }
  }

  /** The first used cluster of `from` to `to`, or `to`. Both must lie in the window. */
  nextUsed(from: number, to: number): number {
    return this.#next(from, to, 0)
  }

  /** The first free cluster of `from` to `to`, or `to`. Both must lie in the window. */
  nextFree(from: number, to: number): number {
    return this.#next(from, to, -1)
  }

  /** Looks for a bit that differs from those of `skip`, a word of equal bits. */
  #next(from: number, to: number, skip: 0 | -1): number {
    if (from >= to) return to
    const words = this.#words
    const start = from - this.#first
    const last = (to - 1 - this.#first) >>> 5
    let i = start >>> 5
    let found = (words[i]! ^ skip) & (-1 << (start & 31))
    while (found === 0 && i < last) found = words[++i]! ^ skip
    return found === 0 ? to : Math.min(to, this.#first + i * 32 + lowestBit(found))
  }

  /** Adds what is used in `other`, which must be at the same window, and tells how the two differed. */
  merge(other: ClusterBitmap, few: number): Merged {
    const [mine, others] = [this.#words, other.#words]
    const merged = { mine: 0, onlyMine: 0, onlyOther: 0, firstOnlyMine: [] as number[] }
    for (let i = 0; i < mine.length; i++) {
      const [word, added] = [mine[i]!, others[i]!]
      if (word === added) {
        if (word !== 0) merged.mine += bitCount(word)
        continue
      }
      mine[i] = word | added
      merged.mine += bitCount(word)
      merged.onlyOther += bitCount(added & ~word)
      const only = word & ~added
      merged.onlyMine += bitCount(only)
      for (let left = only; left !== 0 && merged.firstOnlyMine.length < few; left &= left - 1) {
        merged.firstOnlyMine.push(this.#first + i * 32 + lowestBit(left))
      }
    }
    return merged
  }
}

/** How two bitmaps differ. All but the last are numbers of clusters. */
interface Merged {
  /** Used in the first one. */
  readonly mine: number
  readonly onlyMine: number
  readonly onlyOther: number
  /** The first few clusters that are used in the first one only. */
  readonly firstOnlyMine: readonly number[]
}

const lowestBit = (word: number) => 31 - Math.clz32(word & -word)

function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555)
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
