/** How a partition table follows when the size of its disk changes. */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { bootRecord } from './format.ts'
import { goodCopy, readGptCopies } from './gpt-copy.ts'
import { lastUsedLba, planGpt, smallestLastLba } from './gpt-writer.ts'
import { readMbr } from './mbr.ts'
import { withProtectedSize } from './mbr-writer.ts'
import type { PartitionTable } from './partition.ts'
import type { TableStep } from './table-writes.ts'

/** What a table needs of its disk. */
export interface TableSize {
  /** The byte behind the last sector that belongs to a partition, or to the container of logical ones; 0 for none. */
  readonly usedEnd: number
  /** Bytes that the disk has to have at least, for the backup of a GPT too. */
  readonly smallest: number
  /**
   * What has to be written so that the table is right for a disk of `size` bytes: before the disk is cut, or after it has
   * grown. Nothing where it is right. Before the disk grows it has to be right for the old size: the backup beside a
   * damaged first copy is found at the end only. Throws RefusedError as `planGpt`.
   */
  stepsTo(size: number): readonly TableStep[]
}

/** Reads what `table`, which `readPartitionTable` found on `disk`, needs. */
export async function readTableSize(disk: BlockDevice, { type, sectorSize }: PartitionTable): Promise<TableSize> {
  const sector = Buffer.alloc(bootRecord.size)
  if (type === 'none') return { usedEnd: 0, smallest: 0, stepsTo: () => [] }
  await tryRead(disk, 0, sector)
  if (type === 'mbr') {
    const ends = readMbr(sector)!.slots.map(slot => (slot === undefined ? 0 : slot.firstLba + slot.sectorCount))
    const usedEnd = Math.max(...ends) * sectorSize
    return { usedEnd, smallest: usedEnd, stepsTo: () => [] }
  }
  const copies = await readGptCopies(disk, sectorSize)
  // There is one: the table was read from it.
  const good = goodCopy(copies)!
  return {
    usedEnd: (lastUsedLba(good) + 1) * sectorSize,
    smallest: (smallestLastLba(sectorSize, good) + 1) * sectorSize,
    stepsTo(size) {
      const lastLba = Math.floor(size / sectorSize) - 1
      const protective = withProtectedSize(sector, lastLba)
      return [...planGpt(copies, good, { lastLba }), ...(protective === undefined ? [] : [[protective]])]
    },
  }
}
