/**
 * How the bytes of the disk change, [MS-VHDX] 2.5.1.1: in place where a block is in the file, else by giving it a place.
 * A block gets its entry in the BAT only when all of its bytes are written: what lay in its place before never shows.
 */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { RangeLock } from '../device/range-lock.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { stateOf, writeEntry } from './bat-entry.ts'
import {
  BAT_ENTRY_SIZE,
  BITMAP_BLOCK_SIZE,
  BITMAP_PRESENT,
  FULLY_PRESENT,
  NOT_PRESENT,
  PARTIALLY_PRESENT,
  UNDEFINED,
  UNMAPPED,
  ZERO,
} from './format.ts'
import type { Geometry } from './layout.ts'
import type { MetadataChange } from './metadata-pages.ts'
import type { PayloadBlocks } from './payload-blocks.ts'
import { areBitsSet, setBits } from './sector-bitmap.ts'
import type { WriteSession } from './write-session.ts'

/** A part of the disk that lies in one block. */
interface Piece extends Range {
  readonly block: number
  /** Whether it is all of the block that the disk has. */
  readonly isWhole: boolean
}

/** What is read and written of a partially present block: the bits of its sectors. */
interface Bits {
  readonly position: number
  readonly bytes: Buffer
}

export class PayloadWriter {
  readonly #session: WriteSession
  readonly #blocks: PayloadBlocks
  readonly #geometry: Geometry
  readonly #isFixed: boolean
  readonly #parent: BlockDevice | undefined
  readonly #read: (offset: number, target: Buffer) => Promise<void>
  readonly #locks = new RangeLock()
  /** By the number of the chunk, where in the file its bitmap lies. */
  readonly #bitmaps = new Map<number, Promise<number>>()

  /** `read`: reads the disk as it is now, without a lock. */
  constructor(
    session: WriteSession,
    blocks: PayloadBlocks,
    parent: BlockDevice | undefined,
    read: (offset: number, target: Buffer) => Promise<void>,
  ) {
    this.#session = session
    this.#blocks = blocks
    this.#geometry = session.structures.geometry
    this.#isFixed = session.structures.metadataRegion.metadata.leaveBlocksAllocated
    this.#parent = parent
    this.#read = read
  }

