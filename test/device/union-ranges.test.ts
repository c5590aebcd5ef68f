import fc from 'fast-check'
import { expect, test } from 'vitest'
import { normalizeRanges, type Range, shift } from '../../lib/device/ranges.ts'
import { unionRanges } from '../../lib/device/union-ranges.ts'

async function collect(ranges: AsyncIterable<Range>): Promise<Range[]> {
  const all: Range[] = []
  for await (const range of ranges) all.push(range)
  return all
}

const range = fc.record({ offset: fc.nat(200), length: fc.nat(40) })
const stream = fc.record({ start: fc.nat(300), ranges: fc.array(range, { maxLength: 8 }).map(normalizeRanges) })

test('the union of ordered streams is what sorting them all gives', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stream, { maxLength: 6 }), async streams => {
      const placed = streams.map(({ start, ranges }) => ranges.map(each => shift(each, start)))
      const union = unionRanges(
        placed.map((ranges, i) => ({
          extent: { offset: streams[i]!.start, length: 400 },
          async *ranges() {
            yield* ranges
          },
        })),
      )
      expect(await collect(union)).toEqual(normalizeRanges(placed.flat()))
    }),
  )
})

test('a stream is not started before its extent is reached, and is ended when the reader stops', async () => {
  const log: string[] = []
  const logged = (name: string, offset: number) => ({
    extent: { offset, length: 10 },
    async *ranges() {
      log.push(`${name} begins`)
      try {
        yield { offset, length: 1 }
        yield { offset: offset + 5, length: 1 }
      } finally {
        log.push(`${name} ends`)
      }
    },
  })
  for await (const { offset } of unionRanges([logged('b', 100), logged('a', 0)])) if (offset === 0) break
  expect(log).toEqual(['a begins', 'a ends'])
})
