/** Volumes by Windows and others: what independent tools counted in them is what is found here. */
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { testEachImage } from '../helpers/corpus.ts'

testEachImage('ntfs', async image => {
  await using disk = await FileDevice.open(await image.unpack())
  for (const partition of image.expected().partitions) {
    const { startSector, sectors } = partition
    const volume = await NtfsVolume.open(new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 }))
    const space = await volume.usedSpace()
    expect(volume.label ?? '').toBe(partition.label ?? '')
    expect(space.clusters).toEqual({
      size: partition.ntfsBoot!.clusterSize,
      total: partition.totalClusters,
      used: partition.usedClusters,
    })
    // $Bitmap and the runlists agree to the bit.
    expect(space.findings).toEqual([])
    let bytes = 0
    for await (const range of space.ranges()) bytes += range.length
    expect(bytes).toBe(space.usedBytes)
  }
})
