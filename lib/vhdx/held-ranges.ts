/** What a differencing image holds itself, told by its BAT and its sector bitmaps. [MS-VHDX] 2.5.1.1. */
import type { BlockDevice } from '../device/block-device.ts'
import type { HeldRange } from '../device/extents.ts'
import { intersect } from '../device/ranges.ts'
import { reservedBitsOf, stateOf } from './bat-entry.ts'
import { FULLY_PRESENT, NOT_PRESENT, UNMAPPED } from './format.ts'
import type { Geometry } from './layout.ts'
import { PayloadBlocks } from './payload-blocks.ts'
import { readSoundStructures } from './structures.ts'

/** What a run of blocks is, told by their BAT entries alone. */
const INHERITED = 0
const ZEROS = 1
const DATA = 2
/** Each block has to be asked: it is partially present, or its entry is broken. */
const MIXED = 3

/**
 * What the differencing image in `file` holds, in order: data, and zeros that hide what the parent has. The parent is not
 * needed, and content is not read. Throws as opening the image would, and FormatError with the code of the rule that an entry breaks.
 */
export async function* heldRanges(file: BlockDevice): AsyncIterable<HeldRange> {
  const { file: replayed, regionTables, geometry, areas } = await readSoundStructures(file)
  yield* heldIn(new PayloadBlocks(replayed, regionTables.bat.offset, geometry, areas), geometry)
}

/** The same for the blocks of a differencing image of this geometry. */
export async function* heldIn(blocks: PayloadBlocks, { blockSize, virtualSize }: Geometry): AsyncIterable<HeldRange> {
  const disk = { offset: 0, length: virtualSize }
  const rangeOf = (block: number, count: number) =>
    intersect({ offset: block * blockSize, length: count * blockSize }, disk)!
  for await (const { kind, block, count } of blocks.bat.runs(kindOf)) {
    if (kind === DATA) yield { ...rangeOf(block, count), content: 'data' }
    if (kind === ZEROS) yield { ...rangeOf(block, count), content: 'zeros' }
    for (let mixed = block; kind === MIXED && mixed < block + count; mixed++) {
      for (const { source, offset, length } of await blocks.extents(rangeOf(mixed, 1))) {
        if (source === 'file') yield { offset, length, content: 'data' }
      }
    }
  }
}

/** Hot: once per entry of the table. */
function kindOf(low: number): number {
  const state = stateOf(low)
  if (reservedBitsOf(low) !== 0) return MIXED
  if (state === NOT_PRESENT) return INHERITED
  if (state <= UNMAPPED) return ZEROS
  return state === FULLY_PRESENT ? DATA : MIXED
}
