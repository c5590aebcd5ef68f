/** What was lost when a disk was copied is an error, not zeros. */
import { expect, test } from 'vitest'
import { LostRangesDevice } from '../../lib/device/lost-ranges-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { StorageError } from '../../lib/errors.ts'
import { collect } from '../helpers/collect.ts'
import { pattern } from '../helpers/pattern.ts'

const content = pattern(10_000, 1)

class WithHoles extends MemoryDevice {
  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    if (within.offset < 1000) yield { offset: within.offset, length: Math.min(1000 - within.offset, within.length) }
  }
}

const lost = [
  { offset: 6000, length: 100 },
  { offset: 500, length: 1000 },
  { offset: 6050, length: 100 },
  { offset: 9900, length: 5000 },
  { offset: 20_000, length: 10 },
]
const device = new LostRangesDevice(
  new WithHoles(Buffer.from(content)),
  lost,
  ({ offset, length }) => new StorageError('READ_ERROR', `${length} bytes at byte ${offset}`),
)

test.each([
  [0, 500],
  [1500, 4500],
  [6150, 3750],
])('%d to %d more can be read', async (offset, length) => {
  const bytes = Buffer.alloc(length)
  await device.read(offset, bytes)
  expect(bytes.equals(content.subarray(offset, offset + length))).toBe(true)
})

test.each([
  [0, 501, '1 bytes at byte 500'],
  [1499, 10, '1 bytes at byte 1499'],
  [0, 10_000, '1000 bytes at byte 500'],
  [6020, 10, '10 bytes at byte 6020'],
  [6100, 1000, '50 bytes at byte 6100'],
  [9999, 1, '1 bytes at byte 9999'],
])('%d and %d more cannot', async (offset, length, words) => {
  const refused = device.read(offset, Buffer.alloc(length))
  await expect(refused).rejects.toMatchObject({ code: 'READ_ERROR', message: expect.stringContaining(words) })
})

test('it is no hole', async () => {
  expect(await collect(device.dataRanges())).toEqual([
    { offset: 0, length: 1500 },
    { offset: 6000, length: 150 },
    { offset: 9900, length: 100 },
  ])
})
