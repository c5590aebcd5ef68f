/** The rules of the BAT, [MS-VHDX] 2.5: every entry is looked at, in memory that depends on the file's size only. */
import { MiB } from '../binary/size.ts'
import { endOf } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import type { BatPage } from './bat.ts'
import { highAt, isEmptyPage, lowAt, mebibyteOf, reservedBitsOf, stateOf } from './bat-entry.ts'
import {
  BAT_ENTRY_SIZE,
  BITMAP_PRESENT,
  FULLY_PRESENT,
  MAX_FILE_SIZE,
  NOT_PRESENT,
  PARTIALLY_PRESENT,
  UNDEFINED,
  UNMAPPED,
  ZERO,
} from './format.ts'
import { blockOfEntry, type Geometry } from './layout.ts'
import { MebibyteSet } from './mebibyte-set.ts'
import { type Problem, problem, type RuleCode } from './rules.ts'
import type { Area } from './structures.ts'

/** Of each rule, so many broken entries are told one by one; a table of nothing but bad entries stays readable. */
const MAX_PROBLEMS_PER_RULE = 100

export class BatCheck {
  /** How often each payload state was seen. */
  readonly states = new Array<number>(8).fill(0)
  readonly problems: Problem[] = []
  /** How often each rule was found broken, which may be more often than `problems` tells. */
  readonly counts = new Map<RuleCode, number>()
  /** The first MiB of the file behind all blocks. */
  end = 0
  readonly #batOffset: number
  readonly #geometry: Geometry
  readonly #areas: readonly Area[]
  readonly #fileEnd: number
  readonly #blockLength: number
  /** The MiB of the file that structures and blocks lie in, and those that are kept for unmapped blocks. */
  readonly taken: MebibyteSet
  /** The first partially present block of the chunk at hand: its bitmap must be present. */
  #partialBlock: number | undefined

