/** The arithmetic of blocks and their bitmaps, spec-notes/vhd.md, "Block allocation table": pure functions, no I/O. */
import { roundUp } from '../binary/size.ts'
import { SECTOR_SIZE } from './format.ts'

/** How many blocks a disk of `size` bytes has. The last may be short on the disk, and is whole in the file. */
export const blockCountOf = (size: number, blockSize: number) => Math.ceil(size / blockSize)

/** Bytes of the sector bitmap before each block: a bit for each sector, in whole sectors. */
export const bitmapLength = (blockSize: number) => roundUp(blockSize / SECTOR_SIZE / 8, SECTOR_SIZE)

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
