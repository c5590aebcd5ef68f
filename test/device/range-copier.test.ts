import { open, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { RangeCopier } from '../../lib/device/range-copier.ts'
import { OutOfRangeError } from '../../lib/errors.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { scratch } from '../helpers/folders.ts'
import { mountNew } from '../helpers/mounted.ts'
import { pattern } from '../helpers/pattern.ts'
import { testWith } from '../helpers/tools.ts'

const MIB = 2 ** 20

async function read(device: BlockDevice, offset: number, length: number): Promise<Buffer> {
  const target = Buffer.alloc(length)
  await device.read(offset, target)
  return target
}

describe('RangeCopier copies', () => {
  const content = pattern(11 * MIB + 7)

  test('every byte, a few pieces at a time, and says how far it is', async () => {
    const source = new CountingDevice(new MemoryDevice(content))
    const target = new MemoryDevice(Buffer.alloc(content.length))
    const progress: number[] = []
    const copier = new RangeCopier({ onProgress: bytes => progress.push(bytes) })
    await Promise.all([
      copier.copy({ source, from: { offset: 0, length: 5 * MIB }, target, offset: 0 }),
      copier.copy({ source, from: { offset: 5 * MIB, length: 6 * MIB + 7 }, target, offset: 5 * MIB }),
    ])
    expect((await read(target, 0, content.length)).equals(content)).toBe(true)
    expect(progress.reduce((sum, bytes) => sum + bytes, 0)).toBe(content.length)
    expect(source.mostAtOnce).toBe(4)
    expect(copier.cloned).toBe(0)
  })

  test('no more when it is told to stop, or one piece fails', async () => {
    const source = new MemoryDevice(content)
    const target = new MemoryDevice(Buffer.alloc(content.length))
    const stop = new AbortController()
    const copier = new RangeCopier({ signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) })
    const from = { offset: 0, length: content.length }
    await expect(copier.copy({ source, from, target, offset: 0 })).rejects.toThrow('enough')
    await expect(copier.copy({ source, from, target, offset: 0 })).rejects.toThrow('enough')
    const tooShort = new MemoryDevice(Buffer.alloc(MIB))
    await expect(new RangeCopier().copy({ source, from, target: tooShort, offset: 0 })).rejects.toThrow(OutOfRangeError)
  })
})

for (const type of ['btrfs', 'xfs'] as const) {
  testWith([type], `on ${type} the medium shares what is copied, and nothing becomes a hole`, async () => {
    await using mounted = await mountNew(type)
    const content = pattern(8 * MIB)
    await writeFile(mounted.path('source'), content)
    await using source = await FileDevice.open(mounted.path('source'))
    await using target = await FileDevice.open(mounted.path('target'), { mode: 'create' })
    const copier = new RangeCopier()
    await copier.copy({ source, from: { offset: 2 * MIB, length: 6 * MIB }, target, offset: 0 })
    expect([copier.cloned, target.size]).toEqual([6 * MIB, 6 * MIB])
    // From place to place of one file, over what is there.
    await copier.copy({ source: target, from: { offset: 0, length: MIB }, target, offset: 4 * MIB })
    expect(copier.cloned).toBe(7 * MIB)
    const expected = Buffer.from(content.subarray(2 * MIB))
    expected.copyWithin(4 * MIB, 0, MIB)
    expect((await read(target, 0, 6 * MIB)).equals(expected)).toBe(true)
    await target.flush()
    expect(await target.isSparse()).toBe(false)
    expect(await target.allocatedBytes()).toBe(6 * MIB)
    // Whoever writes to one leaves the other alone.
    await target.write(0, Buffer.alloc(4096, 0xee))
    expect((await read(source, 0, content.length)).equals(content)).toBe(true)
  })

  testWith([type], `on ${type} it copies what cannot be shared`, async () => {
    await using mounted = await mountNew(type)
    await using elsewhere = await scratch()
    const content = pattern(MIB + 5)
    await writeFile(mounted.path('source'), content)
    await using source = await FileDevice.open(mounted.path('source'))
    const sparse = await open(mounted.path('sparse'), 'w')
    await sparse.truncate(MIB)
    await sparse.write(content, 0, 4096, 512 * 1024)
    await sparse.close()
    await using holes = await FileDevice.open(mounted.path('sparse'))
    for (const [name, job] of [
      ['another file system', { source, length: MIB, path: elsewhere.path('target'), offset: 0 }],
      ['an odd place', { source, length: MIB, path: mounted.path('odd'), offset: 512 }],
      ['a hole', { source: holes, length: MIB, path: mounted.path('dense'), offset: 0 }],
    ] as const) {
      await using target = await FileDevice.open(job.path, { mode: 'create' })
      const copier = new RangeCopier()
      const from = { offset: 0, length: job.length }
      await copier.copy({ source: job.source, from, target, offset: job.offset })
      expect([name, copier.cloned]).toEqual([name, 0])
      const copied = await read(target, job.offset, job.length)
      expect(copied.equals(await read(job.source, 0, job.length))).toBe(true)
      await target.flush()
      expect((await target.allocatedBytes())! >= job.length).toBe(true)
    }
  })
}
