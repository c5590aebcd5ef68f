/** What a differencing image holds itself, told by its block table and bitmaps. spec-notes/vhd.md, "Sector bitmaps". */
import type { BlockDevice } from '../device/block-device.ts'
import type { HeldRange } from '../device/extents.ts'
import { DataBlocks } from './data-blocks.ts'
import { readVhdStructures } from './structures.ts'

/**
 * The sectors that the differencing image in `file` holds, in order. The parent is not needed, and content is not read.
 * Throws as opening the image would.
 */
export async function* heldRanges(file: BlockDevice): AsyncIterable<HeldRange> {
  const structures = await readVhdStructures(file)
  if (structures.dynamic === undefined) return
  const { currentSize } = structures.footer
  const blocks = new DataBlocks(file, structures, structures.dynamic)
  for await (const { block, count, present } of blocks.bat.runs()) {
    for (let held = block; present && held < block + count; held++) {
      const offset = held * blocks.blockSize
      const range = { offset, length: Math.min(blocks.blockSize, currentSize - offset) }
      for (const { source, offset, length } of await blocks.extents(range, true)) {
        if (source === 'file') yield { offset, length, content: 'data' }
      }
    }
  }
}
