/**
 * The BAT of a repaired image, [MS-VHDX] 2.5: an entry that a reader takes stays, and what a reader refuses is lost. Such
 * a block becomes undefined, and not absent: in a child an absent one would show what the parent has there.
 */
import { MiB } from '../binary/size.ts'
import { endOf, type Range } from '../device/ranges.ts'
import type { BatPage } from './bat.ts'
import { areaAt } from './bat-check.ts'
import { highAt, isEmptyPage, lowAt, mebibyteOf, reservedBitsOf, stateOf, writeEntry } from './bat-entry.ts'
import { BlockSet } from './block-set.ts'
import {
  BAT_ENTRY_SIZE,
  BITMAP_BLOCK_SIZE,
  BITMAP_PRESENT,
  FULLY_PRESENT,
  MAX_FILE_SIZE,
  NOT_PRESENT,
  PARTIALLY_PRESENT,
  UNDEFINED,
  UNMAPPED,
  ZERO,
} from './format.ts'
import { blockOfEntry, type Geometry, isBitmapEntry, payloadEntryIndex } from './layout.ts'
import { LostRangeList } from './lost-ranges.ts'
import { MebibyteSet } from './mebibyte-set.ts'
import type { Copy } from './repaired-file.ts'
import type { RuleCode } from './rules.ts'
import type { Area } from './structures.ts'

/** More blocks than this that share their place with others are rubble, and lost. */
const MAX_COPIES = 100

/** What the file says of itself, and of what there is of it. */
export interface BatPlace {
  readonly geometry: Geometry
  /** Absolute byte of the table. */
  readonly offset: number
  /** Where no block may lie, in order and not overlapping. */
  readonly areas: readonly Area[]
  /** Bytes of the file that are what they were. */
  readonly knownSize: number
}

/** A partially present block of the chunk at hand. */
interface PartialBlock {
  readonly index: number
  readonly block: number
  readonly mebibyte: number
}

export class BatRepair {
  readonly #lost = new LostRangeList()
  /** How often each rule was broken. */
  readonly counts = new Map<RuleCode, number>()
  /** How many blocks are in the file as a whole. */
  present = 0
  /** Whether blocks that are not in the file have space kept for them: `keepSpace` has to see the table then. */
  hasKeptSpace = false
  readonly #image: BatPlace
  readonly #blockLength: number
  /** Entries before this one are in the file. */
  readonly #knownEntries: number
  readonly #taken = new MebibyteSet(0)
  /** Entries, not blocks: those of bitmaps too. */
  readonly #dropped: BlockSet
  /** By the number of its entry, the MiB that a block has in common with another, and how many there are of it. */
  readonly #shared = new Map<number, { readonly mebibyte: number; readonly length: number; to: number }>()
  #partial: PartialBlock[] = []

  constructor(place: BatPlace) {
    this.#image = place
    this.#dropped = new BlockSet()
    this.#blockLength = place.geometry.blockSize / MiB
    this.#knownEntries = Math.max(0, Math.floor((place.knownSize - place.offset) / BAT_ENTRY_SIZE))
    for (const area of place.areas) {
      const [first, end] = [Math.floor(area.offset / MiB), Math.ceil(endOf(area) / MiB)]
      for (let mebibyte = first; mebibyte < end; mebibyte++) this.#taken.claim(mebibyte, 1)
    }
  }

  get lost() {
    return this.#lost.lost
  }

  /** The byte of the file behind all that lies in it. */
  get end(): number {
    return this.#taken.end * MiB
  }

