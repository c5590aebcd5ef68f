/** Images by Windows, Hyper-V and Disk2vhd are written to: what was not written stays, and others read what was. */
import { expect } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { OverlayDevice } from '../../lib/device/overlay-device.ts'
import { unionRanges } from '../../lib/device/union-ranges.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { testEachImage } from '../helpers/corpus.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run } from '../helpers/tools.ts'

/** The first byte of a piece in which the two differ, of all that one of them has data in. */
async function firstDifference(a: BlockDevice, b: BlockDevice): Promise<number | undefined> {
  const parts = [a, b].map(disk => ({ extent: { offset: 0, length: a.size }, ranges: () => disk.dataRanges() }))
  const [ours, theirs] = [Buffer.alloc(MiB), Buffer.alloc(MiB)]
  for await (const { offset, length } of unionRanges(parts)) {
    for (let done = 0; done < length; done += MiB) {
      const size = Math.min(MiB, length - done)
      await a.read(offset + done, ours.subarray(0, size))
      await b.read(offset + done, theirs.subarray(0, size))
      if (!ours.subarray(0, size).equals(theirs.subarray(0, size))) return offset + done
    }
  }
  return undefined
}

describeWith(['qemu-img'], 'written to', () => {
  testEachImage('vhdx', async image => {
    await using folder = await scratch()
    const path = folder.path('image.vhdx')
    await run('cp', ['--sparse=always', await image.unpack(), path])
    await using before = await VhdxDevice.open(await FileDevice.open(await image.unpack()))
    const expected = new OverlayDevice(before)
    const written = [0, 5 * 512 + 3, before.size / 2, before.size - 3 * MiB].map(offset => ({
      offset: Math.floor(offset),
      bytes: pattern(MiB + 77, offset),
    }))
    {
      await using disk = await VhdxDevice.openForWriting(await FileDevice.open(path, { mode: 'write' }))
      for (const { offset, bytes } of written) {
        await disk.write(offset, bytes)
        await expected.write(offset, bytes)
      }
      await disk.zero(before.size - MiB, MiB)
      await expected.zero(before.size - MiB, MiB)
      await disk.flush()
      expect(await firstDifference(disk, expected)).toBe(undefined)
    }
    await using after = await VhdxDevice.open(await FileDevice.open(path))
    expect(after.log).toBe('clean')
    expect(await firstDifference(after, expected)).toBe(undefined)
    await using file = await FileDevice.open(path)
    expect((await checkVhdx(file)).problems).toEqual([])
    await run('qemu-img', ['check', '-q', '-f', 'vhdx', path])
  })
})
