/** The places on a disk where a volume may be. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Partition, PartitionTable } from '../partition/partition-table.ts'

/** A disk and its table. */
export interface PartitionedDisk {
  readonly disk: BlockDevice
  readonly table: PartitionTable
}

/** The table's partitions, or the whole disk as one where there is no table. */
export function partitionsOf({ disk, table }: PartitionedDisk): readonly Partition[] {
  if (table.type !== 'none') return table.partitions
  return [{ number: 1, offset: 0, size: disk.size, typeId: '', typeName: 'no partition table' }]
}
