/** Real VHD files: the disk is byte for byte what others found in it. */
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { VhdDevice } from '../../lib/vhd/vhd-device.ts'
import { sha256, sparseSha256, testEachImage } from '../helpers/corpus.ts'

/** What the footers say, by eye. */
const FACTS: Readonly<Record<string, object>> = {
  'd2v-zerofilled.vhd': { type: 'dynamic', creator: 'd2v 1.0' },
  'hyperv2012r2-dynamic.vhd': { type: 'dynamic', creator: 'win 6.3' },
  'dynamic.vhd': { type: 'dynamic', creator: 'win 10.0' },
  'fixed.vhd': { type: 'fixed', creator: 'win 10.0' },
}

testEachImage('vhd', async image => {
  const { file: name, virtualDisk } = image.expected()
  await using file = await FileDevice.open(await image.unpack())
  if (name === 'fat-differential.vhd') {
    // Its parent is not to be had.
    await expect(VhdDevice.open(file)).rejects.toMatchObject({
      code: 'PARENT_NOT_OPENED',
      details: {
        uniqueId: '5fa21a55-f394-aa4d-9958-1951a67d5540',
        paths: ['.\\fat-parent.vhd', 'C:\\Projects\\dfvfs\\test_data\\fat-parent.vhd'],
      },
    })
    return
  }
  const disk = await VhdDevice.open(file)
  expect(disk).toMatchObject({ size: virtualDisk.size, findings: [], ...FACTS[name] })
  expect(await sparseSha256(disk)).toBe(virtualDisk.sparseSha256)
  if (virtualDisk.sha256 !== null) expect(await sha256(disk)).toBe(virtualDisk.sha256)
})
