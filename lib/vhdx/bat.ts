/**
 * The block allocation table, [MS-VHDX] 2.5: where each block lies in the file. It can have 513 MiB, so reads
 * here and there go through a cache of pages, and a scan goes through one buffer.
 */
import { MiB } from '../binary/size.ts'
import type { ByteSource } from '../device/block-device.ts'
import { highAt, isEmptyPage, lowAt, mebibyteOf, reservedBitsOf, stateOf } from './bat-entry.ts'
import { BAT_ENTRY_SIZE, FULLY_PRESENT, PAYLOAD_STATES, type PayloadState } from './format.ts'
import { bitmapEntryIndex, blockOfEntry, type Geometry, payloadEntryIndex } from './layout.ts'
import { PageCache, type Pages } from './page-cache.ts'

export interface BatEntry {
  readonly state: number
  readonly reservedBits: number
  /** Where in the file the block lies, in MiB. */
  readonly mebibyte: number
  /** Absolute byte of the entry. */
  readonly position: number
}

/** Blocks `block` to `block + count - 1`, which are all of one kind. */
export interface BlockRun {
  readonly kind: number
  readonly block: number
  readonly count: number
}

/** Blocks `block` to `block + count - 1`, which are all in one state. */
export interface BlockStates {
  readonly block: number
  readonly count: number
  readonly state: PayloadState
}

/** Entries `index` and up, in a buffer that is only good until the next page is asked for. */
export interface BatPage {
  readonly index: number
  readonly bytes: Buffer
}

const SCAN_SIZE = MiB

export class Bat {
  readonly #file: ByteSource
  readonly #offset: number
  readonly #geometry: Geometry
  readonly #pages: Pages

  /** The BAT of `geometry` at byte `offset` of `file`, which has room for all its entries. Nothing is read yet. */
  constructor(file: ByteSource, offset: number, geometry: Geometry, pages: Pages = new PageCache(file)) {
    this.#file = file
    this.#offset = offset
    this.#geometry = geometry
    this.#pages = pages
  }

  /** Absolute byte of entry `index`. */
  positionOf(index: number): number {
    return this.#offset + index * BAT_ENTRY_SIZE
  }

  /** Absolute byte of the entry of payload block `block`. */
  entryPosition(block: number): number {
    return this.positionOf(payloadEntryIndex(block, this.#geometry.chunkRatio))
  }

  /** Absolute byte of the entry of the sector bitmap of the chunk of `block`. */
  bitmapEntryPosition(block: number): number {
    const { chunkRatio } = this.#geometry
    return this.positionOf(bitmapEntryIndex(Math.floor(block / chunkRatio), chunkRatio))
  }

  /** The entry of payload block `block`. */
  entry(block: number): Promise<BatEntry> {
    return this.#entryAt(this.entryPosition(block))
  }

  /** The entry of the sector bitmap that tells of payload block `block`: only differencing images have one for each. */
  bitmapEntry(block: number): Promise<BatEntry> {
    return this.#entryAt(this.bitmapEntryPosition(block))
  }

  async #entryAt(position: number): Promise<BatEntry> {
    const { page, at } = await this.#pages.find(position)
    const [low, high] = [lowAt(page, at), highAt(page, at)]
    return { state: stateOf(low), reservedBits: reservedBitsOf(low), mebibyte: mebibyteOf(low, high), position }
  }

  /** All entries that are needed, or those of payload blocks `first` to `end - 1` with the bitmap entries among them. */
  async *pages(first = 0, end?: number): AsyncIterable<BatPage> {
    const { chunkRatio, batEntryCount } = this.#geometry
    const from = payloadEntryIndex(first, chunkRatio)
    const to = end === undefined ? batEntryCount : payloadEntryIndex(end - 1, chunkRatio) + 1
    const buffer = Buffer.alloc(Math.min(SCAN_SIZE, (to - from) * BAT_ENTRY_SIZE))
    for (let index = from; index < to; index += buffer.length / BAT_ENTRY_SIZE) {
      const bytes = buffer.subarray(0, Math.min(buffer.length, (to - index) * BAT_ENTRY_SIZE))
      await this.#file.read(this.positionOf(index), bytes)
      yield { index, bytes }
    }
  }

  /**
   * Payload blocks `first` to `end - 1` as runs of blocks for which `kindOf`, given the lower half of the entry, is the
   * same. `kindOf` must be pure and is called once per entry at most.
   */
  async *runs(kindOf: (low: number) => number, first = 0, end = this.#geometry.blockCount): AsyncIterable<BlockRun> {
    if (first >= end) return
    let [kind, block] = [-1, first]
    for await (const page of this.pages(first, end)) {
      for (const change of changesIn(page, kind, this.#geometry.chunkRatio, kindOf)) {
        if (change.block > block) yield { kind, block, count: change.block - block }
        kind = change.kind
        block = change.block
      }
    }
    yield { kind, block, count: end - block }
  }

  /** The states of all payload blocks, in order. */
  async *states(): AsyncIterable<BlockStates> {
    for await (const { kind, block, count } of this.runs(stateOf)) yield { block, count, state: PAYLOAD_STATES[kind]! }
  }

  /** How many payload blocks have their bytes in the file. */
  async presentCount(): Promise<number> {
    let count = 0
    for await (const page of this.pages(0, this.#geometry.blockCount))
      count += presentIn(page, this.#geometry.chunkRatio)
    return count
  }
}

/** Where in `page` the kind of payload blocks changes, from `kind` before it. Hot: once per entry of the table. */
function changesIn(
  { index, bytes }: BatPage,
  kind: number,
  chunkRatio: number,
  kindOf: (low: number) => number,
): { block: number; kind: number }[] {
  const changes: { block: number; kind: number }[] = []
  let block = blockOfEntry(index, chunkRatio)
  let untilBitmap = chunkRatio - (index % (chunkRatio + 1))
  if (isEmptyPage(bytes)) {
    const isBitmapOnly = untilBitmap === 0 && bytes.length === BAT_ENTRY_SIZE
    return kindOf(0) === kind || isBitmapOnly ? [] : [{ block, kind: kindOf(0) }]
  }
  let last = kind
  for (let at = 0; at < bytes.length; at += BAT_ENTRY_SIZE) {
    if (untilBitmap-- === 0) {
      untilBitmap = chunkRatio
      continue
    }
    const now = kindOf(lowAt(bytes, at))
    if (now !== last) changes.push({ block, kind: now })
    last = now
    block++
  }
  return changes
}

/** Hot: once per entry of the table. */
function presentIn({ index, bytes }: BatPage, chunkRatio: number): number {
  if (isEmptyPage(bytes)) return 0
  let count = 0
  let untilBitmap = chunkRatio - (index % (chunkRatio + 1))
  for (let at = 0; at < bytes.length; at += BAT_ENTRY_SIZE) {
    if (untilBitmap-- === 0) untilBitmap = chunkRatio
    else if (stateOf(lowAt(bytes, at)) >= FULLY_PRESENT) count++
  }
  return count
}
