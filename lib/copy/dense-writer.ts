/** A disk written into a file as it is, byte after byte: raw, or an image in which everything has its place from the start. */
import { MiB } from '../binary/size.ts'
import { alignedBuffer } from '../device/aligned-memory.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import type { BlockWriter, StoreContent } from './block-writer.ts'

/** Bytes of zeros written at a time. */
const PIECE = 4 * MiB

interface DenseWriterOptions {
  /** Told of all bytes that got into the file, of zeros that were not read too. */
  readonly onWritten?: (bytes: number) => void
  /** What takes content to the file. Default: it is written. */
  readonly store?: StoreContent
  /** Stops between two pieces of zeros. */
  readonly signal?: AbortSignal | undefined
}

/** Writes every byte, zeros too, so that the file has no holes. */
export class DenseWriter implements BlockWriter {
  readonly #file: BlockDevice
  readonly #place: Range
  readonly #options: DenseWriterOptions
  #zeros: Buffer | undefined
  /** How far the disk has been given to the file, in bytes from its start. */
  #reached = 0

  /** `place`: where in `file` the disk lies. */
  constructor(file: BlockDevice, place: Range, options: DenseWriterOptions = {}) {
    this.#file = file
    this.#place = place
    this.#options = options
  }

  async write(offset: number, bytes: Buffer): Promise<{ done: Promise<unknown> }> {
    await this.#zerosUpTo(offset)
    this.#reached = offset + bytes.length
    const place = this.#place.offset + offset
    const stored = this.#options.store?.(place, bytes, offset) ?? this.#file.write(place, bytes)
    return { done: stored.then(() => this.#options.onWritten?.(bytes.length)) }
  }

  finish(): Promise<void> {
    return this.#zerosUpTo(this.#place.length)
  }

  async #zerosUpTo(end: number): Promise<void> {
    while (this.#reached < end) {
      this.#options.signal?.throwIfAborted()
      this.#zeros ??= alignedBuffer(PIECE)
      const piece = { offset: this.#reached, length: Math.min(PIECE - (this.#reached % PIECE), end - this.#reached) }
      await this.#file.write(this.#place.offset + piece.offset, this.#zeros.subarray(0, piece.length))
      this.#reached = endOf(piece)
      this.#options.onWritten?.(piece.length)
    }
  }
}
