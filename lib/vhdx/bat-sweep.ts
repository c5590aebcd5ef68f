/**
 * What the entries of a BAT become when blocks lose their places: those that are dropped, those that have no bytes and
 * keep a place all the same, and bitmaps of chunks without a partially present block. [MS-VHDX] 2.5.1.
 */
import { MiB } from '../binary/size.ts'
import type { BatPage } from './bat.ts'
import { highAt, isEmptyPage, lowAt, mebibyteOf, stateOf } from './bat-entry.ts'
import type { BlockSet } from './block-set.ts'
import {
  BAT_ENTRY_SIZE,
  BITMAP_BLOCK_SIZE,
  BITMAP_PRESENT,
  FULLY_PRESENT,
  NOT_PRESENT,
  PARTIALLY_PRESENT,
  ZERO,
} from './format.ts'
import { blockOfEntry, type Geometry } from './layout.ts'

/** The entry at byte `at` of a page becomes one of `state` that lies at `mebibyte` of the file, `count` MiB long; at 0 for nowhere. */
export type EntryVisitor = (at: number, state: number, mebibyte: number, count: number) => void

export class BatSweep {
  readonly #geometry: Geometry
  readonly #dropped: BlockSet
  /** Whether a block of the chunk at hand is partially present: then its bitmap is needed. */
  #isPartial = false

  /** A dropped block reads as zeros: in a differencing image its parent must not show. */
  constructor(geometry: Geometry, dropped: BlockSet) {
    this.#geometry = geometry
    this.#dropped = dropped
  }

  /** Visits each entry of `page` that says anything. Pages come in order, from the first one. Hot: once per entry of the table. */
  page({ index, bytes }: BatPage, visit: EntryVisitor): void {
    const { chunkRatio, blockCount, blockSize, hasParent } = this.#geometry
    const [blockLength, droppedState] = [blockSize / MiB, hasParent ? ZERO : NOT_PRESENT]
    if (!this.#isPartial && isEmptyPage(bytes)) return
    let block = blockOfEntry(index, chunkRatio)
    let untilBitmap = chunkRatio - (index % (chunkRatio + 1))
    for (let at = 0; at < bytes.length; at += BAT_ENTRY_SIZE) {
      const low = lowAt(bytes, at)
      if (untilBitmap-- === 0) {
        untilBitmap = chunkRatio
        const isNeeded = this.#isPartial && stateOf(low) === BITMAP_PRESENT
        if (isNeeded) visit(at, BITMAP_PRESENT, mebibyteOf(low, highAt(bytes, at)), BITMAP_BLOCK_SIZE / MiB)
        else if (low !== 0) visit(at, NOT_PRESENT, 0, 0)
        this.#isPartial = false
        continue
      }
      const high = highAt(bytes, at)
      // The last chunk of a differencing image has entries for all of its blocks, the disk perhaps not.
      if ((low !== 0 || high !== 0) && block < blockCount) {
        const state = stateOf(low)
        if (state < FULLY_PRESENT) visit(at, state, 0, 0)
        else if (this.#dropped.has(block)) visit(at, droppedState, 0, 0)
        else {
          if (state === PARTIALLY_PRESENT) this.#isPartial = true
          visit(at, state, mebibyteOf(low, high), blockLength)
        }
      }
      block++
    }
  }
}