  /** `length` bytes, a MiB multiple: at `wanted` where that is free, else behind all that lies in the file. */
  allocate(length: number, wanted?: number): number {
    if (wanted !== undefined && this.#claim(wanted / MiB, length / MiB)) return wanted
    const mebibyte = this.#taken.end
    this.#claim(mebibyte, length / MiB)
    return mebibyte * MiB
  }

  /** Takes the next entries of the table. Hot: up to 67 million of them. */
  page({ index, bytes }: BatPage): void {
    const { chunkRatio, blockCount } = this.#image.geometry
    const entryCount = bytes.length / BAT_ENTRY_SIZE
    if (this.#partial.length === 0 && this.#isEmpty({ index, bytes })) return
    let block = blockOfEntry(index, chunkRatio)
    let untilBitmap = chunkRatio - (index % (chunkRatio + 1))
    for (let n = 0; n < entryCount; n++) {
      const low = lowAt(bytes, n * BAT_ENTRY_SIZE)
      const high = highAt(bytes, n * BAT_ENTRY_SIZE)
      if (untilBitmap-- === 0) {
        untilBitmap = chunkRatio
        this.#bitmap(index + n, low, high)
        continue
      }
      if (block < blockCount) {
        const reason = this.#payloadFlaw(index + n, block, low, high)
        if (reason !== undefined) this.#lose(reason, index + n, block, mebibyteOf(low, high))
      }
      block++
    }
  }

  /** Why a block is lost; undefined for one that is not, which has taken its place then. */
  #payloadFlaw(index: number, block: number, low: number, high: number): RuleCode | undefined {
    if (index >= this.#knownEntries) return 'REGION_BEYOND_END'
    if (low === 0 && high === 0) return undefined
    if (reservedBitsOf(low) !== 0) return 'BAT_RESERVED_BITS'
    const [state, mebibyte] = [stateOf(low), mebibyteOf(low, high)]
    switch (state) {
      case NOT_PRESENT:
      case ZERO:
        if (mebibyte !== 0) this.#count(state === ZERO ? 'BAT_ZERO_WITH_PLACE' : 'BAT_ABSENT_WITH_PLACE')
        return undefined
      case UNDEFINED:
      case UNMAPPED:
        this.hasKeptSpace ||= mebibyte !== 0
        return undefined
      case FULLY_PRESENT:
        return this.#place(index, block, mebibyte)
      case PARTIALLY_PRESENT:
        if (!this.#image.geometry.hasParent) return 'BAT_PARTIAL'
        // Its bitmap comes behind it.
        this.#partial.push({ index, block, mebibyte })
        return undefined
      default:
        return 'BAT_STATE'
    }
  }

  /** Takes its place for a block that is in the file, whole or in part; or says why it cannot be its place. */
  #place(index: number, block: number, mebibyte: number): RuleCode | undefined {
    const flaw = this.#take(index, mebibyte, this.#blockLength)
    if (flaw !== undefined) return flaw
    this.present++
    const { offset, length } = this.#rangeOf(block)
    const known = Math.max(0, this.#image.knownSize - mebibyte * MiB)
    if (known >= this.#image.geometry.blockSize) return undefined
    this.#count('BAT_BEYOND_END')
    if (known < length) this.#lost.add(offset + known, length - known, 'BAT_BEYOND_END', null)
    return undefined
  }

  /** The entry behind the blocks of a chunk. */
  #bitmap(index: number, low: number, high: number): void {
    const partial = this.#partial
    this.#partial = []
    const flaw = this.#bitmapFlaw(index, low, high, partial.length > 0)
    if (flaw !== undefined && (low !== 0 || high !== 0)) {
      this.#dropped.add(index)
      this.#count(flaw)
    }
    for (const { index: entry, block, mebibyte } of partial) {
      const ownFlaw = this.#hasBits(block, mebibyteOf(low, high)) ? undefined : 'BAT_BEYOND_END'
      const reason = flaw === undefined ? (ownFlaw ?? this.#place(entry, block, mebibyte)) : 'BAT_PARTIAL_NO_BITMAP'
      if (reason !== undefined) this.#lose(reason, entry, block, mebibyte)
    }
  }

  #bitmapFlaw(index: number, low: number, high: number, isNeeded: boolean): RuleCode | undefined {
    if (index >= this.#knownEntries) return 'REGION_BEYOND_END'
    if (reservedBitsOf(low) !== 0) return 'BAT_RESERVED_BITS'
    const state = stateOf(low)
    if (state === NOT_PRESENT) return isNeeded ? 'BAT_PARTIAL_NO_BITMAP' : undefined
    if (state !== BITMAP_PRESENT) return 'BAT_BITMAP_STATE'
    if (!this.#image.geometry.hasParent) return 'BAT_BITMAP_PRESENT'
    const flaw = this.#take(index, mebibyteOf(low, high), BITMAP_BLOCK_SIZE / MiB)
    return !isNeeded && this.#shared.delete(index) ? 'BAT_OVERLAP' : flaw
  }

  /** Whether the file ends behind the bits of `block` in a bitmap at `mebibyte`. */
  #hasBits(block: number, mebibyte: number): boolean {
    const { chunkRatio } = this.#image.geometry
    const end = ((block % chunkRatio) + 1) * (BITMAP_BLOCK_SIZE / chunkRatio)
    return mebibyte * MiB + end <= this.#image.knownSize
  }

  /** Takes `length` MiB of the file for entry `index`, or says why they cannot be its. */
  #take(index: number, mebibyte: number, length: number): RuleCode | undefined {
    const { areas, knownSize } = this.#image
    if (mebibyte * MiB >= Math.min(knownSize, MAX_FILE_SIZE)) return 'BAT_BEYOND_END'
    if (areaAt(areas, mebibyte, length) !== undefined) return 'BAT_ON_STRUCTURE'
    if (this.#claim(mebibyte, length)) return undefined
    if (this.#shared.size === MAX_COPIES) return 'BAT_OVERLAP'
    this.#shared.set(index, { mebibyte, length, to: 0 })
    return undefined
  }

  /** All of it or nothing. */
  #claim(mebibyte: number, length: number): boolean {
    for (let n = 0; n < length; n++) {
      if (this.#taken.claim(mebibyte + n, 1)) continue
      this.#taken.release(mebibyte, n)
      return false
    }
    return true
  }

  #lose(reason: RuleCode, index: number, block: number, mebibyte: number): void {
    this.#count(reason)
    this.#dropped.add(index)
    const fileOffset = mebibyte > 0 && mebibyte * MiB < this.#image.knownSize ? mebibyte * MiB : null
    const { offset, length } = this.#rangeOf(block)
    this.#lost.add(offset, length, reason, fileOffset)
  }

  #rangeOf(block: number) {
    const { blockSize, virtualSize } = this.#image.geometry
    return { offset: block * blockSize, length: Math.min(blockSize, virtualSize - block * blockSize) }
  }

  #count(code: RuleCode): void {
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1)
  }

  /** After the whole table was seen once: space that is kept for blocks, and that another block may lie in. */
  keepSpace({ index, bytes }: BatPage): void {
    if (this.#isEmpty({ index, bytes })) return
    const { chunkRatio } = this.#image.geometry
    for (let at = 0; at < bytes.length; at += BAT_ENTRY_SIZE) {
      const [low, high] = [lowAt(bytes, at), highAt(bytes, at)]
      const mebibyte = mebibyteOf(low, high)
      const entry = index + at / BAT_ENTRY_SIZE
      if (!isKept(stateOf(low)) || mebibyte === 0 || this.#isBehind(entry) || this.#dropped.has(entry)) continue
      if (isBitmapEntry(entry, chunkRatio)) continue
      const isInside = (mebibyte + this.#blockLength) * MiB <= this.#image.knownSize
      if (!isInside || !this.#claim(mebibyte, this.#blockLength)) this.#dropped.add(entry)
    }
  }

  /** Whether the page is known to have only entries of absent blocks, as most pages of most tables. */
  #isEmpty({ index, bytes }: BatPage): boolean {
    return index + bytes.length / BAT_ENTRY_SIZE <= this.#knownEntries && isEmptyPage(bytes)
  }

  /** Whether `entry` is that of a block behind the end of the disk: the last chunk of a child has such. */
  #isBehind(entry: number): boolean {
    const { blockCount, chunkRatio } = this.#image.geometry
    return entry > payloadEntryIndex(blockCount - 1, chunkRatio) && !isBitmapEntry(entry, chunkRatio)
  }

  /** What of the disk is read from where another block is too: of each such pair, one reads what is not its own. */
  get doubtful(): Range[] {
    const { chunkRatio } = this.#image.geometry
    const entries = [...this.#shared.keys()].filter(index => !isBitmapEntry(index, chunkRatio))
    return entries.map(index => this.#rangeOf(blockOfEntry(index, chunkRatio)))
  }

  /** Gives blocks that share their place with others one of their own. Where their bytes come from. */
  copies(): Copy[] {
    return [...this.#shared.values()].map(shared => {
      this.#count('BAT_OVERLAP')
      shared.to = this.allocate(shared.length * MiB)
      const length = Math.min(shared.length * MiB, this.#image.knownSize - shared.mebibyte * MiB)
      return { from: shared.mebibyte * MiB, to: shared.to, length }
    })
  }

  /** Puts the entries of any page of the table right, when all of the above is done. */
  mend({ index, bytes }: BatPage): void {
    if (this.#isEmpty({ index, bytes })) return
    const { chunkRatio } = this.#image.geometry
    for (let at = 0; at < bytes.length; at += BAT_ENTRY_SIZE) {
      const entry = index + at / BAT_ENTRY_SIZE
      if (this.#isBehind(entry)) continue
      const [low, high] = [lowAt(bytes, at), highAt(bytes, at)]
      const state = stateOf(low)
      const isBitmap = isBitmapEntry(entry, chunkRatio)
      const shared = this.#shared.get(entry)
      if (this.#dropped.has(entry)) {
        const isUnmapped = state === UNMAPPED && reservedBitsOf(low) === 0 && entry < this.#knownEntries
        writeEntry(bytes, at, isBitmap ? NOT_PRESENT : isUnmapped ? UNMAPPED : UNDEFINED, 0)
      } else if (shared !== undefined) writeEntry(bytes, at, state, shared.to)
      else if (!isBitmap && (state === NOT_PRESENT || state === ZERO) && mebibyteOf(low, high) !== 0) {
        writeEntry(bytes, at, state, 0)
      }
    }
  }
}

const isKept = (state: number) => state === UNDEFINED || state === UNMAPPED
