/** Small reads that follow each other become few large ones, and say the same. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KiB, MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { ReadAheadDevice } from '../../lib/device/read-ahead-device.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { pattern } from '../helpers/pattern.ts'

const content = pattern(8 * MiB + 100, 1)

async function read(device: ReadAheadDevice, offset: number, length: number): Promise<void> {
  const bytes = Buffer.alloc(length)
  await device.read(offset, bytes)
  expect(bytes.equals(content.subarray(offset, offset + length))).toBe(true)
}

test('reads that follow each other, with gaps, are few', async () => {
  const counted = new CountingDevice(new MemoryDevice(content))
  const device = new ReadAheadDevice(counted)
  for (let offset = 0; offset < 4 * MiB; offset += 8 * KiB) await read(device, offset, 5000)
  expect(counted.reads.length).toBeLessThan(25)
})

test('two runs of reads beside each other are as few', async () => {
  const counted = new CountingDevice(new MemoryDevice(content))
  const device = new ReadAheadDevice(counted)
  for (let offset = 0; offset < MiB; offset += KiB) {
    await Promise.all([read(device, offset, KiB), read(device, 4 * MiB + 4 * offset, 4 * KiB)])
  }
  expect(counted.reads.length).toBeLessThan(35)
})

test('a read that follows none is left as it is', async () => {
  const counted = new CountingDevice(new MemoryDevice(content))
  const device = new ReadAheadDevice(counted)
  for (let i = 0; i < 50; i++) await read(device, (i * 7919 * 1024) % (8 * MiB), 1000)
  expect(counted.bytesRead).toBe(50 * 1000)
})

test('bad sectors that nobody asked for do no harm', async () => {
  const device = new ReadAheadDevice(
    new FaultyDevice(new MemoryDevice(content), { unreadable: [{ offset: 100 * KiB, length: 512 }] }),
  )
  for (let offset = 0; offset < 96 * KiB; offset += 4 * KiB) await read(device, offset, 4 * KiB)
  await expect(device.read(100 * KiB, Buffer.alloc(1000))).rejects.toMatchObject({ code: 'READ_ERROR' })
  await read(device, 101 * KiB, 100)
})

test('many reads at once say what is there, whatever they are', async () => {
  const reads = fc.array(fc.tuple(fc.nat(content.length - 1), fc.integer({ min: 1, max: 40_000 })), { maxLength: 200 })
  await fc.assert(
    fc.asyncProperty(reads, fc.nat(2 * MiB), async (some, start) => {
      const device = new ReadAheadDevice(new MemoryDevice(content))
      const inOrder = Array.from({ length: 300 }, (_, i): [number, number] => [start + i * 20_000, 19_000])
      const all = [...some, ...inOrder].filter(([offset, length]) => offset + length <= content.length)
      await Promise.all(all.map(([offset, length]) => read(device, offset, length)))
    }),
    { numRuns: 20 },
  )
})
