/** Blocks of which nothing is known, [MS-VHDX] 2.5.1.1: a copy of an image says so of the same ones. */
import type { BlockDevice } from '../device/block-device.ts'
import { writeEntry } from './bat-entry.ts'
import { openBlockTable } from './block-map.ts'
import { BAT_ENTRY_SIZE, UNDEFINED } from './format.ts'
import { payloadEntryIndex } from './layout.ts'
import { readSoundStructures } from './structures.ts'

/**
 * Makes the blocks that are undefined in the image `from` so in the image `to`, which has blocks of the same size, a log
 * that is clean, and none of them in its file. Throws what opening the two throws.
 */
export async function copyUndefinedBlocks(from: BlockDevice, to: BlockDevice): Promise<void> {
  const { regionTables, geometry } = await readSoundStructures(to)
  for await (const { block, count, state } of (await openBlockTable(from)).blockStates()) {
    if (state !== 'undefined') continue
    for (let next = block; next < block + count; ) {
      const chunkEnd = next - (next % geometry.chunkRatio) + geometry.chunkRatio
      const end = Math.min(block + count, chunkEnd)
      const entries = Buffer.alloc((end - next) * BAT_ENTRY_SIZE)
      for (let at = 0; at < entries.length; at += BAT_ENTRY_SIZE) writeEntry(entries, at, UNDEFINED, 0)
      await to.write(regionTables.bat.offset + payloadEntryIndex(next, geometry.chunkRatio) * BAT_ENTRY_SIZE, entries)
      next = end
    }
  }
}
