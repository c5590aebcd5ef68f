/** The blocks of a dynamic or differencing image and their bitmaps, spec-notes/vhd.md, "Sector bitmaps". */
import { KiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { endOf, intersect, type Range } from '../device/ranges.ts'
import { formatError, hex } from '../errors.ts'
import { Bat } from './bat.ts'
import { BAT_ENTRY_SIZE, dynamicHeader, footer, SECTOR_SIZE } from './format.ts'
import { bitmapLength, sectorRuns } from './layout.ts'
import type { VhdStructures } from './structures.ts'

/** Bytes of the disk, and where in the file they lie; undefined where they are not in it. */
export interface Piece extends Range {
  readonly fileOffset: number | undefined
}

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
   * `range` in pieces, in order. `byBitmap`: sectors whose bit is not set are not in the file. Without a parent the
   * bitmap has nothing to say: spec-notes/vhd.md, "Sector bitmaps".
   */
  async pieces(range: Range, byBitmap: boolean): Promise<Piece[]> {
    const pieces: Piece[] = []
    for (let offset = range.offset; offset < endOf(range); ) {
      const block = Math.floor(offset / this.blockSize)
      const within = offset - block * this.blockSize
      const length = Math.min(this.blockSize - within, endOf(range) - offset)
      const place = await this.#placeOf(block, within + length)
      if (place === undefined) pieces.push({ offset, length, fileOffset: undefined })
      else if (byBitmap) pieces.push(...(await this.#sectorPieces(place, block, { offset: within, length })))
      else pieces.push({ offset, length, fileOffset: place + this.#bitmapLength + within })
      offset += length
    }
    return pieces
  }

  /** Bytes `within` of `block`, which lies at byte `place` of the file, sector by sector. */
  async #sectorPieces(place: number, block: number, within: Range): Promise<Piece[]> {
    const [first, end] = [Math.floor(within.offset / SECTOR_SIZE), Math.ceil(endOf(within) / SECTOR_SIZE)]
    const skipped = Math.floor(first / 8)
    const bitmap = Buffer.alloc(Math.ceil(end / 8) - skipped)
    await this.#bitmaps.read(place + skipped, bitmap)
    return sectorRuns(bitmap, first - skipped * 8, end - skipped * 8).map(({ sector, count, present }) => {
      const sectors = { offset: (sector + skipped * 8) * SECTOR_SIZE, length: count * SECTOR_SIZE }
      const { offset, length } = intersect(sectors, within)!
      const fileOffset = present ? place + this.#bitmapLength + offset : undefined
      return { offset: block * this.blockSize + offset, length, fileOffset }
    })
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