  /** `batOffset`: absolute byte of the table. `areas`: where no block may lie, in order and not overlapping. */
  constructor(fileSize: number, batOffset: number, geometry: Geometry, areas: readonly Area[]) {
    this.#batOffset = batOffset
    this.#geometry = geometry
    this.#areas = areas
    // No more bits are kept than a file can have MiB.
    this.#fileEnd = Math.floor(Math.min(fileSize, MAX_FILE_SIZE) / MiB)
    this.#blockLength = geometry.blockSize / MiB
    this.taken = new MebibyteSet(this.#fileEnd)
    for (const area of areas) {
      const first = Math.min(Math.floor(area.offset / MiB), this.#fileEnd)
      const end = Math.min(Math.ceil(endOf(area) / MiB), this.#fileEnd)
      for (let mebibyte = first; mebibyte < end; mebibyte++) this.taken.claim(mebibyte, 1)
    }
  }

  /** Takes the next entries of the table. Hot: up to 67 million of them. */
  page({ index, bytes }: BatPage): void {
    const { chunkRatio, blockCount } = this.#geometry
    const entryCount = bytes.length / BAT_ENTRY_SIZE
    let block = blockOfEntry(index, chunkRatio)
    if (this.#partialBlock === undefined && isEmptyPage(bytes)) {
      const end = Math.min(blockOfEntry(index + entryCount, chunkRatio), blockCount)
      this.states[NOT_PRESENT]! += Math.max(0, end - block)
      return
    }
    let untilBitmap = chunkRatio - (index % (chunkRatio + 1))
    for (let n = 0; n < entryCount; n++) {
      const low = lowAt(bytes, n * BAT_ENTRY_SIZE)
      const high = highAt(bytes, n * BAT_ENTRY_SIZE)
      if (untilBitmap-- === 0) {
        untilBitmap = chunkRatio
        const flaw = this.#bitmapFlaw(low, high)
        if (flaw !== undefined) this.#report(flaw, `sector bitmap ${block / chunkRatio - 1}`, 1, index + n, low, high)
        this.#partialBlock = undefined
        continue
      }
      // The last chunk of a differencing image has entries for all of its blocks, the disk perhaps not.
      if (block < blockCount) {
        this.states[stateOf(low)]!++
        const flaw = low === 0 && high === 0 ? undefined : this.#payloadFlaw(block, low, high)
        if (flaw !== undefined) this.#report(flaw, `block ${block}`, this.#blockLength, index + n, low, high)
      }
      block++
    }
  }

  /** The first rule that a payload entry breaks. Takes the block's place in the file. */
  #payloadFlaw(block: number, low: number, high: number): BatRule | undefined {
    const [state, mebibyte] = [stateOf(low), mebibyteOf(low, high)]
    const placeFlaw = state >= FULLY_PRESENT ? this.#claim(mebibyte, this.#blockLength) : undefined
    if (reservedBitsOf(low) !== 0) return 'BAT_RESERVED_BITS'
    switch (state) {
      case NOT_PRESENT:
        return mebibyte === 0 ? undefined : 'BAT_ABSENT_WITH_PLACE'
      case ZERO:
        return mebibyte === 0 ? undefined : 'BAT_ZERO_WITH_PLACE'
      case UNDEFINED:
      case UNMAPPED:
        this.#keep(mebibyte)
        return undefined
      case FULLY_PRESENT:
        return placeFlaw
      case PARTIALLY_PRESENT:
        if (!this.#geometry.hasParent) return 'BAT_PARTIAL'
        this.#partialBlock ??= block
        return placeFlaw
      default:
        return 'BAT_STATE'
    }
  }

  /** The first rule that the bitmap entry behind a chunk breaks. */
  #bitmapFlaw(low: number, high: number): BatRule | undefined {
    if (reservedBitsOf(low) !== 0) return 'BAT_RESERVED_BITS'
    switch (stateOf(low)) {
      case NOT_PRESENT:
        return this.#partialBlock === undefined ? undefined : 'BAT_PARTIAL_NO_BITMAP'
      case BITMAP_PRESENT:
        return this.#geometry.hasParent ? this.#claim(mebibyteOf(low, high), 1) : 'BAT_BITMAP_PRESENT'
      default:
        return 'BAT_BITMAP_STATE'
    }
  }

  /** Takes the space that is kept for a block without bytes: beyond the end of the file, too, nothing else goes there. */
  #keep(mebibyte: number): void {
    const end = mebibyte + this.#blockLength
    if (mebibyte === 0 || end > MAX_FILE_SIZE / MiB) return
    if (end <= this.#fileEnd) this.end = Math.max(this.end, end)
    this.taken.claim(mebibyte, this.#blockLength)
  }

  /** Takes `count` MiB of the file from `first`, or says why they cannot be taken. */
  #claim(first: number, count: number): BatRule | undefined {
    const end = first + count
    if (end > this.#fileEnd) return 'BAT_BEYOND_END'
    if (end > this.end) this.end = end
    if (this.taken.claim(first, count)) return undefined
    return areaAt(this.#areas, first, count) === undefined ? 'BAT_OVERLAP' : 'BAT_ON_STRUCTURE'
  }

  /** `length`: of the block of the entry `low` and `high`, in MiB. */
  #report(code: BatRule, entry: string, length: number, index: number, low: number, high: number): void {
    const count = (this.counts.get(code) ?? 0) + 1
    this.counts.set(code, count)
    if (count > MAX_PROBLEMS_PER_RULE) return
    const structure = `VHDX BAT entry of ${entry}`
    const position = this.#batOffset + index * BAT_ENTRY_SIZE
    this.problems.push(problem(code, { structure, position, ...this.#words(code, length, low, high) }))
  }

  /** What a broken rule expected and what the entry says instead. */
  #words(code: BatRule, length: number, low: number, high: number): { expected: string; actual: string } {
    const mebibyte = mebibyteOf(low, high)
    const place = `at MiB ${mebibyte}`
    switch (code) {
      case 'BAT_RESERVED_BITS':
        return { expected: 'without reserved bits', actual: `with ${hex(reservedBitsOf(low))} in them` }
      case 'BAT_STATE':
      case 'BAT_BITMAP_STATE':
        return { expected: 'in a state the specification knows', actual: `in state ${stateOf(low)}` }
      case 'BAT_ZERO_WITH_PLACE':
        return { expected: 'without a place, for the block is zero', actual: place }
      case 'BAT_ABSENT_WITH_PLACE':
        return { expected: 'without a place, for the block is not present', actual: place }
      case 'BAT_PARTIAL':
        return { expected: 'whole, for there is no parent', actual: 'partially present' }
      case 'BAT_BITMAP_PRESENT':
        return { expected: 'not present, for there is no parent', actual: 'present' }
      case 'BAT_PARTIAL_NO_BITMAP':
        return { expected: `present, for block ${this.#partialBlock} is partially present`, actual: 'not present' }
      case 'BAT_BEYOND_END':
        return { expected: `inside the file of ${this.#fileEnd} whole MiB`, actual: place }
      case 'BAT_ON_STRUCTURE':
        return {
          expected: 'in free space',
          actual: `${place}, on the ${areaAt(this.#areas, mebibyte, length)?.name}`,
        }
      case 'BAT_OVERLAP':
        return { expected: 'in free space', actual: `${place}, where another block lies` }
    }
  }
}

/** The one of `areas` that `count` MiB from `first` touch: the last one that begins before their end, or none. */
export function areaAt(areas: readonly Area[], first: number, count: number): Area | undefined {
  let [low, high] = [0, areas.length]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (areas[middle]!.offset < (first + count) * MiB) low = middle + 1
    else high = middle
  }
  const area = areas[low - 1]
  return area !== undefined && endOf(area) > first * MiB ? area : undefined
}

type BatRule = Extract<RuleCode, `BAT_${string}`> & Exclude<RuleCode, 'BAT_TOO_SMALL'>
