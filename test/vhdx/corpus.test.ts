import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { sha256, sparseSha256, testEachImage } from '../helpers/corpus.ts'

/** Images too large to hash whole have no `sha256`. */
testEachImage('vhdx', async image => {
  const { virtualDisk, logReplayedBy } = image.expected()
  await using file = await FileDevice.open(await image.unpack())
  if (logReplayedBy !== undefined) {
    await expect(VhdxDevice.open(file)).rejects.toMatchObject({ code: 'LOG_DIRTY', name: 'UnsupportedError' })
    return
  }
  await using disk = await VhdxDevice.open(file)
  expect(disk.size).toBe(virtualDisk.size)
  expect(await sparseSha256(disk)).toBe(virtualDisk.sparseSha256)
  if (virtualDisk.sha256 !== null) expect(await sha256(disk)).toBe(virtualDisk.sha256)
})
