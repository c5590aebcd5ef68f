/** The disk in a VHD file. */
import { KiB } from '../binary/size.ts'
import { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { endOf, intersect, mergeTouching, type Range } from '../device/ranges.ts'
import { formatError, hex, ReadOnlyError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { Bat } from './bat.ts'
import { creatorOf, dateOf } from './footer.ts'
import { BAT_ENTRY_SIZE, dynamicHeader, footer, SECTOR_SIZE, type VhdType } from './format.ts'
import { bitmapLength, sectorRuns } from './layout.ts'
import type { VhdParent } from './parent-locator.ts'
import { readVhdStructures, type VhdStructures } from './structures.ts'

/** How `VhdDevice.open` opens. */
export interface VhdOpenOptions {
  /**
   * The disk that a differencing image is a change of. Whoever opens it has made sure that it is the right one, and
   * keeps it open as long as the image. An image without a parent does not use it.
   */
  readonly parent?: BlockDevice | undefined
}

/**
 * The disk in a fixed, dynamic or differencing VHD, for reading. Its size is the footer's current size, whatever the
 * cylinders, heads and sectors beside it say. Memory is bounded whatever its size; opening reads no block table.
 */
export class VhdDevice extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  readonly type: VhdType
  /** What a child of this image knows it by. */
  readonly uniqueId: string
  /** Who made the file, by its own word. */
  readonly creator: string
  readonly created: Date | undefined
  /** Bytes; undefined for a fixed image. */
  readonly blockSize: number | undefined
  /** What a differencing image says of its parent. */
  readonly parentLink: VhdParent | undefined
  /** What is not as it should be and did no harm. */
  readonly findings: readonly Finding[]
  readonly #file: BlockDevice
  readonly #blocks: Blocks | undefined
  readonly #parent: BlockDevice | undefined

  private constructor(file: BlockDevice, structures: VhdStructures, parent: BlockDevice | undefined) {
    super()
    const { type, footer, dynamic, findings } = structures
    this.#file = file
    this.#parent = parent
    this.#blocks = dynamic && new Blocks(file, structures, dynamic)
    this.type = type
    this.size = footer.currentSize
    this.uniqueId = footer.uniqueId
    this.creator = creatorOf(footer)
    this.created = dateOf(footer.timestamp)
    this.blockSize = dynamic?.blockSize
    this.parentLink = structures.parent
    this.findings = findings
  }

  /**
   * Opens the image in `file`, which from then on belongs to the device: closing the device closes it. When opening
   * fails it stays the caller's, as the parent does in any case. Throws FormatError, of PARENT_SIZE too, and
   * UnsupportedError for a differencing image without its parent (PARENT_NOT_OPENED) and for versions and types that are
   * not known.
   */
  static async open(file: BlockDevice, { parent }: VhdOpenOptions = {}): Promise<VhdDevice> {
    const structures = await readVhdStructures(file)
    if (structures.parent === undefined) return new VhdDevice(file, structures, undefined)
    if (parent === undefined) throw notOpened(structures.parent)
    const { currentSize } = structures.footer
    if (parent.size !== currentSize) throw otherSize(currentSize, parent.size, structures.end)
    return new VhdDevice(file, structures, parent)
  }

  /** How many blocks have a place in the file; undefined for a fixed image. Reads the whole block allocation table. */
  async allocatedBlocks(): Promise<number | undefined> {
    return this.#blocks?.bat.presentCount()
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    if (this.#blocks === undefined) return this.#file.read(offset, target)
    const pieces = await this.#blocks.pieces({ offset, length: target.length }, this.#parent !== undefined)
    await Promise.all(
      pieces.map(({ offset: at, length, fileOffset }) => {
        const part = target.subarray(at - offset, at - offset + length)
        return fileOffset === undefined ? this.#readElsewhere(at, part) : this.#file.read(fileOffset, part)
      }),
    )
  }

  /** What this image does not have is the parent's, or zeros. */
  async #readElsewhere(offset: number, target: Buffer): Promise<void> {
    if (this.#parent === undefined) target.fill(0)
    else await this.#parent.read(offset, target)
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return mergeTouching(
      this.#blocks === undefined ? this.#file.dataRanges(within) : this.#dataIn(within, this.#blocks),
    )
  }

  async *#dataIn(within: Range, { bat, blockSize }: Blocks): AsyncIterable<Range> {
    const [first, end] = [Math.floor(within.offset / blockSize), Math.ceil(endOf(within) / blockSize)]
    for await (const { block, count, present } of bat.runs(first, end)) {
      const range = intersect({ offset: block * blockSize, length: count * blockSize }, within)
      if (range === undefined) continue
      if (present) yield range
      else if (this.#parent !== undefined) yield* this.#parent.dataRanges(range)
    }
  }

  protected override writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'images are opened for reading only')
  }

  override close(): Promise<void> {
    return this.#file.close()
  }
}

const notOpened = ({ uniqueId, paths }: VhdParent) =>
  new UnsupportedError(
    'PARENT_NOT_OPENED',
    `this is a differencing VHD: without its parent, ${paths.map(path => `'${path}'`).join(' or ')}, it cannot be read`,
    { uniqueId, paths },
  )

const otherSize = (size: number, parentSize: number, end: number) =>
  formatError('PARENT_SIZE', {
    structure: footer.name,
    field: 'currentSize',
    position: end + footer.offsetOf('currentSize'),
    expected: `${parentSize}, as in its parent`,
    actual: `${size}`,
    advice: 'One of them was resized, and what the child has fits no other parent: look for an unchanged copy',
  })

/** Bytes of the disk, and where in the file they lie; undefined where they are not in it. */
interface Piece extends Range {
  readonly fileOffset: number | undefined
}

/** The blocks of a dynamic or differencing image. */
class Blocks {
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
