/** Where the windows of a disk go: into the payload blocks of an image file, or of an image that is streamed. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, intersect, normalizeRanges, type Range, subtractRanges } from '../device/ranges.ts'
import { StorageError } from '../errors.ts'
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

/** An image that is written, such as a VhdxBuilder: what gives blocks their places in the file. */
export interface BlockPlacer {
  /** Bytes. */
  readonly blockSize: number
  /** Gives `block` the next place, and returns its byte offset. Blocks come in ascending order. */
  place(block: number): Promise<number>
}

/** Bytes `start` to `end` of a window, and where they go. */
interface Placed {
  readonly fileOffset: number
  readonly start: number
  end: number
}

/** Waits for all of `work`, also when some of it fails; then throws the first failure. */
async function settleAll(work: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected')
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
}

/** Bytes of zeros written at a time to complete a block. */
const ZEROS = Buffer.alloc(MiB)

/** Takes `bytes` of the disk, which are there from `offset` on, to byte `place` of the file. */
export type StoreContent = (place: number, bytes: Buffer, offset: number) => Promise<void>

/** Places a block in the file when the first of it that is not zero comes, and writes every byte of the block. */
export class FileBlockWriter implements BlockWriter {
  readonly #file: BlockDevice
  readonly #builder: BlockPlacer
  readonly #store: StoreContent
  #block = -1
  /** Where the current block's payload lies in the file; undefined while nothing but zeros has come. */
  #place: number | undefined
  /** What of the current block has been written, from its start. */
  #written: Range[] = []
  blocks = 0

  /** `store`: what takes content to the file. Default: it is written. */
  constructor(
    file: BlockDevice,
    builder: BlockPlacer,
    store: StoreContent = (place, bytes) => file.write(place, bytes),
  ) {
    this.#file = file
    this.#builder = builder
    this.#store = store
  }

  async write(offset: number, bytes: Buffer): Promise<{ done: Promise<unknown> }> {
    const writes: Promise<void>[] = []
    try {
      for (const { fileOffset, start, end } of await this.#placeParts(offset, bytes, writes)) {
        writes.push(this.#store(fileOffset, bytes.subarray(start, end), offset + start))
      }
    } catch (error) {
      await Promise.allSettled(writes)
      throw error
    }
    return { done: settleAll(writes) }
  }

  async finish(): Promise<void> {
    await settleAll(this.#enter(-1))
  }

  /** Where in the file the parts of the window go; what completes the blocks before them is added to `writes`. */
  async #placeParts(offset: number, bytes: Buffer, writes: Promise<void>[]): Promise<Placed[]> {
    const window = { offset, length: bytes.length }
    const runs: Placed[] = []
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
    return runs
  }

  /** Leaves the current block, zeroing what of it has not been written, for `block`. */
  #enter(block: number): Promise<void>[] {
    const place = this.#place
    const whole = [{ offset: 0, length: this.#builder.blockSize }]
    const rest = place === undefined ? [] : subtractRanges(whole, normalizeRanges(this.#written))
    this.#block = block
    this.#place = undefined
    this.#written = []
    return rest.map(range => {
      const zeroed = this.#file.zero(place! + range.offset, range.length)
      // Whoever asked waits for it, but perhaps for something else before.
      zeroed.catch(() => {})
      return zeroed
    })
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
    for (const { part, isPresent } of this.#blockParts({ offset, length: bytes.length })) {
      const content = bytes.subarray(part.offset - offset, endOf(part) - offset)
      if (isPresent) await this.#builder.payload(content)
      else if (!isZero(content)) throw sourceChanged(part)
    }
    this.#reached = offset + bytes.length
    return { done: Promise.resolve() }
  }

  async finish(): Promise<void> {
    const { blockCount, blockSize } = this.#builder.plan
    await this.#zerosUpTo(blockCount * blockSize)
  }

  async #zerosUpTo(offset: number): Promise<void> {
    for (const { part, isPresent } of this.#blockParts({ offset: this.#reached, length: offset - this.#reached })) {
      if (!isPresent) continue
      for (let left = part.length; left > 0; left -= ZEROS.length) {
        await this.#builder.payload(ZEROS.subarray(0, Math.min(left, ZEROS.length)))
      }
    }
    this.#reached = offset
  }

  /** The part of `range` in each block, in order. */
  *#blockParts(range: Range): Generator<{ part: Range; isPresent: boolean }> {
    const size = this.#builder.plan.blockSize
    for (let block = Math.floor(range.offset / size); block * size < endOf(range); block++) {
      const part = intersect(range, { offset: block * size, length: size })
      if (part !== undefined) yield { part, isPresent: this.#isPresent(block) }
    }
  }
}

/** The BAT is out: a block it does not have cannot be added any more. */
const sourceChanged = ({ offset }: Range) =>
  new StorageError(
    'SOURCE_CHANGED',
    `the source has data at byte ${offset} where it had none when the stream began. Read a source that nobody writes to, such as a snapshot`,
    { offset },
  )
