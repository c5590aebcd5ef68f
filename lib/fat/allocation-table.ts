/** The file allocation table: which clusters are used, and how they are chained. spec-notes/fat.md, "FAT". */
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { tryRead } from '../device/try-read.ts'
import type { StorageError } from '../errors.ts'
import type { ClusterRun } from '../volume/cluster-chain.ts'
import { type LinkSource, UNREADABLE_LINK } from '../volume/cluster-links.ts'
import { entryOffset, type FatLayout, type FatWidth } from './layout.ts'

/** Entries are read so many at a time: a multiple of 2, so that FAT12's pairs of entries in 3 bytes stay whole. */
const WINDOW_ENTRIES = 2 ** 17

const FREE = 0
const USED = 1
const BAD = 2

/** What the FAT says about all clusters. */
export interface FatCount {
  readonly used: number
  /** Marked as having unreadable sectors. They hold nothing. */
  readonly bad: number
  /** Used by one copy of the FAT and not by another; they count as used. */
  readonly disputed: number
  /** Of the used ones, those whose entry leads to a cluster that does not exist. */
  readonly stray: number
  /** Of the used ones, those whose entry cannot be read in any copy. */
  readonly unreadable: number
}

/** A state for each cluster from `first` on. */
interface StateWindow {
  readonly first: number
  readonly states: Uint8Array
  readonly disputed: number
  readonly stray: number
  readonly unreadable: number
}

/** The FAT of a volume, read in windows, however large it is. */
export class AllocationTable implements LinkSource {
  readonly #device: BlockDevice
  readonly #layout: FatLayout

  constructor(device: BlockDevice, layout: FatLayout) {
    this.#device = device
    this.#layout = layout
  }

  /** Counts the clusters of each kind. */
  async count(signal?: AbortSignal): Promise<FatCount> {
    let [used, bad, disputed, stray, unreadable] = [0, 0, 0, 0, 0]
    for await (const window of this.#windows()) {
      signal?.throwIfAborted()
      for (const state of window.states) {
        if (state === USED) used++
        else if (state === BAD) bad++
      }
      disputed += window.disputed
      stray += window.stray
      unreadable += window.unreadable
    }
    return { used, bad, disputed, stray, unreadable }
  }

  /** The used clusters, in order. Runs that touch across a window come as two. */
  async *usedRuns(): AsyncIterable<ClusterRun> {
    for await (const { first, states } of this.#windows()) {
      for (const run of runsOf(states)) yield { first: first + run.first, count: run.count }
    }
  }

