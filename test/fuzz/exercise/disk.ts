/** Everything that can be done with a disk: its partitions and the volumes in them. */

import { surveyDisk } from '../../../lib/copy/disk-survey.ts'
import type { BlockDevice } from '../../../lib/device/block-device.ts'
import { endOf } from '../../../lib/device/ranges.ts'
import { SliceDevice } from '../../../lib/device/slice-device.ts'
import { MAX_PARTITIONS, type Partition } from '../../../lib/partition/partition.ts'
import { readPartitionTable } from '../../../lib/partition/partition-table.ts'
import type { Observer } from '../observer.ts'
import { exerciseVolume } from './volume.ts'

export async function exerciseDisk(disk: BlockDevice, observer: Observer): Promise<void> {
  const partitions = await exerciseTable(disk, observer)
  for (const copyDamagedWhole of [false, true]) {
    await observer.attempt(async () => {
      const survey = await surveyDisk(disk, { copyDamagedWhole })
      observer.findings([...survey.hazards, ...survey.findings])
      for await (const _ of observer.inOrder(survey.ranges(), disk.size));
    })
  }
  // A hostile table may name one volume many times.
  for (const { offset, size, typeId } of partitions.slice(0, 8)) {
    await exerciseVolume(new SliceDevice(disk, { offset, length: size }), observer, typeId)
  }
}

async function exerciseTable(disk: BlockDevice, observer: Observer): Promise<readonly Partition[]> {
  const whole = await observer.attempt(() => readPartitionTable(disk))
  const cut = await observer.attempt(() => readPartitionTable(disk, { truncated: 'cut' }))
  observer.claim(whole === undefined || cut !== undefined, 'a table that can be read cannot be read when cut')
  if (cut === undefined) return []
  observer.findings(cut.findings)
  observer.note(cut.type, cut.sectorSize, cut.diskId)
  observer.claim(cut.partitions.length <= MAX_PARTITIONS, `${cut.partitions.length} partitions`)
  let before = 0
  for (const partition of cut.partitions) {
    const { number, offset, size, typeId, name, id, active, attributes } = partition
    observer.note(number, offset, size, typeId, name, id, active, attributes)
    observer.claim(
      offset >= before && size > 0 && offset + size <= disk.size,
      `partition ${number}: ${offset} + ${size}`,
    )
    before = offset
  }
  for (const table of cut.tables) {
    observer.claim(table.length > 0 && endOf(table) <= disk.size, `a table at ${table.offset} + ${table.length}`)
  }
  return cut.partitions
}
