import { describe, expect, test } from 'vitest'
import { CachedDevice } from '../../lib/device/cached-device.ts'
import { readExtents } from '../../lib/device/extents.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { settle } from '../../lib/device/settle.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { GatedDevice } from '../helpers/gated-device.ts'

/** Whether `promise` is still pending after everything that can happen has happened. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true
  const end = () => {
    pending = false
  }
  promise.then(end, end)
  await new Promise(resolve => setImmediate(resolve))
  return pending
}

test('what fails first in the list is thrown, once all are done', async () => {
  let finish = () => {}
  const slow = new Promise<void>(resolve => {
    finish = resolve
  })
  const all = settle([Promise.resolve(), slow, Promise.reject(new Error('one')), Promise.reject(new Error('two'))])
  expect(await isPending(all)).toBe(true)
  finish()
  await expect(all).rejects.toThrow('one')
  await settle([])
})

describe('a read that fails gives the buffer back only when nothing fills it any more', () => {
  const BAD = { offset: 0, length: 512 }

  test('of extents', async () => {
    const file = new GatedDevice(Buffer.alloc(4096, 1))
    const parent = new FaultyDevice(new MemoryDevice(4096), { unreadable: [BAD] })
    const reading = readExtents(
      [
        { offset: 0, length: 512, source: 'parent', place: 0 },
        { offset: 512, length: 512, source: 'file', place: 0 },
      ],
      { file, parent },
      Buffer.alloc(1024),
    )
    expect(await isPending(reading)).toBe(true)
    file.letThrough(0)
    await expect(reading).rejects.toMatchObject({ code: 'READ_ERROR' })
  })

  test('of a cache', async () => {
    const gated = new GatedDevice(Buffer.alloc(4096))
    const cached = new CachedDevice(new FaultyDevice(gated, { unreadable: [BAD] }), { chunkSize: 512, capacity: 8192 })
    const reading = cached.read(0, Buffer.alloc(1024))
    expect(await isPending(reading)).toBe(true)
    gated.letThrough(0)
    await expect(reading).rejects.toMatchObject({ code: 'READ_ERROR' })
  })
})
