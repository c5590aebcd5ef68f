/** A device that says where it has data: what a MemoryDevice does not. */
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { intersectRanges, type Range } from '../../lib/device/ranges.ts'
import { pattern } from './pattern.ts'

class SparseDevice extends MemoryDevice {
  readonly #data: readonly Range[]

  constructor(content: Buffer, data: readonly Range[]) {
    super(content, { readOnly: true })
    this.#data = data
  }

  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    yield* intersectRanges(this.#data, [within])
  }
}

/** `size` bytes, read-only, with test bytes in `data` (in order, not touching) and zeros elsewhere. */
export function sparseDevice(size: number, data: readonly Range[]): MemoryDevice {
  const content = Buffer.alloc(size)
  for (const { offset, length } of data) pattern(length, offset).copy(content, offset)
  return new SparseDevice(content, data)
}
