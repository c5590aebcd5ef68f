/** A device that is lent to somebody who would close it. */
import { BlockDevice, type ResizableDevice } from './block-device.ts'
import type { Range } from './ranges.ts'

/** `base`, which stays open when this is closed. */
export class LentDevice extends BlockDevice implements ResizableDevice {
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  override readonly readOnly: boolean
  override readonly growable: boolean
  readonly #base: ResizableDevice

  constructor(base: ResizableDevice) {
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

  resize(size: number): Promise<void> {
    return this.#base.resize(size)
  }

  protected override readBytes(offset: number, target: Buffer): Promise<void> {
    return this.#base.read(offset, target)
  }

  protected override writeBytes(offset: number, source: Buffer): Promise<void> {
    return this.#base.write(offset, source)
  }

  protected override zeroBytes(offset: number, length: number): Promise<void> {
    return this.#base.zero(offset, length)
  }

  protected override trimBytes(offset: number, length: number): Promise<void> {
    return this.#base.trim(offset, length)
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return this.#base.dataRanges(within)
  }

  override flush(): Promise<void> {
    return this.#base.flush()
  }

  override async close(): Promise<void> {}
}
