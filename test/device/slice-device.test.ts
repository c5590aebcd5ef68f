import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { OutOfRangeError } from '../../lib/errors.ts'
import { collect } from '../helpers/collect.ts'
import { pattern } from '../helpers/pattern.ts'
import { sparseDevice } from '../helpers/sparse-device.ts'
import { describeBlockDevice } from './conformance.ts'

/** Part of a disk with other bytes around it. */
function sliceOf(content: Buffer, readOnly = false): SliceDevice {
  const disk = Buffer.concat([Buffer.alloc(1234, 0xee), content, Buffer.alloc(777, 0xee)])
  return new SliceDevice(new MemoryDevice(disk, { readOnly }), { offset: 1234, length: content.length })
}

describeBlockDevice('SliceDevice', {
  writable: async content => sliceOf(content),
  readOnly: async content => sliceOf(content, true),
})

describe('SliceDevice', () => {
  test('moves the data ranges of the disk, and cuts them', async () => {
    const disk = sparseDevice(10_000, [
      { offset: 500, length: 1000 },
      { offset: 2000, length: 100 },
      { offset: 2900, length: 4000 },
    ])
    const slice = new SliceDevice(disk, { offset: 1000, length: 2000 })
    expect(await collect(slice.dataRanges())).toEqual([
      { offset: 0, length: 500 },
      { offset: 1000, length: 100 },
      { offset: 1900, length: 100 },
    ])
    expect(await collect(slice.dataRanges({ offset: 1050, length: 10 }))).toEqual([{ offset: 1050, length: 10 }])
  })

  test('leaves its disk open', async () => {
    const disk = new MemoryDevice(pattern(4096))
    await new SliceDevice(disk, { offset: 512, length: 512 }).close()
    await disk.read(0, Buffer.alloc(512))
  })

  test('refuses to lie outside its disk', () => {
    const disk = new MemoryDevice(4096)
    for (const [offset, length] of [
      [0, 4097],
      [4096, 1],
      [-1, 10],
      [0, -1],
      [Number.NaN, 1],
      [0.5, 1],
    ] as const) {
      expect(() => new SliceDevice(disk, { offset, length })).toThrow(OutOfRangeError)
    }
  })
})
