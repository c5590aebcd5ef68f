/**
 * How the bytes of the disk change, [MS-VHDX] 2.5.1.1: in place where a block is in the file, else by giving it a place.
 * A block gets its entry in the BAT only when all of its bytes are written: what lay in its place before never shows.
 */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { RangeLock } from '../device/range-lock.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { reservedBitsOf, stateOf, writeEntry } from './bat-entry.ts'
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
import { NewBlock } from './new-block.ts'
import type { PayloadBlocks } from './payload-blocks.ts'
import { areBitsSet, setBits } from './sector-bitmap.ts'
import type { WriteSession } from './write-session.ts'

/** With more new blocks than that, or more pieces of one, they get their entries before the disk is flushed. */
const MAX_NEW_BLOCKS = 64
const MAX_PIECES = 256

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
    await this.#begin()
    const pieces = [...this.#pieces({ offset, length: source.length })]
    await settle(pieces.map(piece => this.#write(piece, source.subarray(piece.offset - offset, endOf(piece) - offset))))
  }

  /** Makes `range` read as zeros. Blocks that lie in it whole lose their place in the file, but for fixed images. */
  async zero(range: Range): Promise<void> {
    for await (const piece of this.#piecesToChange(range, ZERO)) {
      await this.#begin()
      await this.#alone(piece.block, () =>
        piece.isWhole && !this.#isFixed ? this.#drop(piece, ZERO) : this.#zeroPart(piece),
      )
    }
  }

  /** Takes their place in the file from blocks that lie in `range` whole, but for fixed images. */
  async trim(range: Range): Promise<void> {
    if (this.#isFixed) return
    for await (const piece of this.#piecesToChange(range, UNMAPPED)) {
      if (!piece.isWhole) continue
      await this.#begin()
      await this.#alone(piece.block, () => this.#drop(piece, UNMAPPED))
    }
  }

  /** Gives all new blocks their entries in the BAT. What is written from then on may be in others. */
  async publish(): Promise<void> {
    await settle([...this.#blocks.newBlocks.keys()].map(block => this.#publish(block)))
  }

  /** Does `read` while no block in `range` changes its place. */
  reading(range: Range, read: () => Promise<void>): Promise<void> {
    const { blockSize } = this.#geometry
    const [first, end] = [Math.floor(range.offset / blockSize), Math.ceil(endOf(range) / blockSize)]
    return this.#locks.with(first, end, 'shared', read)
  }

  /** Throws FormatError where entries of the BAT are broken: before anything is written, for what is free is not known then. */
  async #begin(): Promise<void> {
    await this.#session.freeSpace()
    await this.#session.begin(true)
  }

  #alone(block: number, work: () => Promise<void>): Promise<void> {
    return this.#locks.with(block, block + 1, 'exclusive', work)
  }

  async #write(piece: Piece, bytes: Buffer): Promise<void> {
    const { block } = piece
    const writeInPlace = () => this.#writeInPlace(piece, bytes)
    const isDone = await this.#locks.with(block, block + 1, 'shared', writeInPlace)
    if (!isDone) await this.#alone(block, () => this.#writeAlone(piece, bytes))
    const { newBlocks } = this.#blocks
    const newBlock = newBlocks.get(block)
    if (newBlock?.isFull || (newBlock?.written.length ?? 0) > MAX_PIECES) await this.#publish(block)
    for (const [oldest] of newBlocks) {
      if (newBlocks.size <= MAX_NEW_BLOCKS) return
      await this.#publish(oldest)
    }
  }

  /** Whether the block of `piece` is one that can be written to without being alone; then it was. */
  async #writeInPlace(piece: Piece, bytes: Buffer): Promise<boolean> {
    const { file } = this.#session
    const newBlock = this.#blocks.newBlocks.get(piece.block)
    if (newBlock !== undefined) {
      if (newBlock.rest === 'parent' && !this.#isWholeSectors(piece)) return false
      await file.write(newBlock.placeOf(piece.offset), bytes)
      newBlock.add(piece)
      return true
    }
    const { state, place } = await this.#blocks.locate(piece)
    if (state !== FULLY_PRESENT) return false
    await file.write(place!, bytes)
    return true
  }

  async #writeAlone(piece: Piece, bytes: Buffer): Promise<void> {
    if (await this.#writeInPlace(piece, bytes)) return
    const newBlock = this.#blocks.newBlocks.get(piece.block)
    const { state } = await this.#blocks.locate(piece)
    if (newBlock === undefined && state === PARTIALLY_PRESENT) return this.#writeSectors(piece, bytes)
    const isInherited = state === NOT_PRESENT && this.#geometry.hasParent
    const whole = isInherited ? await this.#wholeSectors(piece, bytes) : { ...piece, bytes }
    if (newBlock === undefined) await this.#addBlock(whole, isInherited ? 'parent' : 'zeros')
    else await this.#writeInPlace(whole, whole.bytes)
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

  /** Gives the block of `piece` a place. It gets its entry later, when more of it may be written. */
  async #addBlock(piece: Piece & { bytes: Buffer }, rest: NewBlock['rest']): Promise<void> {
    const { blockSize, virtualSize } = this.#geometry
    const range = { offset: this.#startOf(piece.block), length: blockSize }
    const place = await this.#session.allocate(blockSize, place =>
      this.#session.file.write(place + piece.offset - range.offset, piece.bytes),
    )
    const newBlock = new NewBlock(range, virtualSize, place, rest)
    newBlock.add(piece)
    this.#blocks.newBlocks.set(piece.block, newBlock)
  }

  /** Gives the block its entry in the BAT if it is a new one: what lay in its place before never shows. */
  #publish(block: number): Promise<void> {
    return this.#alone(block, async () => {
      const newBlock = this.#blocks.newBlocks.get(block)
      if (newBlock === undefined) return
      for (const { offset, length } of newBlock.gaps()) await this.#session.file.zero(offset, length)
      await this.#session.change(await this.#entriesOf(block, newBlock))
      this.#blocks.newBlocks.delete(block)
    })
  }

  async #entriesOf(block: number, newBlock: NewBlock): Promise<MetadataChange[]> {
    if (newBlock.rest === 'zeros' || newBlock.isFull) return [this.#entry(block, FULLY_PRESENT, newBlock.place)]
    const { position, bytes } = await this.#bitsOf(block)
    bytes.fill(0)
    for (const range of newBlock.written) setBits(bytes, ...this.#bitRange(range))
    return [{ position, bytes }, this.#entry(block, PARTIALLY_PRESENT, newBlock.place)]
  }

  async #zeroPart(piece: Piece): Promise<void> {
    const { file } = this.#session
    const newBlock = this.#blocks.newBlocks.get(piece.block)
    if (newBlock !== undefined) {
      if (newBlock.rest === 'parent') return this.#writeZeros(piece)
      const written = newBlock.runs(piece).filter(({ isWritten }) => isWritten)
      for (const { offset, length } of written) await file.zero(newBlock.placeOf(offset), length)
      return
    }
    const { state, place } = await this.#blocks.locate(piece)
    if (state === FULLY_PRESENT) await file.zero(place!, piece.length)
    else if (state === UNDEFINED || state === UNMAPPED) await this.#drop(piece, ZERO)
    else if (state === PARTIALLY_PRESENT || (state === NOT_PRESENT && (await this.#isInParent(piece)))) {
      await this.#writeZeros(piece)
    }
  }

  async #writeZeros(piece: Piece): Promise<void> {
    const zeros = Buffer.alloc(Math.min(piece.length, MiB))
    for (let offset = piece.offset; offset < endOf(piece); offset += zeros.length) {
      const length = Math.min(zeros.length, endOf(piece) - offset)
      await this.#writeAlone({ ...piece, offset, length, isWhole: false }, zeros.subarray(0, length))
    }
  }

  /** Puts the block of `piece` into a state in which it has no bytes in the file. */
  async #drop(piece: Piece, to: typeof ZERO | typeof UNMAPPED): Promise<void> {
    const { blockSize } = this.#geometry
    const { state, place } = await this.#blocks.locate(piece)
    const freeSpace = await this.#session.freeSpace()
    if (!this.#isAs(state, to)) await this.#session.change([this.#entry(piece.block, to)])
    const newBlock = this.#blocks.newBlocks.get(piece.block)
    if (newBlock !== undefined) {
      this.#blocks.newBlocks.delete(piece.block)
      freeSpace.free(newBlock.range)
    }
    // Space that an entry without bytes here keeps is not given back: another block may be there by now.
    if (place !== undefined)
      freeSpace.release({ offset: place - (piece.offset - this.#startOf(piece.block)), length: blockSize })
  }

  /** Whether nothing has to be done for a block in `state` to be as one in state `to`. */
  #isAs(state: number, to: typeof ZERO | typeof UNMAPPED): boolean {
    if (state === ZERO || (state === NOT_PRESENT && !this.#geometry.hasParent)) return true
    return to === UNMAPPED && (state === UNMAPPED || state === UNDEFINED)
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

  #isWholeSectors({ offset, length }: Range): boolean {
    const { logicalSectorSize } = this.#geometry
    return offset % logicalSectorSize === 0 && length % logicalSectorSize === 0
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

  /** The pieces of `range` in blocks that are not as ones in state `to`. A disk may have millions, and few of them in use. */
  async *#piecesToChange(range: Range, to: typeof ZERO | typeof UNMAPPED): AsyncIterable<Piece> {
    const { blockSize } = this.#geometry
    const [first, end] = [Math.floor(range.offset / blockSize), Math.ceil(endOf(range) / blockSize)]
    const kindOf = (low: number) => (reservedBitsOf(low) === 0 && this.#isAs(stateOf(low), to) ? 0 : 1)
    // Before the BAT is read: they may get their entries meanwhile.
    const newBlocks = [...this.#blocks.newBlocks.keys()]
    for await (const { kind, block, count } of this.#blocks.bat.runs(kindOf, first, end)) {
      const isInRun = (number: number) => number >= block && number < block + count
      if (kind === 1) for (let number = block; isInRun(number); number++) yield this.#pieceOf(number, range)
      else for (const number of newBlocks.filter(isInRun)) yield this.#pieceOf(number, range)
    }
  }
}

function entryAt(position: number, state: number, place: number): MetadataChange {
  const bytes = Buffer.alloc(BAT_ENTRY_SIZE)
  writeEntry(bytes, 0, state, place)
  return { position, bytes }
}
