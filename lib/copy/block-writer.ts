/** Where the windows of a disk go: into the payload blocks of an image file, or of an image that is streamed. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, intersect, normalizeRanges, type Range, subtractRanges } from '../device/ranges.ts'
import type { VhdxBuilder } from '../vhdx/builder.ts'
import type { VhdxStreamBuilder } from '../vhdx/stream-builder.ts'
import { isZero } from './content-hash.ts'

/** Takes windows in ascending order. */
export interface BlockWriter {
  /**
   * Takes the disk's `bytes` at `offset`. Settles when the next window may come, so that the windows stay in order;
   * `done` settles when `bytes` may be reused, and several may be pending.
   */
  write(offset: number, bytes: Buffer): Promise<{ done: Promise<unknown> }>
  /** Every window has come: completes the last block. */
  finish(): Promise<void>
}

/** Bytes of zeros written at a time to complete a block. */
const ZEROS = Buffer.alloc(MiB)

/** Places a block in the file when the first of it that is not zero comes, and writes every byte of the block. */
export class FileBlockWriter implements BlockWriter {
  readonly #file: BlockDevice
  readonly #builder: VhdxBuilder
  #block = -1
  /** Where the current block's payload lies in the file; undefined while nothing but zeros has come. */
  #place: number | undefined
  /** What of the current block has been written, from its start. */
  #written: Range[] = []
  blocks = 0

  constructor(file: BlockDevice, builder: VhdxBuilder) {
    this.#file = file
    this.#builder = builder
  }

  async write(offset: number, bytes: Buffer): Promise<{ done: Promise<unknown> }> {
    const window = { offset, length: bytes.length }
    const writes: Promise<void>[] = []
    const runs: { fileOffset: number; start: number; end: number }[] = []
    const size = this.#builder.blockSize
    for (let block = Math.floor(offset / size); block * size < endOf(window); block++) {
      const extent = { offset: block * size, length: size }
      const part = intersect(window, extent)!
      const [start, end] = [part.offset - offset, endOf(part) - offset]
      if (block !== this.#block) writes.push(...this.#enter(block))
      if (this.#place === undefined) {
        if (isZero(bytes.subarray(start, end))) continue
        this.#place = await this.#builder.place(block)
        this.blocks++
      }
      const fileOffset = this.#place + part.offset - extent.offset
      this.#written.push({ offset: part.offset - extent.offset, length: part.length })
      const run = runs.at(-1)
      if (run?.end === start && run.fileOffset + run.end - run.start === fileOffset) run.end = end
      else runs.push({ fileOffset, start, end })
    }
    for (const { fileOffset, start, end } of runs) writes.push(this.#file.write(fileOffset, bytes.subarray(start, end)))
    return { done: Promise.all(writes) }
  }

  async finish(): Promise<void> {
    await Promise.all(this.#enter(-1))
  }

  /** Leaves the current block, zeroing what of it has not been written, for `block`. */
  #enter(block: number): Promise<void>[] {
    const place = this.#place
    const whole = [{ offset: 0, length: this.#builder.blockSize }]
    const rest = place === undefined ? [] : subtractRanges(whole, normalizeRanges(this.#written))
    this.#block = block
    this.#place = undefined
    this.#written = []
    return rest.map(range => this.#file.zero(place! + range.offset, range.length))
  }
}

/** Streams every block that a used range touches, whole and in order, zeros included: the BAT is out already. */
export class StreamBlockWriter implements BlockWriter {
  readonly #builder: VhdxStreamBuilder
  readonly #isPresent: (block: number) => boolean
  /** How far the disk has been streamed, in bytes from its start. */
  #reached = 0

  constructor(builder: VhdxStreamBuilder, isPresent: (block: number) => boolean) {
    this.#builder = builder
    this.#isPresent = isPresent
  }

  async write(offset: number, bytes: Buffer): Promise<{ done: Promise<unknown> }> {
    await this.#zerosUpTo(offset)
    await this.#forPresent({ offset, length: bytes.length }, part => {
      const start = part.offset - offset
      return this.#builder.payload(bytes.subarray(start, start + part.length))
    })
    this.#reached = offset + bytes.length
    return { done: Promise.resolve() }
  }

  async finish(): Promise<void> {
    const { blockCount, blockSize } = this.#builder.plan
    await this.#zerosUpTo(blockCount * blockSize)
  }

  async #zerosUpTo(offset: number): Promise<void> {
    const skipped = { offset: this.#reached, length: offset - this.#reached }
    await this.#forPresent(skipped, async part => {
      for (let left = part.length; left > 0; left -= ZEROS.length) {
        await this.#builder.payload(ZEROS.subarray(0, Math.min(left, ZEROS.length)))
      }
    })
    this.#reached = offset
  }

  /** Calls `emit` for what of `range` lies in blocks that are present, in order. */
  async #forPresent(range: Range, emit: (part: Range) => Promise<void>): Promise<void> {
    const size = this.#builder.plan.blockSize
    for (let block = Math.floor(range.offset / size); block * size < endOf(range); block++) {
      if (!this.#isPresent(block)) continue
      const part = intersect(range, { offset: block * size, length: size })
      if (part !== undefined) await emit(part)
    }
  }
}
