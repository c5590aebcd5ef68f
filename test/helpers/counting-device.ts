/** A device that counts what is asked of the one below. */
import { BlockDevice } from '../../lib/device/block-device.ts'
import type { Range } from '../../lib/device/ranges.ts'

/** `base`, with its requests counted. */
export class CountingDevice extends BlockDevice {
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  override readonly readOnly: boolean
  override readonly growable: boolean
  /** Every request in the order they came. */
  readonly reads: Range[] = []
  readonly writes: Range[] = []
  flushes = 0
  /** How many requests were under way at most. */
  mostAtOnce = 0
  readonly #base: BlockDevice
  #underWay = 0

  constructor(base: BlockDevice) {
    super()
    this.#base = base
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
    this.readOnly = base.readOnly
    this.growable = base.growable
  }

  get size(): number {
    return this.#base.size
  }

  get bytesRead(): number {
    return this.reads.reduce((sum, { length }) => sum + length, 0)
  }

  get bytesWritten(): number {
    return this.writes.reduce((sum, { length }) => sum + length, 0)
  }

  protected override readBytes(offset: number, target: Buffer): Promise<void> {
    this.reads.push({ offset, length: target.length })
    return this.#counted(this.#base.read(offset, target))
  }

  protected override writeBytes(offset: number, source: Buffer): Promise<void> {
    this.writes.push({ offset, length: source.length })
    return this.#counted(this.#base.write(offset, source))
  }

  protected override zeroBytes(offset: number, length: number): Promise<void> {
    this.writes.push({ offset, length })
    return this.#counted(this.#base.zero(offset, length))
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return this.#base.dataRanges(within)
  }

  override flush(): Promise<void> {
    this.flushes++
    return this.#base.flush()
  }

  async close(): Promise<void> {}

  async #counted(request: Promise<void>): Promise<void> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay)
    try {
      await request
    } finally {
      this.#underWay--
    }
  }
}
