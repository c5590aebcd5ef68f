/**
 * What lies in the BAT region behind the entries of the disk's blocks: [MS-VHDX] 2.5 says nothing of it, and qemu takes
 * it for entries. After a disk was cut, entries of blocks are there.
 */
import { MiB, roundDown } from '../binary/size.ts'
import { isEmptyPage } from './bat-entry.ts'
import { BAT_ENTRY_SIZE, LOG_SECTOR_SIZE } from './format.ts'
import { bitmapEntryIndex, type Geometry, payloadEntryIndex } from './layout.ts'
import type { WriteSession } from './write-session.ts'

/** Zeroes what is there and belongs to no block of the disk. */
export async function clearUnusedEntries(session: WriteSession): Promise<void> {
  const { regionTables, geometry } = session.structures
  const { bat } = regionTables
  const [first, bitmap] = unusedFrom(geometry)
  const page = Buffer.alloc(MiB)
  for (let offset = roundDown(first * BAT_ENTRY_SIZE, MiB); offset < bat.length; offset += MiB) {
    await session.pages.read(bat.offset + offset, page)
    if (isEmptyPage(page)) continue
    for (let at = 0; at < MiB; at += LOG_SECTOR_SIZE) {
      const sector = page.subarray(at, at + LOG_SECTOR_SIZE)
      const cleared = withoutUnused(sector, (offset + at) / BAT_ENTRY_SIZE, first, bitmap)
      if (!cleared.equals(sector)) await session.change([{ position: bat.offset + offset + at, bytes: cleared }])
    }
  }
}

/** The first entry behind those of payload blocks, and the one that is in use all the same, of the last chunk's bitmap. */
function unusedFrom({ blockCount, batEntryCount, chunkRatio, hasParent }: Geometry): [first: number, bitmap: number] {
  const first = Math.min(payloadEntryIndex(blockCount, chunkRatio), batEntryCount)
  return [first, hasParent ? bitmapEntryIndex(Math.ceil(blockCount / chunkRatio) - 1, chunkRatio) : -1]
}

/** The entries in `sector`, of which the first is number `index`, with zeros for all from `first` on but `bitmap`. */
function withoutUnused(sector: Buffer, index: number, first: number, bitmap: number): Buffer {
  const cleared = Buffer.from(sector)
  const from = Math.max(0, (first - index) * BAT_ENTRY_SIZE)
  if (from < sector.length) cleared.fill(0, from)
  const kept = (bitmap - index) * BAT_ENTRY_SIZE
  if (kept >= 0 && kept < sector.length) sector.copy(cleared, kept, kept, kept + BAT_ENTRY_SIZE)
  return cleared
}
