/** The runs of all records, asked for once and again, and what is made of them. */
import { describe, expect, test } from 'vitest'
import { ClusterBitmap } from '../../lib/ntfs/cluster-bitmap.ts'
import type { Mft } from '../../lib/ntfs/mft.ts'
import { markOwned } from '../../lib/ntfs/owned-clusters.ts'
import { OwnedRuns } from '../../lib/ntfs/owned-runs.ts'
import { mappingPairs } from './mapping-pairs.ts'

const CLUSTERS = 2 ** 20
const RUNS_PER_RECORD = 150

/** A record in use, with one attribute of the runs `(record + i, 1)`, whose runlist ends one VCN too late when `damaged`. */
function fileRecord(number: number, damaged: boolean): Buffer {
  const record = Buffer.alloc(1024)
  record.write('FILE', 'latin1')
  record.writeUInt16LE(0x30, 4)
  record.writeUInt16LE(3, 6)
  record.writeUInt16LE(0x38, 0x14)
  record.writeUInt16LE(1, 0x16)
  record.writeUInt32LE(1024, 0x18)
  const runs = Array.from({ length: RUNS_PER_RECORD }, (_, i) => ({ lcn: number * 200 + i, length: 1 }))
  record.writeUInt32LE(0x80, 0x38)
  record.writeUInt32LE(952, 0x3c)
  record[0x40] = 1
  record.writeBigInt64LE(BigInt(RUNS_PER_RECORD - (damaged ? 0 : 1)), 0x38 + 0x18)
  record.writeUInt16LE(64, 0x38 + 0x20)
  mappingPairs(runs).copy(record, 0x38 + 64)
  record.writeUInt32LE(0xffffffff, 0x38 + 952)
  for (const end of [512, 1024]) {
    record.copy(record, 0x30 + end / 256, end - 2, end)
    record.writeUInt16LE(9, end - 2)
  }
  record.writeUInt16LE(9, 0x30)
  return record
}

/** As much of an Mft as the runs are read from: `count` records of RUNS_PER_RECORD runs, the one with number 3 damaged. */
function fakeMft(count: number) {
  const scans = { count: 0 }
  const mft = {
    geometry: { recordSize: 1024, clusterCount: CLUSTERS },
    isMirrored: () => false,
    async *pieces() {
      scans.count++
      for (let first = 0; first < count; first += 8) {
        const numbers = Array.from({ length: Math.min(8, count - first) }, (_, i) => first + i)
        yield { first, records: Buffer.concat(numbers.map(number => fileRecord(number % 1000, number === 3))) }
      }
    },
  } as unknown as Mft
  return { mft, scans }
}

describe('owned runs', () => {
  test.each([
    ['are kept', 16, true, 1],
    ['are read again when they are not to be kept', 16, false, 2],
    ['are read again when they are too many to be kept', 2 ** 20 / RUNS_PER_RECORD + 8, true, 2],
  ])('%s', async (_, count, keep, scanned) => {
    const records = Math.floor(count)
    const { mft, scans } = fakeMft(records)
    const damaged: number[] = []
    const runs = new OwnedRuns(mft, keep, record => damaged.push(record))
    const sums: number[][] = []
    for (const _ of [1, 2]) {
      const sum = [0, 0, 0, 0]
      await runs.forEach((lcn, length, record) => {
        sum[0]! += 1
        sum[1]! += lcn
        sum[2]! += length
        sum[3]! += record
      })
      sums.push(sum)
    }
    expect(sums[0]!.slice(0, 3)).toEqual([records * RUNS_PER_RECORD, expect.any(Number), records * RUNS_PER_RECORD])
    expect(sums[1]).toEqual(sums[0])
    expect(scans.count).toBe(scanned)
    expect(damaged).toEqual([3])
  })
})

describe('marking what is owned', () => {
  const bitmaps = () => {
    const [owned, used] = [new ClusterBitmap(CLUSTERS), new ClusterBitmap(CLUSTERS)]
    owned.moveTo(0, CLUSTERS)
    used.moveTo(0, CLUSTERS)
    used.set(0, CLUSTERS)
    return { owned, used }
  }
  const runsOf = (runs: readonly (readonly [lcn: number, length: number])[]) =>
    ({
      async forEach(onRun: (lcn: number, length: number, record: number) => void) {
        for (const [i, [lcn, length]] of runs.entries()) onRun(lcn, length, i)
      },
    }) as unknown as OwnedRuns

  test('tells of runs that share clusters and of clusters marked free', async () => {
    const { owned, used } = bitmaps()
    used.clear(205, 207)
    const told: unknown[] = []
    const problems = {
      free: (record: number, cluster: number) => told.push(['free', record, cluster]),
      shared: (record: number, from: number, to: number) => told.push(['shared', record, from, to]),
    }
    await markOwned(runsOf([[100, 50], [200, 10], [140, 20], [160, 1]]), owned, used, problems) // biome-ignore format: runs
    expect(told).toEqual([
      ['free', 1, 205],
      ['shared', 2, 140, 160],
    ])
    expect(owned.merge(new ClusterBitmap(CLUSTERS), 0).mine).toBe(71)
  })

  test('gives up on records that each own the volume, and then takes all of it', async () => {
    const { owned, used } = bitmaps()
    let told = 0
    const many = Array.from({ length: 100_000 }, () => [5, CLUSTERS - 5] as const)
    await markOwned(runsOf(many), owned, used, { free() {}, shared: () => told++ })
    expect(told).toBeLessThan(5)
    expect(owned.nextFree(0, CLUSTERS)).toBe(CLUSTERS)
  })
})
