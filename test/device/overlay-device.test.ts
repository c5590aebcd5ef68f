import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { OverlayDevice } from '../../lib/device/overlay-device.ts'
import { StorageError } from '../../lib/errors.ts'
import { collect } from '../helpers/collect.ts'
import { GatedDevice } from '../helpers/gated-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { sparseDevice } from '../helpers/sparse-device.ts'
import { describeBlockDevice } from './conformance.ts'

describeBlockDevice('OverlayDevice', {
  writable: async content => new OverlayDevice(new MemoryDevice(content, { readOnly: true })),
})

describe('OverlayDevice', () => {
  test('never writes its base', async () => {
    const content = pattern(50_000)
    const overlay = new OverlayDevice(new MemoryDevice(content))
    await overlay.write(100, Buffer.alloc(20_000))
    await overlay.zero(40_000, 10_000)
    expect(content.equals(pattern(50_000))).toBe(true)
  })

  test('two writes that need the same page both stay', async () => {
    const base = new GatedDevice(pattern(8192))
    const overlay = new OverlayDevice(base)
    const [one, two] = [overlay.write(10, Buffer.from('one')), overlay.write(20, Buffer.from('two'))]
    base.letThrough(0)
    await one
    base.letThrough(1)
    await two
    base.letThrough(2)
    const expected = pattern(8192)
    expected.write('one', 10)
    expected.write('two', 20)
    const actual = Buffer.alloc(8192)
    await overlay.read(0, actual)
    expect(actual.equals(expected)).toBe(true)
  })

  test('keeps no more than its limit, and goes on reading', async () => {
    const overlay = new OverlayDevice(new MemoryDevice(2 ** 20), { limit: 8192 })
    await overlay.write(5000, pattern(1))
    await overlay.write(100_000, pattern(1))
    await overlay.write(5001, pattern(3000, 1))
    const error = await overlay.write(200_000, pattern(1)).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(StorageError)
    expect(error).toMatchObject({ code: 'OVERLAY_FULL', details: { limit: 8192 } })
    const target = Buffer.alloc(3001)
    await overlay.read(5000, target)
    expect(target.equals(pattern(3001))).toBe(true)
  })

  test('has data where its base has, and in the pages that were written', async () => {
    const base = sparseDevice(100_000, [
      { offset: 0, length: 4096 },
      { offset: 20_480, length: 100 },
      { offset: 50_000, length: 10_000 },
    ])
    const overlay = new OverlayDevice(base)
    await overlay.write(98_400, pattern(10))
    await overlay.write(8191, pattern(2))
    await overlay.write(55_000, pattern(2))
    expect(await collect(overlay.dataRanges())).toEqual([
      { offset: 0, length: 12_288 },
      { offset: 20_480, length: 100 },
      { offset: 50_000, length: 10_000 },
      { offset: 98_304, length: 100_000 - 98_304 },
    ])
    expect(await collect(overlay.dataRanges({ offset: 5000, length: 1000 }))).toEqual([{ offset: 5000, length: 1000 }])
    expect(await collect(overlay.dataRanges({ offset: 12_288, length: 8192 }))).toEqual([])
  })
})
