/** A disk written into a file as it is, byte after byte: raw, or an image in which everything has its place from the start. */
import { MiB } from '../binary/size.ts'
import { alignedBuffer } from '../device/aligned-memory.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import type { BlockWriter } from './block-writer.ts'

/** Bytes of zeros written at a time. */
const PIECE = 4 * MiB

/** Writes every byte, zeros too, so that the file has no holes. */
export class DenseWriter implements BlockWriter {
  readonly #file: BlockDevice
  readonly #place: Range
  readonly #onWritten: (bytes: number) => void
  readonly #signal: AbortSignal | undefined
  #zeros: Buffer | undefined
  /** How far the disk has been given to the file, in bytes from its start. */
  #reached = 0

  /** `place`: where in `file` the disk lies. `onWritten` is told of all bytes, of those that were zeros without having been read too. */
  constructor(file: BlockDevice, place: Range, onWritten: (bytes: number) => void, signal?: AbortSignal) {
    this.#file = file
    this.#place = place
    this.#onWritten = onWritten
    this.#signal = signal
  }

  async write(offset: number, bytes: Buffer): Promise<{ done: Promise<unknown> }> {
    await this.#zerosUpTo(offset)
    this.#reached = offset + bytes.length
    const written = this.#file.write(this.#place.offset + offset, bytes)
    return { done: written.then(() => this.#onWritten(bytes.length)) }
  }

  finish(): Promise<void> {
    return this.#zerosUpTo(this.#place.length)
  }

  async #zerosUpTo(end: number): Promise<void> {
    while (this.#reached < end) {
      this.#signal?.throwIfAborted()
      this.#zeros ??= alignedBuffer(PIECE)
      const piece = { offset: this.#reached, length: Math.min(PIECE - (this.#reached % PIECE), end - this.#reached) }
      await this.#file.write(this.#place.offset + piece.offset, this.#zeros.subarray(0, piece.length))
      this.#reached = endOf(piece)
      this.#onWritten(piece.length)
    }
  }
}
