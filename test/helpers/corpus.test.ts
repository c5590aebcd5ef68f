import { expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { sha256, sparseSha256, testEachImage } from './corpus.ts'

testEachImage('partition-tables', async image => {
  const { virtualDisk } = image.expected()
  await using device = await FileDevice.open(await image.unpack())
  expect(device.size).toBe(virtualDisk.size)
  expect(await sha256(device)).toBe(virtualDisk.sha256)
  expect(await sparseSha256(device)).toBe(virtualDisk.sparseSha256)
})

/** A device that has data only where it says. */
class SparseDevice extends MemoryDevice {
  protected override async *dataRangesWithin() {
    yield { offset: 65_000, length: 1 }
    yield { offset: 66_000, length: 1 }
    yield { offset: 300_000, length: 10 }
  }
}

test('hashes do not depend on how a device cuts its data into ranges', async () => {
  const content = Buffer.alloc(400_001)
  content[65_000] = 1
  content[66_000] = 2
  content[300_005] = 3
  const [whole, cut] = [new MemoryDevice(content), new SparseDevice(content)]
  expect(await sha256(cut)).toBe(await sha256(whole))
  expect(await sparseSha256(cut)).toBe(await sparseSha256(whole))
})
