/** How small a disk can be without losing anything that its partition table or its file system counts on. */
import { formatSize } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError } from '../errors.ts'
import { openVolume } from '../image/open-volume.ts'
import type { Partition, PartitionTable } from '../partition/partition.ts'
import { readTableSize, type TableSize } from '../partition/table-size.ts'
import { partitionRole } from '../partition/types.ts'
import { isZero } from './content-hash.ts'
import { usedWindows, WINDOW } from './used-windows.ts'

/** What a disk needs of its size. All sizes are bytes. */
export interface DiskNeed extends TableSize {
  /** What ends at `usedEnd`, such as 'partition 4 (Windows recovery)'; undefined for an empty disk. */
  readonly last: string | undefined
}

/** Reads what `disk` needs, with the `table` that was read from it. */
export async function readDiskNeed(disk: BlockDevice, table: PartitionTable): Promise<DiskNeed> {
  if (table.type === 'none') return volumeNeed(disk)
  const size = await readTableSize(disk, table)
  const pool = table.partitions.find(({ typeId }) => partitionRole(typeId) === 'ldm')
  if (table.type === 'mbr' && pool !== undefined) {
    return { ...wholeDisk(disk, 'the database of dynamic disks (LDM) behind the partitions'), stepsTo: size.stepsTo }
  }
  return { ...size, last: lastName(table.partitions, size.usedEnd) }
}

/** Of a disk without a table, which is one volume or empty. */
async function volumeNeed(disk: BlockDevice): Promise<DiskNeed> {
  try {
    const { size, fileSystem } = await openVolume(disk)
    if (size !== undefined) {
      return { usedEnd: size, smallest: size, last: `the volume on it (${fileSystem})`, stepsTo: noSteps }
    }
    const isEmpty = fileSystem === 'unknown' && (await isZeros(disk))
    if (isEmpty) return { usedEnd: 0, smallest: 0, last: undefined, stepsTo: noSteps }
    return wholeDisk(disk, `what is on it (${fileSystem}), of which the size is not known here,`)
  } catch (error) {
    if (error instanceof FormatError) return wholeDisk(disk, 'a volume on it, which is damaged,')
    throw error
  }
}

const noSteps = () => []

const wholeDisk = ({ size }: BlockDevice, last: string): DiskNeed => ({
  usedEnd: size,
  smallest: size,
  last,
  stepsTo: noSteps,
})

/** Reads until something is found. */
async function isZeros(disk: BlockDevice): Promise<boolean> {
  const buffer = Buffer.allocUnsafe(WINDOW)
  for await (const { offset, length } of usedWindows(disk.dataRanges(), disk.size)) {
    const window = buffer.subarray(0, length)
    await disk.read(offset, window)
    if (!isZero(window)) return false
  }
  return true
}

function lastName(partitions: readonly Partition[], usedEnd: number): string | undefined {
  const last = partitions.findLast(({ offset, size }) => offset + size === usedEnd)
  if (last !== undefined) return `partition ${last.number} (${last.name || last.typeName}, ${formatSize(last.size)})`
  return usedEnd > 0 ? 'an extended partition' : undefined
}
