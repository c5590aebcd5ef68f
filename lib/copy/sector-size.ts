/** The sectors a disk counts in, where the disk itself does not say. */
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError } from '../errors.ts'
import type { OpenedDisk } from '../image/open-disk.ts'
import { openVolume } from '../image/open-volume.ts'
import { type PartitionTable, readPartitionTable } from '../partition/partition-table.ts'
import type { Volume } from '../volume/volume.ts'

/** A raw file does not say what sectors its disk had, but the table or the volume in it counts in them. */
export function sectorSizeOf(table: PartitionTable, volume: Volume | undefined, disk: BlockDevice): 512 | 4096 {
  const sectorSize = table.type === 'none' ? (volume?.sectorSize ?? disk.sectorSize) : table.sectorSize
  return sectorSize === 4096 ? 4096 : 512
}

/** What `sectorSizeOf` says of `disk`; 512 where what is on it is damaged, for it is copied all the same. */
export async function readSectorSize(disk: BlockDevice): Promise<512 | 4096> {
  try {
    const table = await readPartitionTable(disk, { truncated: 'cut' })
    return sectorSizeOf(table, table.type === 'none' ? await openVolume(disk) : undefined, disk)
  } catch (error) {
    if (error instanceof FormatError) return 512
    throw error
  }
}

/** Of a raw file nothing is known: then 512 bytes are emulated over 4096, as Windows gives to a new disk. */
export function physicalSectorSizeOf({ disk, file, format }: OpenedDisk, logicalSectorSize: number): 512 | 4096 {
  const isKnown = file.raw || format === 'vhdx'
  return logicalSectorSize === 512 && isKnown && disk.physicalSectorSize === 512 ? 512 : 4096
}
