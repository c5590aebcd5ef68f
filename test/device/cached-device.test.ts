import { describe, expect, test } from 'vitest'
import { CachedDevice } from '../../lib/device/cached-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { GatedDevice } from '../helpers/gated-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeBlockDevice } from './conformance.ts'

describeBlockDevice('CachedDevice', {
  writable: async content => new CachedDevice(new MemoryDevice(Buffer.from(content))),
  readOnly: async content => new CachedDevice(new MemoryDevice(content, { readOnly: true })),
})

describeBlockDevice('CachedDevice of small odd chunks', {
  writable: async content =>
    new CachedDevice(new MemoryDevice(Buffer.from(content)), { chunkSize: 5000, capacity: 100_000 }),
})

const read = async (device: CachedDevice, offset: number, length: number) => {
  const target = Buffer.alloc(length)
  await device.read(offset, target)
  return target
}

describe('CachedDevice', () => {
  const cached = (size: number, capacity: number) => {
    const base = new CountingDevice(new MemoryDevice(pattern(size)))
    return { base, device: new CachedDevice(base, { chunkSize: 1000, capacity }) }
  }

  test('reads a chunk once', async () => {
    const { base, device } = cached(10_500, 8000)
    await read(device, 100, 10)
    await read(device, 990, 20)
    await read(device, 0, 2000)
    expect(base.reads).toEqual([
      { offset: 0, length: 1000 },
      { offset: 1000, length: 1000 },
    ])
    await read(device, 10_499, 1)
    expect(base.reads.at(-1)).toEqual({ offset: 10_000, length: 500 })
  })

  test('reads of one chunk at a time share one read', async () => {
    const { base, device } = cached(10_000, 8000)
    const results = await Promise.all([10, 200, 10, 999].map(offset => read(device, offset, 1)))
    expect(results.map(([byte]) => byte)).toEqual([10, 200, 10, 999].map(offset => pattern(1, offset)[0]))
    expect(base.reads.length).toBe(1)
  })

  test('forgets the chunk that was used longest ago', async () => {
    const { base, device } = cached(10_000, 3000)
    for (const chunk of [0, 1, 2, 0, 3]) await read(device, chunk * 1000, 1)
    expect(base.reads.length).toBe(4)
    for (const chunk of [0, 2, 3]) await read(device, chunk * 1000, 1)
    expect(base.reads.length).toBe(4)
    await read(device, 1000, 1)
    expect(base.reads.length).toBe(5)
  })

  test('long reads go by', async () => {
    const { base, device } = cached(10_000, 8000)
    expect((await read(device, 500, 2001)).equals(pattern(2001, 500))).toBe(true)
    expect(base.reads).toEqual([{ offset: 500, length: 2001 }])
    await read(device, 500, 1)
    expect(base.reads.length).toBe(2)
  })

  test('does not keep what was read before a write was done', async () => {
    const base = new GatedDevice(pattern(10_000))
    const device = new CachedDevice(base, { chunkSize: 1000, capacity: 8000 })
    const write = device.write(100, Buffer.alloc(10, 7))
    const early = read(device, 100, 10)
    base.letThrough(1)
    expect((await early).equals(pattern(10, 100))).toBe(true)
    base.letThrough(0)
    await write
    base.letThrough(2)
    expect((await read(device, 100, 10)).equals(Buffer.alloc(10, 7))).toBe(true)
  })

  test('a read that failed is tried again', async () => {
    let faulty = true
    const good = new MemoryDevice(pattern(10_000))
    const bad = new FaultyDevice(good, { unreadable: [{ offset: 1500, length: 1 }] })
    const base = new CountingDevice(good)
    base.read = (offset, target) => (faulty ? bad : good).read(offset, target)
    const device = new CachedDevice(base, { chunkSize: 1000, capacity: 8000 })
    await expect(read(device, 1000, 1)).rejects.toMatchObject({ code: 'READ_ERROR' })
    expect((await read(device, 0, 1)).equals(pattern(1))).toBe(true)
    faulty = false
    expect((await read(device, 1000, 600)).equals(pattern(600, 1000))).toBe(true)
  })
})
