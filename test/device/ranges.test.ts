/** Ranges against an obviously right slow model: the set of their bytes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  endOf,
  intersect,
  intersectRanges,
  mergeTouching,
  normalizeRanges,
  type Range,
  shift,
  subtractRanges,
  totalLength,
} from '../../lib/device/ranges.ts'
import { collect } from '../helpers/collect.ts'

const range = fc.record({ offset: fc.nat(60), length: fc.nat(12) })
const ranges = fc.array(range, { maxLength: 12 })
const normalized = ranges.map(normalizeRanges)

function bytesOf(list: readonly Range[]): Set<number> {
  const bytes = new Set<number>()
  for (const { offset, length } of list) for (let i = 0; i < length; i++) bytes.add(offset + i)
  return bytes
}

/** The one list in order, not touching, not empty, that has just these bytes. */
function rangesOf(bytes: Iterable<number>): Range[] {
  const list: { offset: number; length: number }[] = []
  for (const byte of [...bytes].sort((a, b) => a - b)) {
    const last = list.at(-1)
    if (last !== undefined && byte === endOf(last)) last.length++
    else list.push({ offset: byte, length: 1 })
  }
  return list
}

const holds = <T extends [unknown, ...unknown[]]>(...args: Parameters<typeof fc.property<T>>) =>
  fc.assert(fc.property(...args), { numRuns: 500 })

describe('ranges', () => {
  test('normalizeRanges', () => {
    holds(ranges, list => {
      expect(normalizeRanges(list)).toEqual(rangesOf(bytesOf(list)))
    })
  })

  test('normalizeRanges leaves its argument alone', () => {
    const list = Object.freeze([
      { offset: 5, length: 1 },
      { offset: 4, length: 1 },
    ])
    expect(normalizeRanges(list)).toEqual([{ offset: 4, length: 2 }])
    expect(list.map(({ offset }) => offset)).toEqual([5, 4])
  })

  test('subtractRanges', () => {
    holds(normalized, normalized, (list, holes) => {
      const without = bytesOf(holes)
      expect(subtractRanges(list, holes)).toEqual(rangesOf([...bytesOf(list)].filter(byte => !without.has(byte))))
    })
  })

  test('intersectRanges', () => {
    holds(normalized, normalized, (a, b) => {
      const other = bytesOf(b)
      expect(intersectRanges(a, b)).toEqual(rangesOf([...bytesOf(a)].filter(byte => other.has(byte))))
    })
  })

  test('intersect', () => {
    holds(range, range, (a, b) => {
      const other = bytesOf([b])
      const [common] = rangesOf([...bytesOf([a])].filter(byte => other.has(byte)))
      expect(intersect(a, b)).toEqual(common)
    })
  })

  test('shift and endOf', () => {
    holds(range, fc.integer({ min: -5, max: 50 }), (a, distance) => {
      expect(bytesOf([shift(a, distance)])).toEqual(new Set([...bytesOf([a])].map(byte => byte + distance)))
      expect(endOf(shift(a, distance))).toBe(endOf(a) + distance)
    })
  })

  test('totalLength', () => {
    holds(normalized, list => {
      expect(totalLength(list)).toBe(bytesOf(list).size)
    })
  })

  test('mergeTouching', async () => {
    const sorted = ranges.map(list => list.sort((a, b) => a.offset - b.offset))
    await fc.assert(
      fc.asyncProperty(sorted, async list => {
        const given = (async function* () {
          yield* list
        })()
        expect(await collect(mergeTouching(given))).toEqual(rangesOf(bytesOf(list)))
      }),
      { numRuns: 500 },
    )
  })

  test('work beyond 32 bits', () => {
    const far = { offset: 2 ** 45, length: 2 ** 40 }
    expect(subtractRanges([far], [{ offset: 2 ** 45 + 512, length: 512 }])).toEqual([
      { offset: 2 ** 45, length: 512 },
      { offset: 2 ** 45 + 1024, length: 2 ** 40 - 1024 },
    ])
    expect(intersect(far, { offset: 0, length: 2 ** 45 + 1 })).toEqual({ offset: 2 ** 45, length: 1 })
  })
})
