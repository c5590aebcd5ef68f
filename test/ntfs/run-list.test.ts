/** Runlists, also against the slowest reader there can be. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FormatError } from '../../lib/errors.ts'
import { HOLE, type Run, RunCursor, RunList } from '../../lib/ntfs/run-list.ts'
import { mappingPairs } from './mapping-pairs.ts'

const CLUSTERS = 2 ** 32 - 1

function decode(pairs: Buffer, clusterCount = CLUSTERS, lowestVcn = 0) {
  const cursor = new RunCursor(clusterCount)
  cursor.begin(pairs, 0, pairs.length, lowestVcn)
  const runs: Run[] = []
  while (cursor.next()) runs.push({ lcn: cursor.lcn, length: cursor.length })
  return { runs, problem: cursor.problem, end: cursor.end }
}

const run = fc.oneof(
  fc.record({ lcn: fc.integer({ min: 0, max: CLUSTERS - 1 }), length: fc.integer({ min: 1, max: 2 ** 20 }) }),
  fc.record({ lcn: fc.integer({ min: 0, max: 1000 }), length: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ lcn: fc.constant(HOLE), length: fc.integer({ min: 1, max: 2 ** 40 }) }),
)
const runs = fc.array(
  run.map(({ lcn, length }) => ({ lcn, length: lcn === HOLE ? length : Math.min(length, CLUSTERS - lcn) })),
  { maxLength: 40 },
)

describe('a cursor', () => {
  test('gives back the runs that were encoded, however wide', () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 8 }), fc.nat(1000), (runs, wide, lowest) => {
        const end = runs.reduce((sum, { length }) => sum + length, lowest)
        expect(decode(mappingPairs(runs, wide), CLUSTERS, lowest)).toEqual({ runs, problem: undefined, end })
      }),
    )
  })

  test('says what is wrong with any bytes, or stays inside the volume', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 1, max: 2 ** 20 }), (bytes, clusters) => {
        const { runs, problem, end } = decode(Buffer.from(bytes), clusters)
        for (const { lcn, length } of runs) {
          expect(length).toBeGreaterThan(0)
          if (lcn !== HOLE) expect(lcn >= 0 && lcn + length <= clusters).toBe(true)
        }
        if (problem === undefined) expect(Number.isSafeInteger(end)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['a delta of 0 is cluster 0 and no hole', '11 02 00 00', [{ lcn: 0, length: 2 }]],
    ['a run without delta is a hole', '01 02 00', [{ lcn: HOLE, length: 2 }]],
    ['an LCN of -1 is a hole, as NT 4 wrote it', '11 02 ff 00', [{ lcn: HOLE, length: 2 }]],
    ['a hole of no length is passed over', '01 00 11 02 05 00', [{ lcn: 5, length: 2 }]],
    ['a jump backwards', '11 02 64 11 03 f6 00', [{ lcn: 100, length: 2 }, { lcn: 90, length: 3 }]], // biome-ignore format: one case, one line
    ['holes do not move the base', '11 02 64 01 09 11 03 0a 00', [{ lcn: 100, length: 2 }, { lcn: HOLE, length: 9 }, { lcn: 110, length: 3 }]], // biome-ignore format: one case, one line
    ['an end without a 0 byte', '11 02 05', [{ lcn: 5, length: 2 }]],
    ['nothing', '00', []],
  ])('%s', (_, hex, runs) => {
    expect(decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toMatchObject({ runs, problem: undefined })
  })

  test.each([
    ['a run that ends beyond the volume', '11 02 63 00', /2 clusters from cluster 99 in a volume of 100/],
    ['a run that begins beyond the volume', '21 01 00 10 00', /from cluster 4096/],
    ['a run before the volume', '11 01 05 11 01 f0 00', /from cluster -11/],
    ['a run of no length', '11 00 05 00', /0 clusters/],
    ['a run of negative length', '11 ff 05 00', /-1 clusters/],
    ['a length of 9 bytes', '19 01 01 01 01 01 01 01 01 01 05 00', /header 0x19/],
    ['no length', '10 05 00', /header 0x10/],
    ['a delta of 9 bytes', '91 01 01 01 01 01 01 01 01 01 05 00', /header 0x91/],
    ['a run over the end', '44 01 02', /over the end/],
    ['a length beyond 2^53', '08 ff ff ff ff ff ff ff 7f 00', /clusters/],
    ['lengths that add up beyond 2^53', '07 00 00 00 00 00 00 10 07 00 00 00 00 00 00 10 00', /clusters/],
    ['a delta beyond 2^53', '81 01 ff ff ff ff ff ff ff 7f 00', /from cluster/],
  ])('refuses %s', (_, hex, problem) => {
    expect(decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'), 100).problem).toMatch(problem)
  })
})

describe('a list of runs', () => {
  test('finds every cluster where a list of single clusters has it', () => {
    const small = fc.array(
      fc.record({ lcn: fc.oneof(fc.constant(HOLE), fc.nat(40)), length: fc.integer({ min: 1, max: 5 }) }),
      { minLength: 1, maxLength: 15 },
    )
    fc.assert(
      fc.property(small, runs => {
        const list = new RunList()
        for (const { lcn, length } of runs) list.append(lcn, length)
        const clusters = runs.flatMap(({ lcn, length }) =>
          Array.from({ length }, (_, i) => (lcn === HOLE ? HOLE : lcn + i)),
        )
        expect(list.end).toBe(clusters.length)
        for (const [vcn, lcn] of clusters.entries()) {
          const found = list.find(vcn)
          expect(found.lcn).toBe(lcn)
          for (let i = 0; i < found.length; i++) expect(clusters[vcn + i]).toBe(lcn === HOLE ? HOLE : lcn + i)
        }
        const allocated = [...list.allocated()].flatMap(({ lcn, length }) => Array.from({ length }, (_, i) => lcn + i))
        expect(allocated).toEqual(clusters.filter(lcn => lcn !== HOLE))
        expect(list.clusterCount).toBe(allocated.length)
        for (let lcn = 0; lcn < 46; lcn++) expect(list.includes(lcn)).toBe(allocated.includes(lcn))
      }),
    )
  })

  test('keeps runs that go on as one, and stops at two million', () => {
    const list = new RunList()
    for (let i = 0; i < 10; i++) list.append(50 + i, 1)
    expect(list.count).toBe(1)
    const fill = () => {
      for (let i = 0; i < 2 ** 21; i++) list.append(1000 + 2 * i, 1)
    }
    expect(fill).toThrow(FormatError)
  })
})
