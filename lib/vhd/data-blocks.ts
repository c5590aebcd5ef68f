/** The blocks of a dynamic or differencing image and their bitmaps, spec-notes/vhd.md, "Sector bitmaps". */
import { KiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { type Extent, ExtentList } from '../device/extents.ts'
import { endOf, intersect, type Range } from '../device/ranges.ts'
import { formatError, hex } from '../errors.ts'
import { Bat } from './bat.ts'
import { BAT_ENTRY_SIZE, dynamicHeader, footer, SECTOR_SIZE } from './format.ts'
import { bitmapLength, sectorRuns } from './layout.ts'
import type { VhdStructures } from './structures.ts'

/** Where each byte of the disk lies in the file. Nothing is read until it is needed. */
export class DataBlocks {
  readonly bat: Bat
  readonly blockSize: number
  readonly #bitmapLength: number
  readonly #bitmaps: CachedDevice
  /** Nothing of a block may lie on these. */
  readonly #areas: readonly (Range & { readonly name: string })[]
  readonly #end: number

  constructor(file: BlockDevice, { end }: VhdStructures, dynamic: NonNullable<VhdStructures['dynamic']>) {
    const { header, position, blockSize, blockCount } = dynamic
    this.bat = new Bat(file, header.tableOffset, blockCount)
    this.blockSize = blockSize
    this.#bitmapLength = bitmapLength(blockSize)
    this.#bitmaps = new CachedDevice(file, { chunkSize: 4 * KiB, capacity: 256 * KiB })
    this.#end = end
    this.#areas = [
      { name: 'copy of the footer', offset: 0, length: footer.size },
      { name: 'dynamic disk header', offset: position, length: dynamicHeader.size },
      { name: 'block allocation table', offset: header.tableOffset, length: blockCount * BAT_ENTRY_SIZE },
    ]
  }

  /**
   * Where the bytes of `range` are, in order. With a parent, sectors whose bit is not set are the parent's; without one
   * the bitmap has nothing to say: spec-notes/vhd.md, "Sector bitmaps".
   */
  async extents(range: Range, hasParent: boolean): Promise<Extent[]> {
    const extents = new ExtentList()
    const elsewhere = hasParent ? 'parent' : 'zeros'
    for (let offset = range.offset; offset < endOf(range); ) {
      const block = Math.floor(offset / this.blockSize)
      const within = offset - block * this.blockSize
      const length = Math.min(this.blockSize - within, endOf(range) - offset)
      const place = await this.#placeOf(block, within + length)
      if (place === undefined) extents.add({ offset, length }, elsewhere, offset)
      else if (hasParent) await this.#addSectors(extents, place, block, { offset: within, length })
      else extents.add({ offset, length }, 'file', place + this.#bitmapLength + within)
      offset += length
    }
    return extents.list
  }

  /** Adds bytes `within` of `block`, which lies at byte `place` of the file, sector by sector. */
  async #addSectors(extents: ExtentList, place: number, block: number, within: Range): Promise<void> {
    const [first, end] = [Math.floor(within.offset / SECTOR_SIZE), Math.ceil(endOf(within) / SECTOR_SIZE)]
    const skipped = Math.floor(first / 8)
    const bitmap = Buffer.alloc(Math.ceil(end / 8) - skipped)
    await this.#bitmaps.read(place + skipped, bitmap)
    for (const { sector, count, present } of sectorRuns(bitmap, first - skipped * 8, end - skipped * 8)) {
      const sectors = { offset: (sector + skipped * 8) * SECTOR_SIZE, length: count * SECTOR_SIZE }
      const run = intersect(sectors, within)!
      const offset = block * this.blockSize + run.offset
      const range = { offset, length: run.length }
      if (present) extents.add(range, 'file', place + this.#bitmapLength + run.offset)
      else extents.add(range, 'parent', offset)
    }
  }

  /** Where in the file `block` begins, of which the first `length` bytes are needed; undefined where it has no place. */
  async #placeOf(block: number, length: number): Promise<number | undefined> {
    const offset = await this.bat.placeOf(block)
    if (offset === undefined) return undefined
    const fail = (code: string, expected: string, actual: string) => {
      const structure = `VHD BAT entry of block ${block}`
      const advice = 'What this block holds is not sure: restore the file from a copy, or copy the other blocks out'
      throw formatError(code, { structure, position: this.bat.positionOf(block), expected, actual, advice })
    }
    const place = { offset, length: this.#bitmapLength + length }
    const area = this.#areas.find(area => intersect(area, place) !== undefined)
    if (area !== undefined) fail('VHD_BAT_ON_STRUCTURE', 'in free space', `at byte ${hex(offset)}, in the ${area.name}`)
    if (endOf(place) > this.#end) {
      fail('VHD_BAT_BEYOND_END', `before byte ${hex(this.#end)}, where the blocks end`, `at byte ${hex(offset)}`)
    }
    return offset
  }
}
