import { expect, test, vi } from 'vitest'
import { RescuingReader } from '../../lib/copy/rescuing-reader.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { StorageError } from '../../lib/errors.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { pattern } from '../helpers/pattern.ts'

const SIZE = 1024 * 1024
const disk = pattern(SIZE)
const whole = { offset: 0, length: SIZE }

const without = (...sectors: readonly { offset: number; length: number }[]) => {
  const expected = Buffer.from(disk)
  for (const { offset, length } of sectors) expected.fill(0, offset, offset + length)
  return expected
}

test('everything but the unreadable sectors comes out, and they are listed', async () => {
  const unreadable = [
    { offset: 5 * 512, length: 1 },
    { offset: 700_000, length: 1500 },
  ]
  const reader = new RescuingReader(new FaultyDevice(new MemoryDevice(disk), { unreadable }))
  const bytes = Buffer.alloc(SIZE, 0xee)
  await reader.readRanges([whole], bytes, 0)
  // 700,000 is in sector 1367, 701,499 in sector 1370.
  const lost = [
    { offset: 5 * 512, length: 512 },
    { offset: 1367 * 512, length: 4 * 512 },
  ]
  expect(bytes.equals(without(...lost))).toBe(true)
  expect(reader.errors).toEqual({ bytes: 5 * 512, ranges: lost, truncated: false })
})

test('a bad sector between two ranges costs nothing', async () => {
  const unreadable = [{ offset: 8192, length: 512 }]
  const reader = new RescuingReader(new FaultyDevice(new MemoryDevice(disk), { unreadable }))
  const bytes = Buffer.alloc(SIZE)
  const ranges = [
    { offset: 0, length: 8192 },
    { offset: 16384, length: 4096 },
  ]
  await reader.readRanges(ranges, bytes, 0)
  expect(reader.errors.bytes).toBe(0)
  for (const { offset, length } of ranges) {
    expect(bytes.subarray(offset, offset + length).equals(disk.subarray(offset, offset + length))).toBe(true)
  }
})

test('a range that begins inside a sector is rescued to its very bytes', async () => {
  const unreadable = [{ offset: 1024, length: 512 }]
  const reader = new RescuingReader(new FaultyDevice(new MemoryDevice(disk), { unreadable }))
  const bytes = Buffer.alloc(SIZE, 0xee)
  await reader.readRanges([{ offset: 700, length: 1000 }], bytes, 0)
  expect(bytes.subarray(700, 1700).equals(without({ offset: 1024, length: 512 }).subarray(700, 1700))).toBe(true)
  expect(reader.errors.ranges).toEqual([{ offset: 1024, length: 512 }])
})

test('with fail, the first sector that stays unreadable ends it', async () => {
  const unreadable = [{ offset: 4096, length: 512 }]
  const reader = new RescuingReader(new FaultyDevice(new MemoryDevice(disk), { unreadable }), 'fail')
  await expect(reader.readRanges([whole], Buffer.alloc(SIZE), 0)).rejects.toMatchObject({ code: 'READ_ERROR' })
})

test('a disk that reads nothing any more is gone, not full of bad sectors', async () => {
  const counting = new CountingDevice(new FaultyDevice(new MemoryDevice(disk), { unreadable: [whole] }))
  const reader = new RescuingReader(counting)
  await expect(reader.readRanges([whole], Buffer.alloc(SIZE), 0)).rejects.toMatchObject({ code: 'DEVICE_GONE' })
  expect(counting.reads.length).toBeLessThan(30)
})

test('a disk with no bad sector is read in one request', async () => {
  const counting = new CountingDevice(new MemoryDevice(disk))
  const reader = new RescuingReader(counting)
  await reader.readRanges([whole], Buffer.alloc(SIZE), 0)
  expect(counting.reads).toEqual([whole])
  expect(reader.bytesRead).toBe(SIZE)
})

test('a disk of which the system still has its beginning in memory is gone as well', async () => {
  const large = new MemoryDevice(pattern(16 * SIZE))
  const reader = new RescuingReader(new FaultyDevice(large, { unreadable: [{ offset: 65536, length: 16 * SIZE }] }))
  // Drawn at random, one place in 256 would still be in memory.
  const random = vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const read = reader.readRanges([whole], Buffer.alloc(SIZE), 0)
  await expect(read.finally(() => random.mockRestore())).rejects.toMatchObject({ code: 'DEVICE_GONE' })
})

test('a file that became shorter is no disk with bad sectors', async () => {
  class Shrunk extends MemoryDevice {
    protected override async readBytes(): Promise<void> {
      throw new StorageError('SHORT_READ', 'it ends there')
    }
  }
  const reader = new RescuingReader(new Shrunk(disk))
  await expect(reader.readRanges([whole], Buffer.alloc(SIZE), 0)).rejects.toMatchObject({ code: 'SHORT_READ' })
})

test('rescuing stops when it is told to', async () => {
  const controller = new AbortController()
  let reads = 0
  class Failing extends MemoryDevice {
    protected override async readBytes(offset: number): Promise<void> {
      if (++reads === 50) controller.abort(new Error('enough'))
      if (offset < SIZE / 2) throw new StorageError('READ_ERROR', 'unreadable')
    }
  }
  const reader = new RescuingReader(new Failing(disk), 'zero', controller.signal)
  await expect(reader.readRanges([whole], Buffer.alloc(SIZE), 0)).rejects.toThrow('enough')
  expect(reads).toBe(50)
})
