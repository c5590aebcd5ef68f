/**
 * The block allocation table, spec-notes/vhd.md, "Block allocation table": a sector of the file for each block, all
 * ones for none. Read here and there through a cache, and in order through one buffer: memory does not grow with it.
 */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { BAT_ENTRY_SIZE, SECTOR_SIZE, UNUSED_ENTRY } from './format.ts'

/** Blocks `block` to `block + count - 1`, which all have a place in the file or all have none. */
export interface BlockRun {
  readonly block: number
  readonly count: number
  readonly present: boolean
}

const SCAN_SIZE = MiB

export class Bat {
  readonly #file: BlockDevice
  readonly #cache: CachedDevice
  readonly #offset: number
  readonly #blockCount: number

  /** The table of `blockCount` blocks at byte `offset` of `file`, in which all of it lies. Nothing is read yet. */
  constructor(file: BlockDevice, offset: number, blockCount: number) {
    this.#file = file
    this.#cache = new CachedDevice(file, { capacity: MiB })
    this.#offset = offset
    this.#blockCount = blockCount
  }

  /** Absolute byte of the entry of `block`. */
  positionOf(block: number): number {
    return this.#offset + block * BAT_ENTRY_SIZE
  }

  /** Byte of the file where `block` begins with its bitmap; undefined when it has no place. */
  async placeOf(block: number): Promise<number | undefined> {
    const entry = Buffer.alloc(BAT_ENTRY_SIZE)
    await this.#cache.read(this.positionOf(block), entry)
    const sector = entry.readUInt32BE(0)
    return sector === UNUSED_ENTRY ? undefined : sector * SECTOR_SIZE
  }

  /** Blocks `first` to `end - 1` in order. */
  async *runs(first = 0, end = this.#blockCount): AsyncIterable<BlockRun> {
    const buffer = Buffer.alloc(Math.min(SCAN_SIZE, Math.max(end - first, 0) * BAT_ENTRY_SIZE))
    let run: BlockRun | undefined
    for (let block = first; block < end; block += buffer.length / BAT_ENTRY_SIZE) {
      const page = buffer.subarray(0, Math.min(buffer.length, (end - block) * BAT_ENTRY_SIZE))
      await this.#file.read(this.positionOf(block), page)
      for (const next of runsIn(page, block)) {
        if (run?.present === next.present) run = { ...run, count: run.count + next.count }
        else {
          if (run !== undefined) yield run
          run = next
        }
      }
    }
    if (run !== undefined) yield run
  }

  /** How many blocks have a place in the file. */
  async presentCount(): Promise<number> {
    let total = 0
    for await (const { present, count } of this.runs()) if (present) total += count
    return total
  }
}

/** The entries in `page`, of which the first is that of `block`. Hot: once per entry of the table. */
function runsIn(page: Buffer, block: number): BlockRun[] {
  const runs: BlockRun[] = []
  let start = 0
  for (let at = 0; at < page.length; at += BAT_ENTRY_SIZE) {
    const present = page.readUInt32BE(at) !== UNUSED_ENTRY
    const next = at + BAT_ENTRY_SIZE
    if (next < page.length && (page.readUInt32BE(next) !== UNUSED_ENTRY) === present) continue
    runs.push({ block: block + start / BAT_ENTRY_SIZE, count: (next - start) / BAT_ENTRY_SIZE, present })
    start = next
  }
  return runs
}
