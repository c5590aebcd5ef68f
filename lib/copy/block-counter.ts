/** How many blocks of a disk are not all zeros. */
import { roundDown } from '../binary/size.ts'
import type { BlockWriter } from './block-writer.ts'
import { isZero } from './content-hash.ts'

/** Takes the windows of a disk as an image would, and writes nothing. */
export class BlockCounter implements BlockWriter {
  blocks = 0
  readonly #blockSize: number
  /** Where the last block that was counted ends. */
  #counted = 0

  /** `blockSize` in bytes. */
  constructor(blockSize: number) {
    this.#blockSize = blockSize
  }

  async write(offset: number, bytes: Buffer): Promise<{ done: Promise<unknown> }> {
    const end = offset + bytes.length
    for (let at = Math.max(offset, this.#counted); at < end; ) {
      const next = Math.min(end, roundDown(at, this.#blockSize) + this.#blockSize)
      if (!isZero(bytes.subarray(at - offset, next - offset))) {
        this.blocks++
        this.#counted = roundDown(at, this.#blockSize) + this.#blockSize
      }
      at = Math.max(next, this.#counted)
    }
    return { done: Promise.resolve() }
  }

  async finish(): Promise<void> {}
}
