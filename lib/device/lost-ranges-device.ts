/** A device some of whose bytes were lost when it was copied: the copy has zeros there, which are not what was. */
import type { StorageError } from '../errors.ts'
import { BlockDevice } from './block-device.ts'
import { endOf, intersect, normalizeRanges, type Range, streamOf } from './ranges.ts'
import { unionRanges } from './union-ranges.ts'

/** `base`, for reading, where reading a lost byte fails. Closing leaves `base` open. */
export class LostRangesDevice extends BlockDevice {
  override readonly readOnly = true
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  readonly size: number
  readonly #base: BlockDevice
  readonly #lost: readonly Range[]
  readonly #errorOf: (lost: Range) => StorageError

  /** `lost` may be in any order, and reach beyond the device. `errorOf`: why the bytes of a range of it cannot be read. */
  constructor(base: BlockDevice, lost: readonly Range[], errorOf: (lost: Range) => StorageError) {
    super()
    this.#base = base
    this.#errorOf = errorOf
    this.size = base.size
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
    const inside = lost.map(range => intersect(range, { offset: 0, length: base.size }))
    this.#lost = normalizeRanges(inside.filter(range => range !== undefined))
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    const lost = this.#firstLostIn({ offset, length: target.length })
    if (lost === undefined) return this.#base.read(offset, target)
    throw this.#errorOf(lost)
  }

  #firstLostIn(range: Range): Range | undefined {
    let [low, high] = [0, this.#lost.length]
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (endOf(this.#lost[middle]!) <= range.offset) low = middle + 1
      else high = middle
    }
    const next = this.#lost[low]
    return next && intersect(next, range)
  }

  /** What was lost is no hole, though the copy has one there. */
  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    const lost = this.#lost.map(range => intersect(range, within)).filter(range => range !== undefined)
    return unionRanges([
      { extent: within, ranges: () => this.#base.dataRanges(within) },
      { extent: within, ranges: () => streamOf(lost) },
    ])
  }

  protected override writeBytes(): Promise<void> {
    throw new Error('a device that is read-only was written')
  }

  override async close(): Promise<void> {}
}
