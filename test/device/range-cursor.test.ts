import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RangeCursor } from '../../lib/device/range-cursor.ts'
import { endOf, intersectRanges, normalizeRanges, streamOf } from '../../lib/device/ranges.ts'

const ranges = fc
  .array(fc.record({ offset: fc.nat(200), length: fc.integer({ min: 1, max: 30 }) }), { maxLength: 12 })
  .map(normalizeRanges)

test('gives of each piece what a slow look at all ranges gives', async () => {
  await fc.assert(
    fc.asyncProperty(ranges, ranges, async (all, pieces) => {
      await using cursor = new RangeCursor(streamOf(all))
      for (const piece of pieces) expect(await cursor.within(piece)).toEqual(intersectRanges(all, [piece]))
    }),
  )
})

test('reads no further than it has to, and ends the stream when it is left', async () => {
  let [read, isEnded] = [0, false]
  async function* many() {
    try {
      for (let n = 0; n < 1000; n++) {
        read++
        yield { offset: n * 10, length: 5 }
      }
    } finally {
      isEnded = true
    }
  }
  {
    await using cursor = new RangeCursor(many())
    expect((await cursor.within({ offset: 33, length: 20 })).map(endOf)).toEqual([35, 45, 53])
    expect(read).toBe(6)
  }
  expect(isEnded).toBe(true)
})
