/** Images by Windows, Hyper-V and Disk2vhd. */
import { describe, expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { sha256, sparseSha256, testEachImage } from '../helpers/corpus.ts'

describe('the whole disk is what independent tools found', () => {
  testEachImage('vhdx', async image => {
    const { virtualDisk, logReplayedBy } = image.expected()
    await using file = await FileDevice.open(await image.unpack())
    await using disk = await VhdxDevice.open(file)
    expect(disk.log).toBe(logReplayedBy === undefined ? 'clean' : 'replayed')
    expect(disk.size).toBe(virtualDisk.size)
    expect(await sparseSha256(disk)).toBe(virtualDisk.sparseSha256)
    // Images too large to hash whole have none.
    if (virtualDisk.sha256 !== null) expect(await sha256(disk)).toBe(virtualDisk.sha256)
  })
})

describe('check has nothing to say of what Windows leaves', () => {
  const warnings: Readonly<Record<string, object>> = {
    'vhdx/qemu-iotests/test-disk2vhd.vhdx': { HEADER_TWINS: 1, FILE_ODD_LENGTH: 1 },
    'vhdx/adiskreader/small_ntfs_test.vhdx': { LOG_DIRTY: 1 },
  }
  testEachImage('vhdx', async image => {
    await using file = await FileDevice.open(await image.unpack())
    const { summary } = await checkVhdx(file)
    expect(summary).toMatchObject({ errors: 0, counts: warnings[image.name] ?? {} })
    expect(summary.warnings).toBe(Object.keys(warnings[image.name] ?? {}).length)
  })
})
