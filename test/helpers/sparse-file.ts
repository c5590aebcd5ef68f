/** A file in memory of which zeros take no room, and of which copies cost little: they share what they have in common. */
import { BlockDevice, type ResizableDevice } from '../../lib/device/block-device.ts'
import { endOf, intersect, normalizeRanges, type Range } from '../../lib/device/ranges.ts'

const PAGE_SIZE = 4096
const ZEROS = Buffer.alloc(PAGE_SIZE)

/** A part of a page: `at` bytes from its start. */
interface Part {
  readonly page: number
  readonly at: number
  /** Bytes from the start of the request. */
  readonly done: number
  readonly length: number
}

export class SparseFile extends BlockDevice implements ResizableDevice {
  override readonly growable = true
  size = 0
  /** Those that are not zeros. Their bytes never change: a write puts a new page in the place of the old one. */
  #pages = new Map<number, Buffer>()

  static of(content: Buffer): SparseFile {
    const file = new SparseFile()
    file.put(0, content)
    return file
  }

  copy(): SparseFile {
    const copy = new SparseFile()
    copy.size = this.size
    copy.#pages = new Map(this.#pages)
    return copy
  }

  /** What `write` does, at once. */
  put(offset: number, source: Buffer): void {
    for (const { page, at, done, length } of partsOf(offset, source.length)) {
      const piece = source.subarray(done, done + length)
      const whole = length === PAGE_SIZE ? piece : Buffer.from(this.#pages.get(page) ?? ZEROS)
      if (whole !== piece) piece.copy(whole, at)
      if (whole.equals(ZEROS)) this.#pages.delete(page)
      else this.#pages.set(page, whole === piece ? Buffer.from(piece) : whole)
    }
    this.size = Math.max(this.size, offset + source.length)
  }

  /** What `zero` does, at once. */
  clear(offset: number, length: number): void {
    const [first, end] = [Math.ceil(offset / PAGE_SIZE), Math.floor((offset + length) / PAGE_SIZE)]
    if (end <= first) {
      this.put(offset, Buffer.alloc(length))
      return
    }
    this.put(offset, Buffer.alloc(first * PAGE_SIZE - offset))
    this.put(end * PAGE_SIZE, Buffer.alloc(offset + length - end * PAGE_SIZE))
    for (const page of this.#pagesIn(first, end)) this.#pages.delete(page)
  }

  /** What `resize` does, at once. */
  cut(size: number): void {
    if (size < this.size) {
      this.clear(size, this.size - size)
    }
    this.size = size
  }

  /** All of it, one behind the other. */
  toBuffer(): Buffer {
    const content = Buffer.alloc(this.size)
    for (const [page, bytes] of this.#pages) bytes.copy(content, page * PAGE_SIZE)
    return content
  }

  async resize(size: number): Promise<void> {
    this.cut(size)
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    target.fill(0)
    for (const { page, at, done, length } of partsOf(offset, target.length)) {
      this.#pages.get(page)?.copy(target, done, at, at + length)
    }
  }

  protected override async zeroBytes(offset: number, length: number): Promise<void> {
    this.clear(offset, length)
  }

  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    const pages = this.#pagesIn(Math.floor(within.offset / PAGE_SIZE), Math.ceil(endOf(within) / PAGE_SIZE))
    const ranges = pages.map(page => intersect({ offset: page * PAGE_SIZE, length: PAGE_SIZE }, within)!)
    yield* normalizeRanges(ranges)
  }

  /** Those that are not zeros of pages `first` to `end - 1`. */
  #pagesIn(first: number, end: number): number[] {
    if (end - first > this.#pages.size) return [...this.#pages.keys()].filter(page => page >= first && page < end)
    return Array.from({ length: end - first }, (_, n) => first + n).filter(page => this.#pages.has(page))
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    this.put(offset, source)
  }

  override async close(): Promise<void> {}
}

function* partsOf(offset: number, size: number): Iterable<Part> {
  for (let done = 0; done < size; ) {
    const at = (offset + done) % PAGE_SIZE
    const length = Math.min(PAGE_SIZE - at, size - done)
    yield { page: (offset + done - at) / PAGE_SIZE, at, done, length }
    done += length
  }
}
