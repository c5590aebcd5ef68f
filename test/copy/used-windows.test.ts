import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RescuingReader } from '../../lib/copy/rescuing-reader.ts'
import { readUsedWindow, type UsedWindow, usedWindows, WINDOW } from '../../lib/copy/used-windows.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { normalizeRanges, type Range } from '../../lib/device/ranges.ts'
import { pattern } from '../helpers/pattern.ts'

async function* iterate(ranges: readonly Range[]) {
  yield* ranges
}

const SIZE = 2 * WINDOW + 12_345
const disk = pattern(SIZE)

test('windows hold the used bytes and zeros everywhere else, whatever was in the buffer', async () => {
  const anyRange = fc.record({ offset: fc.nat(SIZE - 1), length: fc.nat(400_000) })
  await fc.assert(
    fc.asyncProperty(fc.array(anyRange, { maxLength: 20 }), async candidates => {
      const ranges = normalizeRanges(
        candidates.map(({ offset, length }) => ({ offset, length: Math.min(length, SIZE - offset) })),
      )
      const expected = Buffer.alloc(SIZE)
      for (const { offset, length } of ranges) disk.copy(expected, offset, offset, offset + length)
      const copied = Buffer.alloc(SIZE)
      const reader = new RescuingReader(new MemoryDevice(disk))
      let last = -1
      for await (const window of usedWindows(iterate(ranges), SIZE)) {
        expect(window.offset % WINDOW).toBe(0)
        expect(window.offset).toBeGreaterThan(last)
        last = window.offset
        const bytes = await readUsedWindow(reader, window, [], Buffer.alloc(WINDOW, 0xee))
        bytes.copy(copied, window.offset)
      }
      expect(copied.equals(expected)).toBe(true)
    }),
    { numRuns: 25 },
  )
})

test('a patch replaces bytes of the source, also across two windows', async () => {
  const patch = { offset: WINDOW - 3, bytes: Buffer.from('abcdef'), reason: 'test' }
  const reader = new RescuingReader(new MemoryDevice(disk))
  const whole: Buffer[] = []
  for await (const window of usedWindows(iterate([{ offset: 0, length: SIZE }]), SIZE)) {
    whole.push(Buffer.from(await readUsedWindow(reader, window, [patch], Buffer.alloc(WINDOW))))
  }
  const expected = Buffer.from(disk)
  expected.write('abcdef', WINDOW - 3)
  expect(Buffer.concat(whole).equals(expected)).toBe(true)
})

test('a range past the end of the disk is cut off there', async () => {
  const past = [
    { offset: SIZE - 10, length: 4096 },
    { offset: SIZE + 8192, length: 4096 },
  ]
  const windows: UsedWindow[] = []
  for await (const window of usedWindows(iterate(past), SIZE)) windows.push(window)
  expect(windows).toEqual([
    { offset: 2 * WINDOW, length: SIZE - 2 * WINDOW, ranges: [{ offset: SIZE - 10, length: 10 }] },
  ])
})
