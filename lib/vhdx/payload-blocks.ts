/** Where the bytes of the disk are: in this file, in the parent, or nowhere because they are zeros. [MS-VHDX] 2.5.1.1. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice, ByteSource } from '../device/block-device.ts'
import { type Extent, ExtentList } from '../device/extents.ts'
import { endOf, intersect, mergeTouching, type Range } from '../device/ranges.ts'
import { unionRanges } from '../device/union-ranges.ts'
import { Bat, type BatEntry } from './bat.ts'
import { reservedBitsOf, stateOf } from './bat-entry.ts'
import { BITMAP_BLOCK_SIZE, BITMAP_PRESENT, FULLY_PRESENT, NOT_PRESENT, PARTIALLY_PRESENT, UNMAPPED } from './format.ts'
import type { Geometry } from './layout.ts'
import type { NewBlock } from './new-block.ts'
import { PageCache, type Pages } from './page-cache.ts'
import { atByte, errorOf, problem, type RuleCode } from './rules.ts'
import { SectorBitmap } from './sector-bitmap.ts'
import type { Area } from './structures.ts'

/** What a run of blocks can hold, told by their BAT entries alone. */
const NOTHING = 0
const DATA = 1
const INHERITED = 2
const MIXED = 3

export class PayloadBlocks {
  readonly bat: Bat
  /** By their numbers, blocks that the BAT does not tell of yet. */
  readonly newBlocks = new Map<number, NewBlock>()
  readonly #file: ByteSource
  readonly #geometry: Geometry
  readonly #areas: readonly Area[]
  readonly #pages: Pages

  /**
   * The blocks of `file` by the BAT at `batOffset` of it. `areas`: where no block may lie. `pages`: through which BAT and
   * bitmaps are read. Nothing is read yet.
   */
  constructor(
    file: ByteSource,
    batOffset: number,
    geometry: Geometry,
    areas: readonly Area[],
    pages: Pages = new PageCache(file),
  ) {
    this.#file = file
    this.#geometry = geometry
    this.#areas = areas
    this.#pages = pages
    this.bat = new Bat(file, batOffset, geometry, pages)
  }

  /** Where the bytes of `range` are, in order. Throws FormatError with the code of the rule that an entry breaks. */
  async extents(range: Range): Promise<Extent[]> {
    const { blockSize } = this.#geometry
    const extents = new ExtentList()
    for (let offset = range.offset; offset < endOf(range); ) {
      const block = Math.floor(offset / blockSize)
      const start = block * blockSize
      const piece = { offset, length: Math.min(start + blockSize, endOf(range)) - offset }
      const newBlock = this.newBlocks.get(block)
      if (newBlock === undefined) await this.#addExtents(extents, block, piece)
      else {
        for (const run of newBlock.runs(piece)) {
          if (run.isWritten) extents.add(run, 'file', newBlock.placeOf(run.offset))
          else extents.add(run, newBlock.rest, run.offset)
        }
      }
      offset = endOf(piece)
    }
    return extents.list
  }

  /** `piece`: of the disk, all of it in `block`. */
  async #addExtents(extents: ExtentList, block: number, piece: Range): Promise<void> {
    const entry = await this.bat.entry(block)
    const source = this.#sourceOf(block, entry)
    if (source === undefined) {
      const place = this.#placeOf(block, entry, piece)
      const bitmap = await this.#bitmapOf(block)
      for await (const run of bitmap.runs(piece)) {
        if (run.isPresent) extents.add(run, 'file', place + run.offset - piece.offset)
        else extents.add(run, 'parent', run.offset)
      }
    } else extents.add(piece, source, source === 'file' ? this.#placeOf(block, entry, piece) : piece.offset)
  }

