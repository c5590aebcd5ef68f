/** A device that fails as disks do: bad sectors, a cable pulled out, a target that is full. */
import { BlockDevice } from '../../lib/device/block-device.ts'
import { intersect, type Range } from '../../lib/device/ranges.ts'
import { StorageError } from '../../lib/errors.ts'

export interface Faults {
  /** Bytes whose reads fail with READ_ERROR, such as `{ offset: 512, length: 512 }`. */
  readonly unreadable?: readonly Range[]
  /** Every request after so many fails with DEVICE_GONE. */
  readonly requests?: number
  /** Writes fail with NO_SPACE when more bytes than this would have been written. */
  readonly space?: number
}

/** `base`, with `faults`. */
export class FaultyDevice extends BlockDevice {
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  override readonly readOnly: boolean
  override readonly growable: boolean
  readonly #base: BlockDevice
  readonly #unreadable: readonly Range[]
  #requestsLeft: number
  #spaceLeft: number

  constructor(base: BlockDevice, faults: Faults = {}) {
    super()
    this.#base = base
    this.#unreadable = faults.unreadable ?? []
    this.#requestsLeft = faults.requests ?? Number.POSITIVE_INFINITY
    this.#spaceLeft = faults.space ?? Number.POSITIVE_INFINITY
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
    this.readOnly = base.readOnly
    this.growable = base.growable
  }

  get size(): number {
    return this.#base.size
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    this.#count()
    const request = { offset, length: target.length }
    if (this.#unreadable.some(range => intersect(range, request) !== undefined)) {
      throw new StorageError('READ_ERROR', `cannot read ${target.length} bytes at byte ${offset}: EIO`, {
        position: offset,
        length: target.length,
      })
    }
    await this.#base.read(offset, target)
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    this.#count()
    this.#take(source.length)
    await this.#base.write(offset, source)
  }

  protected override async zeroBytes(offset: number, length: number): Promise<void> {
    this.#count()
    this.#take(length)
    await this.#base.zero(offset, length)
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return this.#base.dataRanges(within)
  }

  override async flush(): Promise<void> {
    this.#count()
    await this.#base.flush()
  }

  async close(): Promise<void> {}

  #count(): void {
    if (this.#requestsLeft-- <= 0) throw new StorageError('DEVICE_GONE', 'the device is not there any more')
  }

  #take(length: number): void {
    this.#spaceLeft -= length
    if (this.#spaceLeft < 0) throw new StorageError('NO_SPACE', 'no space is left')
  }
}
