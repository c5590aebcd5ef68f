/** Files by name: what independent tools found in real volumes is found here, to the byte. */
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { isOrphan, testEachImage } from '../helpers/corpus.ts'
import { sha256 } from './listing.ts'

testEachImage('ntfs', async image => {
  await using disk = await FileDevice.open(await image.unpack())
  for (const { startSector, sectors, files, dirs } of image.expected().partitions) {
    const volume = await NtfsVolume.open(new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 }))
    const found = await volume.openFiles()
    for (const expected of files!.filter(file => !isOrphan(file))) {
      const [path, stream] = expected.path.split(':', 2) as [string, string?]
      const entry = await found.stat(path)
      const content = await found.open(entry, stream)
      const size = stream === undefined ? entry.size : entry.streams.find(({ name }) => name === stream)?.size
      expect({ path: expected.path, size, sha256: await sha256(content) }).toEqual({
        path: expected.path,
        size: expected.size,
        sha256: expected.sha256,
      })
    }
    for (const path of dirs!) expect((await found.stat(path)).kind).toBe('directory')
    expect(found.findings).toEqual([])
  }
})
