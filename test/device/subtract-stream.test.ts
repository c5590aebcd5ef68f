import fc from 'fast-check'
import { expect, test } from 'vitest'
import { normalizeRanges, type Range, subtractRanges } from '../../lib/device/ranges.ts'
import { subtractStream } from '../../lib/device/subtract-stream.ts'
import { collect } from '../helpers/collect.ts'

async function* streamOf(ranges: readonly Range[], onEnd = () => {}): AsyncIterable<Range> {
  try {
    yield* ranges
  } finally {
    onEnd()
  }
}

const list = fc
  .array(fc.record({ offset: fc.nat(60), length: fc.integer({ min: 1, max: 20 }) }), { maxLength: 8 })
  .map(normalizeRanges)

test('gives what the same lists give', async () => {
  await fc.assert(
    fc.asyncProperty(list, list, async (ranges, holes) => {
      const left = await collect(subtractStream(streamOf(ranges), streamOf(holes)))
      expect(left).toEqual(subtractRanges(ranges, holes))
    }),
  )
})

test('ends both streams when nobody asks for more', async () => {
  const ended: string[] = []
  const ranges = streamOf([{ offset: 0, length: 10 }], () => ended.push('ranges'))
  const holes = streamOf(
    [
      { offset: 2, length: 2 },
      { offset: 20, length: 2 },
    ],
    () => ended.push('holes'),
  )
  for await (const _ of subtractStream(ranges, holes)) break
  expect(ended.sort()).toEqual(['holes', 'ranges'])
})
