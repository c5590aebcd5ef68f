/** Where on the disk the blocks of an image lie that are really there: shares of equal parts, for a picture. */
import type { BlockDevice } from '../device/block-device.ts'
import { Bat, type BlockStates } from './bat.ts'
import { FULLY_PRESENT, PARTIALLY_PRESENT, PAYLOAD_STATES, type PayloadState } from './format.ts'
import type { Geometry } from './layout.ts'
import { readSoundStructures } from './structures.ts'

/** What an image has of its disk, told by blocks: a `VhdxDevice`, or what `openBlockTable` gives. */
export interface BlockTable {
  readonly geometry: Geometry
  /** In order, from the first block to the last. */
  blockStates(): AsyncIterable<BlockStates>
}

/**
 * The blocks of the image in `file`, which stays the caller's: of a differencing image too, whose parent is not needed.
 * Throws as `VhdxDevice.open` for an image that cannot be read.
 */
export async function openBlockTable(file: BlockDevice): Promise<BlockTable> {
  const { file: replayed, regionTables, geometry } = await readSoundStructures(file)
  const bat = new Bat(replayed, regionTables.bat.offset, geometry)
  return { geometry, blockStates: () => bat.states() }
}

/** The blocks of an image, as ranges of one state each. */
export interface BlockMap {
  /** For each part of the disk, from its start, the share of its blocks that is in the file, whole or in part: 0 to 1. */
  readonly cells: readonly number[]
  /** How many blocks are in each state. */
  readonly blocks: Readonly<Record<PayloadState, number>>
}

/** Divides the disk into `cellCount` parts, or one per block where it has fewer, and reads the whole BAT. */
export async function mapBlocks(table: BlockTable, cellCount: number): Promise<BlockMap> {
  const { blockCount } = table.geometry
  const cells = new Array<number>(Math.min(cellCount, blockCount)).fill(0)
  const blocks = Object.fromEntries(PAYLOAD_STATES.map(state => [state, 0])) as Record<PayloadState, number>
  for await (const run of table.blockStates()) {
    blocks[run.state] += run.count
    if (IN_FILE.includes(run.state)) addRun(cells, blockCount, run)
  }
  const lengthOf = (cell: number) =>
    startOf(cell + 1, cells.length, blockCount) - startOf(cell, cells.length, blockCount)
  return { cells: cells.map((present, cell) => present / lengthOf(cell)), blocks }
}

const IN_FILE: readonly PayloadState[] = [PAYLOAD_STATES[FULLY_PRESENT], PAYLOAD_STATES[PARTIALLY_PRESENT]]

/** The first block of `cell`. */
const startOf = (cell: number, cellCount: number, blockCount: number) => Math.ceil((cell * blockCount) / cellCount)

function addRun(cells: number[], blockCount: number, { block, count }: BlockStates): void {
  const end = block + count
  for (let cell = Math.floor((block * cells.length) / blockCount); cell < cells.length; cell++) {
    const start = startOf(cell, cells.length, blockCount)
    if (start >= end) return
    cells[cell]! += Math.min(end, startOf(cell + 1, cells.length, blockCount)) - Math.max(block, start)
  }
}
