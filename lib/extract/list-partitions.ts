/** The partitions of a disk and what is on each, without anything that takes long on a large one. */
import type { BlockDevice } from '../device/block-device.ts'
import { SliceDevice } from '../device/slice-device.ts'
import { DiskImageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { openVolume } from '../image/open-volume.ts'
import { type Partition, type PartitionTable, readPartitionTable } from '../partition/partition-table.ts'
import type { Volume } from '../volume/volume.ts'
import { partitionsOf } from './disk-partitions.ts'

/** A partition and what is known of the volume on it. */
export interface ListedPartition {
  readonly partition: Partition
  /** As `Volume.fileSystem`: also what is only recognised, such as 'BitLocker'; undefined where it is too damaged to tell. */
  readonly fileSystem: string | undefined
  readonly label: string | undefined
  /** Bytes. */
  readonly clusterSize: number | undefined
  /** Why its files cannot be read; undefined when they can. */
  readonly error: DiskImageError | undefined
  /** Dirty, hibernated, a backup structure used … */
  readonly findings: readonly Finding[]
}

/** What `listPartitions` finds. */
export interface PartitionList {
  readonly table: PartitionTable
  readonly partitions: readonly ListedPartition[]
}

/** What is on `disk`: its partitions or, without a table, the volume that fills it. Throws what `readPartitionTable` throws. */
export async function listPartitions(disk: BlockDevice): Promise<PartitionList> {
  const table = await readPartitionTable(disk, { truncated: 'cut' })
  const partitions: ListedPartition[] = []
  for (const partition of partitionsOf({ disk, table })) partitions.push(await lookInto(disk, partition))
  return { table, partitions }
}

async function lookInto(disk: BlockDevice, partition: Partition): Promise<ListedPartition> {
  const device = new SliceDevice(disk, { offset: partition.offset, length: partition.size })
  let volume: Volume | undefined
  try {
    volume = await openVolume(device, partition.typeId)
    await volume.openFiles()
    return { ...known(partition, volume), error: undefined }
  } catch (error) {
    if (!(error instanceof DiskImageError) || error.code === 'DEVICE_GONE') throw error
    return { ...known(partition, volume), error }
  }
}

function known(partition: Partition, volume: Volume | undefined): Omit<ListedPartition, 'error'> {
  const { fileSystem, label, clusterSize, hazards = [], findings = [] } = volume ?? {}
  // That all of it would be copied says nothing to somebody who only looks.
  const said = [...hazards, ...findings].filter(({ code }) => code !== 'WHOLE_COPY')
  return { partition, fileSystem, label, clusterSize, findings: said }
}