  /** The entry of `cluster`, which may be 0 or 1, in the first live copy where it can be read. Throws StorageError. */
  async entry(cluster: number): Promise<number> {
    const { width, liveFats } = this.#layout
    // The entry before goes with it, so that FAT12's pair is whole.
    const pair = cluster - (cluster % 2)
    const bytes = Buffer.alloc(Math.ceil((2 * width) / 8))
    const offset = (pair * width) / 8
    const piece = bytes.subarray(0, Math.min(bytes.length, this.#layout.fatLength - offset))
    let problem: StorageError | undefined
    for (const fat of liveFats) {
      problem = await tryRead(this.#device, fat + offset, piece)
      if (problem === undefined) return entryAt(bytes, width, cluster - pair)
    }
    throw problem
  }

  get clusterCount(): number {
    return this.#layout.clusterCount
  }

  placeOf(cluster: number): number {
    return this.#layout.liveFats[0]! + entryOffset(this.#layout.width, cluster)
  }

  isEnd(link: number): boolean {
    return isEndOfChain(link, this.#layout.width)
  }

  /**
   * Fills `links` with the entries of the clusters from `first` on, an even number, which may be 0. Each is that of the
   * first live copy where it can be read, or UNREADABLE_LINK.
   */
  async readLinks(first: number, links: Uint32Array): Promise<void> {
    const { width, liveFats } = this.#layout
    const tables = liveFats.map(() => Buffer.alloc(Math.ceil((links.length * width) / 8)))
    const offset = (first * width) / 8
    const isRead = (await tryRead(this.#device, liveFats[0]! + offset, tables[0]!)) === undefined
    const lost = isRead ? [] : await this.#readCopies(offset, tables)
    for (let i = 0; i < links.length; i++) links[i] = entryAt(tables[0]!, width, i)
    for (const { from, end } of lost.map(range => entriesIn(range, width))) links.fill(UNREADABLE_LINK, from, end)
  }

  /** The states of all clusters, a window at a time. A window is valid until the next is asked for. */
  async *#windows(): AsyncIterable<StateWindow> {
    const { clusterCount, width, liveFats } = this.#layout
    const end = clusterCount + 2
    const buffers = liveFats.map(() => Buffer.alloc(Math.ceil((Math.min(WINDOW_ENTRIES, end) * width) / 8)))
    const window = new Uint8Array(Math.min(WINDOW_ENTRIES, end))
    for (let first = 0; first < end; first += WINDOW_ENTRIES) {
      const states = window.subarray(0, Math.min(WINDOW_ENTRIES, end - first))
      const tables = buffers.map(buffer => buffer.subarray(0, Math.ceil((states.length * width) / 8)))
      const offset = (first * width) / 8
      const lost = await this.#readCopies(offset, tables)
      // The first two entries belong to no cluster.
      const from = first === 0 ? 2 : 0
      const stray = classify(tables[0]!, width, states, from, clusterCount + 1)
      const isSame = tables.every(table => table.equals(tables[0]!))
      const disputed = isSame ? 0 : unite(states, tables, width, from)
      yield { first, states, stray, disputed, unreadable: useUnreadable(states, lost, width, from) }
    }
  }

  /**
   * Reads the bytes from `offset` of each live copy into `tables`. Where one cannot be read, another's stand in for
   * it; returns where none can, which is zeros then.
   */
  async #readCopies(offset: number, tables: readonly Buffer[]): Promise<Range[]> {
    const fats = this.#layout.liveFats
    const problems = await Promise.all(tables.map((table, copy) => tryRead(this.#device, fats[copy]! + offset, table)))
    if (problems.every(problem => problem === undefined)) return []
    const lost: Range[] = []
    const step = this.#layout.sectorSize
    for (let at = 0; at < tables[0]!.length; at += step) {
      const sectors = tables.map(table => table.subarray(at, at + step))
      const failed = await Promise.all(
        sectors.map((sector, copy) => tryRead(this.#device, fats[copy]! + offset + at, sector)),
      )
      const good = sectors.find((_, copy) => failed[copy] === undefined)
      if (good === undefined) lost.push({ offset: at, length: sectors[0]!.length })
      else for (const [copy, sector] of sectors.entries()) if (failed[copy] !== undefined) good.copy(sector)
    }
    return lost
  }
}

/** Hot: entry `index` of `table`. */
function entryAt(table: Buffer, width: FatWidth, index: number): number {
  if (width === 32) return table.readUInt32LE(index * 4) & 0x0fffffff
  if (width === 16) return table.readUInt16LE(index * 2)
  const pair = table.readUInt16LE(index + (index >> 1))
  return index & 1 ? pair >> 4 : pair & 0xfff
}

const badMark = (width: FatWidth) => (width === 32 ? 0x0ffffff7 : width === 16 ? 0xfff7 : 0xff7)

/** "FAT Data Structure": what is above the mark for bad clusters. */
const isEndOfChain = (entry: number, width: FatWidth) => entry > badMark(width)

/**
 * Hot: the state of each entry of `table` from `from` on; those before are free. Returns how many of the used ones lead
 * to no cluster, of which `last` is the last.
 */
function classify(table: Buffer, width: FatWidth, states: Uint8Array, from: number, last: number): number {
  const bad = badMark(width)
  states.fill(FREE, 0, from)
  let stray = 0
  for (let i = from; i < states.length; i++) {
    const entry = entryAt(table, width, i)
    states[i] = entry === 0 ? FREE : entry === bad ? BAD : USED
    if (entry === 1 || (entry > last && entry < bad)) stray++
  }
  return stray
}

/** Marks as used what any of `tables`, copies that differ, says is used. Returns about how many entries they disagree. */
function unite(states: Uint8Array, tables: readonly Buffer[], width: FatWidth, from: number): number {
  const bad = badMark(width)
  let disputed = 0
  for (let i = from; i < states.length; i++) {
    let votes = 0
    for (const table of tables) {
      const entry = entryAt(table, width, i)
      if (entry !== 0 && entry !== bad) votes++
    }
    if (votes === 0 || votes === tables.length) continue
    states[i] = USED
    disputed++
  }
  return disputed
}

/** Marks as used the entries that lie in `lost`, bytes of the table that cannot be read. Returns how many they are. */
function useUnreadable(states: Uint8Array, lost: readonly Range[], width: FatWidth, from: number): number {
  let unreadable = 0
  for (const range of lost) {
    const entries = entriesIn(range, width)
    const [first, end] = [Math.max(entries.from, from), Math.min(entries.end, states.length)]
    states.fill(USED, first, end)
    unreadable += Math.max(end - first, 0)
  }
  return unreadable
}

/** The entries that lie in `range` of a table, wholly or in part. */
const entriesIn = (range: Range, width: FatWidth) => ({
  from: Math.floor((range.offset * 8) / width),
  end: Math.ceil((endOf(range) * 8) / width),
})

/** Hot: the runs of used entries. */
function* runsOf(states: Uint8Array): Iterable<ClusterRun> {
  for (let first = states.indexOf(USED); first >= 0; ) {
    let end = first + 1
    while (end < states.length && states[end] === USED) end++
    yield { first, count: end - first }
    first = end < states.length ? states.indexOf(USED, end) : -1
  }
}
