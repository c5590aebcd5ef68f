import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { AllocationTable } from '../../lib/fat/allocation-table.ts'
import type { FatLayout, FatWidth } from '../../lib/fat/layout.ts'
import { ClusterChain } from '../../lib/volume/cluster-chain.ts'
import { ClusterLinks } from '../../lib/volume/cluster-links.ts'
import { collect } from '../helpers/collect.ts'
import { VastDevice } from '../helpers/vast-device.ts'

const BAD = { 12: 0xff7, 16: 0xfff7, 32: 0x0ffffff7 } as const
const LAST = { 12: 0xfff, 16: 0xffff, 32: 0x0fffffff } as const
const FAT_OFFSET = 512

/** The entries as a FAT of `width` bits: an entry after the other, the lowest bit first. */
function encode(entries: readonly number[], width: FatWidth): Buffer {
  const table = Buffer.alloc(Math.ceil((entries.length * width) / 8))
  for (const [i, entry] of entries.entries()) {
    for (let bit = 0; bit < width; bit++) {
      const at = i * width + bit
      if ((entry / 2 ** bit) % 2 >= 1) table[Math.floor(at / 8)]! |= 1 << (at % 8)
    }
  }
  return table
}

const layoutWith = (width: FatWidth, entries: number, fatLength: number, copies: number): FatLayout => {
  const fatOffsets = Array.from({ length: copies }, (_, copy) => FAT_OFFSET + copy * fatLength)
  return {
    width,
    fatOffsets,
    fatLength,
    liveFats: fatOffsets,
    rootOffset: 0,
    rootLength: 0,
    dataOffset: 0,
    sectorSize: 512,
    clusterSize: 512,
    clusterCount: entries - 2,
    volumeSize: 0,
  }
}

function tableOf(width: FatWidth, ...copies: readonly (readonly number[])[]): AllocationTable {
  const tables = copies.map(entries => encode(entries, width))
  const device = new MemoryDevice(Buffer.concat([Buffer.alloc(FAT_OFFSET), ...tables]))
  return new AllocationTable(device, layoutWith(width, copies[0]!.length, tables[0]!.length, copies.length))
}

/** Mostly what is special: free, bad, ends of chains, on FAT32 the four bits that do not count. */
const entry = (width: FatWidth) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: LAST[width] }) },
    { weight: 1, arbitrary: fc.constantFrom(BAD[width], BAD[width] + 1, BAD[width] - 1, LAST[width]) },
  )
const stored = (width: FatWidth) =>
  width === 32
    ? fc.tuple(entry(32), fc.integer({ min: 0, max: 15 })).map(([low, high]) => high * 2 ** 28 + low)
    : entry(width)