  async write(offset: number, source: Buffer): Promise<void> {
    await this.#session.begin(true)
    const pieces = [...this.#pieces({ offset, length: source.length })]
    await settle(pieces.map(piece => this.#write(piece, source.subarray(piece.offset - offset, endOf(piece) - offset))))
  }

  /** Makes `range` read as zeros. Blocks that lie in it whole lose their place in the file, but for fixed images. */
  async zero(range: Range): Promise<void> {
    const isDone = (state: number) => state === ZERO || (state === NOT_PRESENT && !this.#geometry.hasParent)
    for await (const piece of this.#piecesToChange(range, isDone)) {
      await this.#session.begin(true)
      await this.#alone(piece, () =>
        piece.isWhole && !this.#isFixed ? this.#drop(piece, ZERO) : this.#zeroPart(piece),
      )
    }
  }

  /** Takes their place in the file from blocks that lie in `range` whole, but for fixed images. */
  async trim(range: Range): Promise<void> {
    if (this.#isFixed) return
    const isDone = (state: number) =>
      state === UNDEFINED ||
      state === ZERO ||
      state === UNMAPPED ||
      (state === NOT_PRESENT && !this.#geometry.hasParent)
    for await (const piece of this.#piecesToChange(range, isDone)) {
      if (!piece.isWhole) continue
      await this.#session.begin(true)
      await this.#alone(piece, () => this.#drop(piece, UNMAPPED))
    }
  }

  /** Does `read` while no block in `range` changes its place. */
  reading(range: Range, read: () => Promise<void>): Promise<void> {
    const { blockSize } = this.#geometry
    const [first, end] = [Math.floor(range.offset / blockSize), Math.ceil(endOf(range) / blockSize)]
    return this.#locks.with(first, end, 'shared', read)
  }

  #alone(piece: Piece, work: () => Promise<void>): Promise<void> {
    return this.#locks.with(piece.block, piece.block + 1, 'exclusive', work)
  }

  async #write(piece: Piece, bytes: Buffer): Promise<void> {
    const writeInPlace = async () => {
      const { state, place } = await this.#blocks.locate(piece)
      if (state !== FULLY_PRESENT) return false
      await this.#session.file.write(place!, bytes)
      return true
    }
    if (await this.#locks.with(piece.block, piece.block + 1, 'shared', writeInPlace)) return
    await this.#alone(piece, () => this.#writeAlone(piece, bytes))
  }

  async #writeAlone(piece: Piece, bytes: Buffer): Promise<void> {
    const { state, place } = await this.#blocks.locate(piece)
    if (state === FULLY_PRESENT) await this.#session.file.write(place!, bytes)
    else if (state === PARTIALLY_PRESENT) await this.#writeSectors(piece, bytes)
    else if (state === NOT_PRESENT && this.#geometry.hasParent && !piece.isWhole) await this.#addSectors(piece, bytes)
    else await this.#addBlock(piece, bytes, FULLY_PRESENT)
  }

  /** Into a block that has some of its sectors here, and the others in the parent. */
  async #writeSectors(piece: Piece, bytes: Buffer): Promise<void> {
    const sectors = await this.#wholeSectors(piece, bytes)
    const { place } = await this.#blocks.locate(sectors)
    await this.#session.file.write(place!, sectors.bytes)
    const { position, bytes: bits } = await this.#bitsOf(piece.block)
    const [from, count] = this.#bitRange(sectors)
    if (areBitsSet(bits, from, count)) return
    setBits(bits, from, count)
    const [first, end] = [Math.floor(from / 8), Math.ceil((from + count) / 8)]
    const changes = [{ position: position + first, bytes: bits.subarray(first, end) }]
    const blockPlace = place! - (sectors.offset - this.#startOf(piece.block))
    if (areBitsSet(bits, 0, this.#sectorCount(piece.block)))
      changes.push(this.#entry(piece.block, FULLY_PRESENT, blockPlace))
    await this.#session.change(changes)
  }

  /** Into a block that has all of its sectors in the parent so far. None of those is copied. */
  async #addSectors(piece: Piece, bytes: Buffer): Promise<void> {
    const sectors = await this.#wholeSectors(piece, bytes)
    const { position, bytes: bits } = await this.#bitsOf(piece.block)
    setBits(bits.fill(0), ...this.#bitRange(sectors))
    const isWhole = areBitsSet(bits, 0, this.#sectorCount(piece.block))
    const state = isWhole ? FULLY_PRESENT : PARTIALLY_PRESENT
    await this.#addBlock(sectors, sectors.bytes, state, [{ position, bytes: bits }])
  }

  /** Gives the block of `piece` a place with `bytes` and zeros around them, and its entry together with `changes`. */
  async #addBlock(piece: Piece, bytes: Buffer, state: number, changes: readonly MetadataChange[] = []): Promise<void> {
    const { file } = this.#session
    const { blockSize } = this.#geometry
    const before = piece.offset - this.#startOf(piece.block)
    const place = await this.#session.allocate(blockSize, async place => {
      await file.zero(place, before)
      await file.write(place + before, bytes)
      await file.zero(place + before + bytes.length, blockSize - before - bytes.length)
    })
    await this.#session.change([...changes, this.#entry(piece.block, state, place)])
  }

  async #zeroPart(piece: Piece): Promise<void> {
    const { state, place } = await this.#blocks.locate(piece)
    if (state === FULLY_PRESENT) await this.#session.file.zero(place!, piece.length)
    else if (state === UNDEFINED || state === UNMAPPED) await this.#drop(piece, ZERO)
    else if (state === PARTIALLY_PRESENT || (state === NOT_PRESENT && (await this.#isInParent(piece)))) {
      const zeros = Buffer.alloc(Math.min(piece.length, MiB))
      for (let offset = piece.offset; offset < endOf(piece); offset += zeros.length) {
        const length = Math.min(zeros.length, endOf(piece) - offset)
        await this.#writeAlone({ ...piece, offset, length, isWhole: false }, zeros.subarray(0, length))
      }
    }
  }

  /** Puts the block of `piece` into a state in which it has no bytes in the file. */
  async #drop(piece: Piece, state: typeof ZERO | typeof UNMAPPED): Promise<void> {
    const { blockSize } = this.#geometry
    const start = this.#startOf(piece.block)
    const { place } = await this.#blocks.locate(piece)
    const freeSpace = await this.#session.freeSpace()
    await this.#session.change([this.#entry(piece.block, state)])
    // Space that an entry without bytes here keeps is not given back: another block may be there by now.
    if (place !== undefined) freeSpace.release({ offset: place - (piece.offset - start), length: blockSize })
  }

  async #isInParent(range: Range): Promise<boolean> {
    if (this.#parent === undefined) return false
    const length = Math.min(endOf(range), this.#parent.size) - range.offset
    if (length <= 0) return false
    for await (const _ of this.#parent.dataRanges({ offset: range.offset, length })) return true
    return false
  }

  /** The bits of the sectors of `block`, in a bitmap that is made if its chunk has none. */
  async #bitsOf(block: number): Promise<Bits> {
    const { blockSize, chunkRatio, logicalSectorSize } = this.#geometry
    const bytes = Buffer.alloc(blockSize / logicalSectorSize / 8)
    const position = (await this.#bitmapOf(block)) + (block % chunkRatio) * bytes.length
    await this.#session.pages.read(position, bytes)
    return { position, bytes }
  }

  #bitmapOf(block: number): Promise<number> {
    const chunk = Math.floor(block / this.#geometry.chunkRatio)
    const bitmap = this.#bitmaps.get(chunk) ?? this.#findBitmap(block)
    this.#bitmaps.set(chunk, bitmap)
    bitmap.catch(() => this.#bitmaps.delete(chunk))
    return bitmap
  }

  async #findBitmap(block: number): Promise<number> {
    const known = await this.#blocks.bitmapPlace(block)
    if (known !== undefined) return known
    const place = await this.#session.allocate(BITMAP_BLOCK_SIZE, place =>
      this.#session.file.zero(place, BITMAP_BLOCK_SIZE),
    )
    await this.#session.change([entryAt(this.#blocks.bat.bitmapEntryPosition(block), BITMAP_PRESENT, place)])
    return place
  }

  /** `piece` with the rest of the sectors at its ends, as they read now. */
  async #wholeSectors(piece: Piece, bytes: Buffer): Promise<Piece & { bytes: Buffer }> {
    const { logicalSectorSize } = this.#geometry
    const offset = Math.floor(piece.offset / logicalSectorSize) * logicalSectorSize
    const length = Math.ceil(endOf(piece) / logicalSectorSize) * logicalSectorSize - offset
    if (length === piece.length) return { ...piece, bytes }
    const whole = Buffer.alloc(length)
    await this.#read(offset, whole)
    bytes.copy(whole, piece.offset - offset)
    return { ...piece, offset, length, bytes: whole }
  }

  /** The first bit of a block that `range`, of whole sectors in it, has, and how many. */
  #bitRange({ offset, length }: Range): [from: number, count: number] {
    const { blockSize, logicalSectorSize } = this.#geometry
    return [(offset % blockSize) / logicalSectorSize, length / logicalSectorSize]
  }

  /** How many sectors of `block` the disk has: fewer than others for its last one. */
  #sectorCount(block: number): number {
    const { blockSize, logicalSectorSize, virtualSize } = this.#geometry
    return Math.min(blockSize, virtualSize - this.#startOf(block)) / logicalSectorSize
  }

  #startOf(block: number): number {
    return block * this.#geometry.blockSize
  }

  #entry(block: number, state: number, place = 0): MetadataChange {
    return entryAt(this.#blocks.bat.entryPosition(block), state, place)
  }

  *#pieces(range: Range): Iterable<Piece> {
    const { blockSize } = this.#geometry
    for (let block = Math.floor(range.offset / blockSize); this.#startOf(block) < endOf(range); block++) {
      yield this.#pieceOf(block, range)
    }
  }

  #pieceOf(block: number, range: Range): Piece {
    const { blockSize, virtualSize } = this.#geometry
    const start = this.#startOf(block)
    const end = Math.min(start + blockSize, virtualSize)
    const offset = Math.max(start, range.offset)
    const length = Math.min(end, endOf(range)) - offset
    return { block, offset, length, isWhole: length === end - start }
  }

  /** The pieces of `range` in blocks whose states are not `isDone`. A disk may have millions of blocks and few of them in use. */
  async *#piecesToChange(range: Range, isDone: (state: number) => boolean): AsyncIterable<Piece> {
    const { blockSize } = this.#geometry
    const [first, end] = [Math.floor(range.offset / blockSize), Math.ceil(endOf(range) / blockSize)]
    const kindOf = (low: number) => (isDone(stateOf(low)) ? 0 : 1)
    for await (const run of this.#blocks.bat.runs(kindOf, first, end)) {
      if (run.kind === 0) continue
      for (let block = run.block; block < run.block + run.count; block++) yield this.#pieceOf(block, range)
    }
  }
}

function entryAt(position: number, state: number, place: number): MetadataChange {
  const bytes = Buffer.alloc(BAT_ENTRY_SIZE)
  writeEntry(bytes, 0, state, place)
  return { position, bytes }
}
