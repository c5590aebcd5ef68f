/** The arithmetic of blocks and their bitmaps, spec-notes/vhd.md, "Block allocation table": pure functions, no I/O. */
import { KiB, roundUp } from '../binary/size.ts'
import { BAT_ENTRY_SIZE, dynamicHeader, footer, SECTOR_SIZE } from './format.ts'

/** How many blocks a disk of `size` bytes has. The last may be short on the disk, and is whole in the file. */
export const blockCountOf = (size: number, blockSize: number) => Math.ceil(size / blockSize)

/** Bytes of the sector bitmap before each block: a bit for each sector, in whole sectors. */
export const bitmapLength = (blockSize: number) => roundUp(blockSize / SECTOR_SIZE / 8, SECTOR_SIZE)

/** New images have their blocks on pages, as those of Windows: the bitmap is the end of the page before. */
const PAGE_SIZE = 4 * KiB

/** Where the block allocation table of a new image begins. */
export const TABLE_OFFSET = footer.size + dynamicHeader.size

/** Where it ends, with the entries that fill its last page. */
export const tableEnd = (blockCount: number) => roundUp(TABLE_OFFSET + blockCount * BAT_ENTRY_SIZE, PAGE_SIZE)

/** Bytes between two blocks of a new image. They end with the bitmap of the second, or with the footer. */
export const gapLength = (blockSize: number) => roundUp(bitmapLength(blockSize), PAGE_SIZE)

/** Bytes of a new dynamic image in which `blocks` blocks have a place. */
export const imageSize = (
  { blockSize, blockCount }: { readonly blockSize: number; readonly blockCount: number },
  blocks: number,
) => tableEnd(blockCount) + blocks * (gapLength(blockSize) + blockSize) + PAGE_SIZE

/** Sectors of a block that are all there or all not: `count` of them from `sector` on. */
export interface SectorRun {
  readonly sector: number
  readonly count: number
  readonly present: boolean
}

/** Whether sector `sector` of a block is there: the highest bit of a byte is its first sector. */
const isPresent = (bitmap: Buffer, sector: number) => ((bitmap[sector >>> 3]! >>> (7 - (sector & 7))) & 1) === 1

/** Sectors `first` to `end - 1` of a block as runs. Sector 0 is the first bit of `bitmap`. Hot: once per sector. */
export function sectorRuns(bitmap: Buffer, first: number, end: number): SectorRun[] {
  const runs: SectorRun[] = []
  for (let sector = first; sector < end; ) {
    const start = sector
    const present = isPresent(bitmap, start)
    while (++sector < end && isPresent(bitmap, sector) === present);
    runs.push({ sector: start, count: sector - start, present })
  }
  return runs
}
