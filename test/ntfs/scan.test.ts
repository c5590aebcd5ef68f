/** The two ways to all files, by $MFT and by the directories, lead to the same. */
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { isOrphan, testEachImage } from '../helpers/corpus.ts'
import { describeAll, scan, walk } from './listing.ts'

testEachImage('ntfs', async image => {
  await using disk = await FileDevice.open(await image.unpack())
  for (const { startSector, sectors, files: expected } of image.expected().partitions) {
    const volume = await NtfsVolume.open(new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 }))
    const files = await volume.openFiles()
    for (const system of [false, true]) {
      const walked = describeAll(await walk(files, await files.stat('/'), system))
      const orphans = expected!.filter(isOrphan).map(({ path }) => `/${path}`)
      const found = await scan(files, system)
      // What only its record says to be in a directory is found, too.
      expect(found.map(({ path }) => path)).toEqual(expect.arrayContaining(orphans))
      expect(describeAll(found.filter(({ path }) => !orphans.includes(path)))).toEqual(walked)
    }
  }
})
