/** A device of any size, larger than any memory, that is zeros but for what was written. */
import { BlockDevice } from '../../lib/device/block-device.ts'
import { intersect, normalizeRanges, type Range } from '../../lib/device/ranges.ts'

/** `size` bytes. Every write is kept as it came, the later ones over the earlier. */
export class VastDevice extends BlockDevice {
  readonly size: number
  override readonly sectorSize: number
  readonly #pieces: { offset: number; bytes: Buffer }[] = []

  constructor(size: number, sectorSize = 512) {
    super()
    this.size = size
    this.sectorSize = sectorSize
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    target.fill(0)
    for (const piece of this.#pieces) {
      const part = intersect({ offset: piece.offset, length: piece.bytes.length }, { offset, length: target.length })
      if (part === undefined) continue
      const from = part.offset - piece.offset
      piece.bytes.copy(target, part.offset - offset, from, from + part.length)
    }
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    this.#pieces.push({ offset, bytes: Buffer.from(source) })
  }

  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    const written = this.#pieces.map(({ offset, bytes }) => ({ offset, length: bytes.length }))
    for (const range of normalizeRanges(written)) {
      const part = intersect(range, within)
      if (part !== undefined) yield part
    }
  }

  async close(): Promise<void> {}
}
