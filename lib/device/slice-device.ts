/** A part of a device, seen as a device: a partition of a disk. */
import { OutOfRangeError } from '../errors.ts'
import { BlockDevice } from './block-device.ts'
import { mergeTouching, type Range, shift } from './ranges.ts'

/** `length` bytes of `base` from `offset`. Closing it leaves `base` open: the slice does not own it. */
export class SliceDevice extends BlockDevice {
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  override readonly readOnly: boolean
  readonly size: number
  readonly #base: BlockDevice
  readonly #offset: number

  /** Throws OutOfRangeError when the part is not wholly inside `base`. */
  constructor(base: BlockDevice, { offset, length }: Range) {
    super()
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
    if (!whole || offset < 0 || length < 0 || offset + length > base.size) {
      throw new OutOfRangeError(
        'OUT_OF_RANGE',
        `a slice of ${length} bytes at byte ${offset} does not fit a device of ${base.size} bytes`,
        { offset, length, size: base.size },
      )
    }
    this.#base = base
    this.#offset = offset
    this.size = length
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
    this.readOnly = base.readOnly
  }

  protected override readBytes(offset: number, target: Buffer): Promise<void> {
    return this.#base.read(this.#offset + offset, target)
  }

  protected override writeBytes(offset: number, source: Buffer): Promise<void> {
    return this.#base.write(this.#offset + offset, source)
  }

  protected override zeroBytes(offset: number, length: number): Promise<void> {
    return this.#base.zero(this.#offset + offset, length)
  }

  protected override trimBytes(offset: number, length: number): Promise<void> {
    return this.#base.trim(this.#offset + offset, length)
  }

  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    const ranges = this.#base.dataRanges(shift(within, this.#offset))
    for await (const range of mergeTouching(ranges)) yield shift(range, -this.#offset)
  }

  override flush(): Promise<void> {
    return this.#base.flush()
  }

  override async close(): Promise<void> {}
}
