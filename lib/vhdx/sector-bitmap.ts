/**
 * Sector bitmaps, [MS-VHDX] 2.4: which sectors of a partially present block are in this file. The bitmap of a chunk is
 * one block of 1 MiB with a bit for each of its sectors, the lowest bit of the first byte first.
 */
import { endOf, type Range } from '../device/ranges.ts'
import type { Pages } from './page-cache.ts'

/** A piece of the disk whose sectors are all in this file, or all in its parent. */
export interface BitmapRun extends Range {
  readonly isPresent: boolean
}

/** Bits `bit` to `bit + count - 1`, which are alike. */
interface BitRun {
  readonly bit: number
  readonly count: number
  readonly isSet: boolean
}

export class SectorBitmap {
  readonly #pages: Pages
  readonly #position: number
  readonly #chunk: Range
  readonly #sectorSize: number

  /** The bitmap at byte `position` of the file of `pages`, for the bytes `chunk` of the disk. */
  constructor(pages: Pages, position: number, chunk: Range, sectorSize: number) {
    this.#pages = pages
    this.#position = position
    this.#chunk = chunk
    this.#sectorSize = sectorSize
  }

  /** What of `range`, which lies in the chunk, is in the file and what is not, from one page of the bitmap to the next. */
  async *runs(range: Range): AsyncIterable<BitmapRun> {
    const end = Math.ceil((endOf(range) - this.#chunk.offset) / this.#sectorSize)
    for (let bit = Math.floor((range.offset - this.#chunk.offset) / this.#sectorSize); bit < end; ) {
      const { page, at } = await this.#pages.find(this.#position + Math.floor(bit / 8))
      const first = bit - (at * 8 + (bit % 8))
      const pageEnd = Math.min(end, first + page.length * 8)
      for (const run of bitRuns(page, bit - first, pageEnd - first)) yield this.#runOf(run, first, range)
      bit = pageEnd
    }
  }

  /** `first`: the bit of the chunk that the page's first bit is. */
  #runOf({ bit, count, isSet }: BitRun, first: number, within: Range): BitmapRun {
    const sector = this.#chunk.offset + (first + bit) * this.#sectorSize
    const offset = Math.max(sector, within.offset)
    const end = Math.min(sector + count * this.#sectorSize, endOf(within))
    return { offset, length: end - offset, isPresent: isSet }
  }
}

/** The runs of like bits from bit `from` to before bit `to`. Hot: eight million bits a bitmap. */
export function* bitRuns(bytes: Buffer, from: number, to: number): Iterable<BitRun> {
  for (let bit = from; bit < to; ) {
    const isSet = isBitSet(bytes, bit)
    const alike = isSet ? 0xff : 0
    let end = bit + 1
    while (end < to) {
      if (end % 8 === 0 && bytes[end / 8] === alike) end += 8
      else if (isBitSet(bytes, end) === isSet) end++
      else break
    }
    end = Math.min(end, to)
    yield { bit, count: end - bit, isSet }
    bit = end
  }
}

const isBitSet = (bytes: Buffer, bit: number) => ((bytes[bit >>> 3]! >>> (bit & 7)) & 1) === 1

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length)

/** How many bits of `bytes` are set. */
export function setBitCount(bytes: Buffer): number {
  let count = 0
  for (const byte of bytes) count += ONES[byte]!
  return count
}

/** Whether bits `from` to `from + count - 1` of `bytes` are all set. */
export function areBitsSet(bytes: Buffer, from: number, count: number): boolean {
  for (const run of bitRuns(bytes, from, from + count)) return run.isSet && run.count === count
  return true
}

/** Sets bits `from` to `from + count - 1` of `bytes`. */
export function setBits(bytes: Buffer, from: number, count: number): void {
  const end = from + count
  for (let bit = from; bit < end; ) {
    if (bit % 8 === 0 && end - bit >= 8) {
      const whole = Math.floor((end - bit) / 8)
      bytes.fill(0xff, bit / 8, bit / 8 + whole)
      bit += whole * 8
    } else {
      bytes[bit >>> 3]! |= 1 << (bit & 7)
      bit++
    }
  }
}
