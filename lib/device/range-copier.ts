/** Ranges of bytes from one device to another, or to another place of the same. */
import { MiB } from '../binary/size.ts'
import { alignedBuffer } from './aligned-memory.ts'
import type { BlockDevice } from './block-device.ts'
import { BufferPool } from './buffer-pool.ts'
import type { Range } from './ranges.ts'

const PIECE_LENGTH = 2 * MiB
/** Pieces in flight: enough for reading and writing to overlap. */
const IN_FLIGHT = 4

export interface CopierOptions {
  /** Called with the bytes that have been copied since the last call. */
  readonly onProgress?: ((bytes: number) => void) | undefined
  /** Stops before the next piece: the promise rejects with its reason when nothing is in flight any more. */
  readonly signal?: AbortSignal | undefined
}

/** Where bytes come from and where they go. */
export interface RangeCopy {
  readonly source: BlockDevice
  readonly from: Range
  readonly target: BlockDevice
  /** The byte of `target` where they begin. */
  readonly offset: number
}

/** Copies ranges, a few pieces at a time however many are asked for at once. */
export class RangeCopier {
  readonly #options: CopierOptions
  #buffers: BufferPool | undefined
  #cloned = 0

  constructor(options: CopierOptions = {}) {
    this.#options = options
  }

  /** How many bytes were not copied, because the medium shares them. */
  get cloned(): number {
    return this.#cloned
  }

  /**
   * Copies one range, without moving a byte where the medium can share it. `from` and the range that it is copied to do
   * not overlap if they are of the same device. Rejects when nothing is in flight any more.
   */
  async copy(job: RangeCopy): Promise<void> {
    const { source, from, target, offset } = job
    this.#options.signal?.throwIfAborted()
    if (await target.cloneFrom(source, from.offset, offset, from.length)) {
      this.#cloned += from.length
      this.#options.onProgress?.(from.length)
      return
    }
    const running: Promise<void>[] = []
    try {
      for (let at = 0; at < from.length; at += PIECE_LENGTH) {
        if (running.length === IN_FLIGHT) await running.shift()
        running.push(this.#copyPiece(job, at))
      }
      await Promise.all(running)
    } finally {
      await Promise.allSettled(running)
    }
  }

  #copyPiece({ source, from, target, offset }: RangeCopy, at: number): Promise<void> {
    this.#buffers ??= new BufferPool(IN_FLIGHT, PIECE_LENGTH, alignedBuffer)
    return this.#buffers.with(async buffer => {
      this.#options.signal?.throwIfAborted()
      const piece = buffer.subarray(0, Math.min(PIECE_LENGTH, from.length - at))
      await source.read(from.offset + at, piece)
      await target.write(offset + at, piece)
      this.#options.onProgress?.(piece.length)
    })
  }
}