  /**
   * Where data may be in `within`, here or in `parent`, in order. Blocks whose entries are broken count as data, so that
   * whoever copies by ranges comes upon the error.
   */
  dataRanges(within: Range, parent: BlockDevice | undefined): AsyncIterable<Range> {
    return mergeTouching(this.#dataInOrder(within, parent))
  }

  async *#dataInOrder(within: Range, parent: BlockDevice | undefined): AsyncIterable<Range> {
    const { blockSize, hasParent } = this.#geometry
    const [first, end] = [Math.floor(within.offset / blockSize), Math.ceil(endOf(within) / blockSize)]
    for await (const { kind, block, count } of this.bat.runs(low => contentOf(low, hasParent), first, end)) {
      const range = intersect({ offset: block * blockSize, length: count * blockSize }, within)
      if (range === undefined || kind === NOTHING) continue
      if (kind === DATA) yield range
      if (kind === INHERITED) yield* inherited(range, parent)
      if (kind === MIXED) {
        yield* unionRanges([
          { extent: range, ranges: () => this.#presentSectors(range) },
          { extent: range, ranges: () => inherited(range, parent) },
        ])
      }
    }
  }

  /**
   * By the BAT, the state of the block that `piece` of the disk lies in, and the byte of the file where the piece lies; undefined
   * where the block is not in the file. Throws FormatError with the code of the rule that its entry breaks.
   */
  async locate(piece: Range): Promise<BlockPlace> {
    const block = Math.floor(piece.offset / this.#geometry.blockSize)
    const entry = await this.bat.entry(block)
    const source = this.#sourceOf(block, entry)
    const isHere = source === 'file' || source === undefined
    return { state: entry.state, place: isHere ? this.#placeOf(block, entry, piece) : undefined }
  }

  /**
   * Where in the file the bitmap of the chunk of `block` lies; undefined when it has none yet. Throws FormatError with
   * the code of the rule that its entry breaks.
   */
  async bitmapPlace(block: number): Promise<number | undefined> {
    const entry = await this.bat.bitmapEntry(block)
    const flaw = this.#bitmapFlaw(entry)
    if (flaw === undefined) return entry.mebibyte * MiB
    if (flaw.code === 'BAT_PARTIAL_NO_BITMAP') return undefined
    throw this.#brokenBitmap(block, entry, flaw)
  }

  /** The sectors of partially present blocks that are in this file. Without a bitmap that says so, all of them. */
  async *#presentSectors(range: Range): AsyncIterable<Range> {
    const { blockSize } = this.#geometry
    for (let offset = range.offset; offset < endOf(range); ) {
      const block = Math.floor(offset / blockSize)
      const piece = { offset, length: Math.min((block + 1) * blockSize, endOf(range)) - offset }
      const entry = await this.bat.bitmapEntry(block)
      if (this.#bitmapFlaw(entry) !== undefined) yield piece
      else for await (const run of this.#bitmapAt(block, entry).runs(piece)) if (run.isPresent) yield run
      offset = endOf(piece)
    }
  }

  /** Where all of a block's bytes come from; undefined where its bitmap says that of each sector. */
  #sourceOf(block: number, { state, reservedBits, position }: BatEntry): Extent['source'] | undefined {
    const fail = (code: RuleCode, expected: string, actual: string) =>
      broken(code, entryName(block), position, expected, actual)
    if (reservedBits !== 0)
      throw fail('BAT_RESERVED_BITS', 'without reserved bits', `with 0x${reservedBits.toString(16)}`)
    if (state === NOT_PRESENT && this.#geometry.hasParent) return 'parent'
    if (state <= UNMAPPED) return 'zeros'
    if (state === FULLY_PRESENT) return 'file'
    if (state !== PARTIALLY_PRESENT) throw fail('BAT_STATE', 'in a known state', `in state ${state}`)
    if (!this.#geometry.hasParent) throw fail('BAT_PARTIAL', 'whole, for there is no parent', 'partially present')
    return undefined
  }

  /** The byte of the file where `piece` of the disk, all of it in `block`, lies. */
  #placeOf(block: number, entry: BatEntry, piece: Range): number {
    const { blockSize } = this.#geometry
    const within = { offset: piece.offset - block * blockSize, length: piece.length }
    const flaw = this.#placeFlaw(entry, blockSize, endOf(within))
    if (flaw !== undefined) throw broken(flaw.code, entryName(block), entry.position, flaw.expected, flaw.actual)
    return entry.mebibyte * MiB + within.offset
  }

  /** What is wrong with the place of a block of `length` bytes, of which the first `needed` have to be in the file. */
  #placeFlaw({ mebibyte }: BatEntry, length: number, needed: number): Flaw | undefined {
    const place = { offset: mebibyte * MiB, length }
    const actual = `at ${atByte(place.offset)}`
    const area = this.#areas.find(area => intersect(area, place) !== undefined)
    if (area !== undefined) {
      return { code: 'BAT_ON_STRUCTURE', expected: 'in free space', actual: `${actual}, in the ${area.name}` }
    }
    if (place.offset + needed <= this.#file.size) return undefined
    return { code: 'BAT_BEYOND_END', expected: `inside the file of ${this.#file.size} bytes`, actual }
  }

  async #bitmapOf(block: number): Promise<SectorBitmap> {
    const entry = await this.bat.bitmapEntry(block)
    const flaw = this.#bitmapFlaw(entry)
    if (flaw === undefined) return this.#bitmapAt(block, entry)
    throw this.#brokenBitmap(block, entry, flaw)
  }

  #brokenBitmap(block: number, entry: BatEntry, { code, expected, actual }: Flaw): Error {
    const chunk = Math.floor(block / this.#geometry.chunkRatio)
    return broken(code, `VHDX BAT entry of sector bitmap ${chunk}`, entry.position, expected, actual)
  }

  /** What keeps the bitmap of a partially present block from being read. */
  #bitmapFlaw(entry: BatEntry): Flaw | undefined {
    const { state, reservedBits } = entry
    const expected = 'present, for a block of its chunk is partially present'
    if (reservedBits !== 0) {
      const actual = `with 0x${reservedBits.toString(16)}`
      return { code: 'BAT_RESERVED_BITS', expected: 'without reserved bits', actual }
    }
    if (state === NOT_PRESENT) return { code: 'BAT_PARTIAL_NO_BITMAP', expected, actual: 'not present' }
    if (state !== BITMAP_PRESENT) return { code: 'BAT_BITMAP_STATE', expected, actual: `in state ${state}` }
    return this.#placeFlaw(entry, BITMAP_BLOCK_SIZE, BITMAP_BLOCK_SIZE)
  }

  #bitmapAt(block: number, { mebibyte }: BatEntry): SectorBitmap {
    const { blockSize, chunkRatio, logicalSectorSize } = this.#geometry
    const length = chunkRatio * blockSize
    const chunk = { offset: Math.floor(block / chunkRatio) * length, length }
    return new SectorBitmap(this.#pages, mebibyte * MiB, chunk, logicalSectorSize)
  }
}

/** The state of a block, and where in the file its bytes are. */
export interface BlockPlace {
  readonly state: number
  readonly place: number | undefined
}

interface Flaw {
  readonly code: RuleCode
  readonly expected: string
  readonly actual: string
}

const entryName = (block: number) => `VHDX BAT entry of block ${block}`

const broken = (code: RuleCode, structure: string, position: number, expected: string, actual: string) =>
  errorOf(problem(code, { structure, position, expected, actual }))

/** Hot: once per entry of the table. */
function contentOf(low: number, hasParent: boolean): number {
  const state = stateOf(low)
  if (reservedBitsOf(low) !== 0) return DATA
  if (state === NOT_PRESENT && hasParent) return INHERITED
  if (state === PARTIALLY_PRESENT && hasParent) return MIXED
  return state <= UNMAPPED ? NOTHING : DATA
}

/** The data of `parent` in `range`, as far as it reaches. */
async function* inherited(range: Range, parent: BlockDevice | undefined): AsyncIterable<Range> {
  const reached = parent && intersect(range, { offset: 0, length: parent.size })
  if (parent !== undefined && reached !== undefined) yield* parent.dataRanges(reached)
}