describe.each([12, 16, 32] as const)('FAT%i', width => {
  const table = fc.array(stored(width), { minLength: 3, maxLength: 300 })
  const isUsed = (value: number) =>
    value % 2 ** Math.min(width, 28) !== 0 && value % 2 ** Math.min(width, 28) !== BAD[width]

  test('used runs and counts equal a slow model', async () => {
    await fc.assert(
      fc.asyncProperty(table, async entries => {
        const fat = tableOf(width, entries)
        const used = entries.flatMap((value, i) => (i >= 2 && isUsed(value) ? [i] : []))
        const runs = await collect(fat.usedRuns())
        expect(runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))).toEqual(used)
        for (const [i, { first }] of runs.entries()) {
          if (i > 0) expect(first).toBeGreaterThan(runs[i - 1]!.first + runs[i - 1]!.count)
        }
        const bad = entries.filter((value, i) => i >= 2 && value % 2 ** Math.min(width, 28) === BAD[width]).length
        const stray = entries.slice(2).map(value => value % 2 ** Math.min(width, 28))
        expect(await fat.count()).toEqual({
          used: used.length,
          bad,
          disputed: 0,
          unreadable: 0,
          stray: stray.filter(value => value === 1 || (value > entries.length - 1 && value < BAD[width])).length,
        })
      }),
    )
  })

  test('of copies that differ, what one says is used is used', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(stored(width), stored(width)), { minLength: 3, maxLength: 200 }),
        async pairs => {
          const [first, second] = [pairs.map(([a]) => a), pairs.map(([, b]) => b)]
          const { used, disputed } = await tableOf(width, first, second).count()
          const clusters = pairs.slice(2)
          expect(used).toBe(clusters.filter(pair => pair.some(isUsed)).length)
          expect(disputed).toBe(clusters.filter(([a, b]) => isUsed(a) !== isUsed(b)).length)
        },
      ),
    )
  })

  test('single entries equal a slow model', async () => {
    await fc.assert(
      fc.asyncProperty(table, async entries => {
        const fat = tableOf(width, entries)
        for (const [i, value] of entries.entries()) expect(await fat.entry(i)).toBe(value % 2 ** Math.min(width, 28))
      }),
      { numRuns: 20 },
    )
  })

  describe('chains', () => {
    const end = LAST[width]
    const chain = async (entries: readonly number[], first: number, limit = 10) => {
      const followed = await ClusterChain.follow(new ClusterLinks(tableOf(width, entries)), first, limit)
      return { clusters: await collect(followed.clusters()), problem: followed.problem }
    }

    test('that end', async () => {
      expect(await chain([0, 0, 4, end, 3], 2)).toEqual({ clusters: [2, 4, 3], problem: undefined })
      expect(await chain([0, 0, 3, 4, BAD[width] + 1], 2, 3)).toEqual({ clusters: [2, 3, 4], problem: undefined })
    })

    test.each([
      ['points to itself', [0, 0, 2], [2]],
      ['runs in a circle', [0, 0, 3, 4, 2], [2, 3, 4]],
    ])('that %s are cut where the circle closes', async (_, entries, clusters) => {
      expect(await chain(entries, 2, 10)).toEqual({
        clusters,
        problem: `runs in a circle of ${clusters.length} clusters`,
      })
    })

    test('that are longer than may be are cut', async () => {
      const { clusters, problem } = await chain([0, 0, 3, 4, 5, end], 2, 3)
      expect({ clusters, problem }).toEqual({ clusters: [2, 3, 4], problem: 'is longer than 3 clusters' })
    })

    test.each([0, 1, 5, BAD[width]])('that lead to %i', async next => {
      const problem = next === 0 ? 'leads to a free cluster' : `leads to cluster ${next}, which does not exist`
      expect(await chain([0, 0, next, end, end], 2)).toEqual({ clusters: [2], problem })
    })
  })
})

test('a FAT of many windows: runs across their borders are whole once merged, and counted once', async () => {
  const entries = 3 * 2 ** 17 + 5
  const fatLength = entries * 4
  const device = new VastDevice(FAT_OFFSET + fatLength)
  const used: [number, number][] = [
    [2, 10],
    [2 ** 17 - 3, 2 ** 17 + 4],
    [2 ** 18 - 1, 2 ** 18],
    [3 * 2 ** 17 + 4, 3 * 2 ** 17 + 5],
  ]
  for (const [from, to] of used) await device.write(FAT_OFFSET + from * 4, Buffer.alloc((to - from) * 4, 0x07))
  const fat = new AllocationTable(device, layoutWith(32, entries, fatLength, 1))
  const clusters = (await collect(fat.usedRuns())).flatMap(({ first, count }) =>
    Array.from({ length: count }, (_, i) => first + i),
  )
  const expected = used.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i))
  expect(clusters).toEqual(expected)
  expect(await fat.count()).toEqual({
    used: expected.length,
    bad: 0,
    disputed: 0,
    stray: expected.length,
    unreadable: 0,
  })
})

test('counting stops when it is told to', async () => {
  await expect(tableOf(16, [0, 0, 1]).count(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
})
