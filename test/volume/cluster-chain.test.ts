import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockDevice } from '../../lib/device/block-device.ts'
import { ClusterChain } from '../../lib/volume/cluster-chain.ts'
import { ClusterContent } from '../../lib/volume/cluster-content.ts'
import { ClusterLinks, UNREADABLE_LINK } from '../../lib/volume/cluster-links.ts'
import { collect } from '../helpers/collect.ts'

const END = 0xffffffff

/** The links of a volume, of which `linkOf` says what they are; `pages` counts those that were read. */
function linksOf(clusterCount: number, linkOf: (cluster: number) => number) {
  const read = { pages: 0 }
  const links = new ClusterLinks({
    clusterCount,
    placeOf: cluster => cluster * 4,
    isEnd: link => link === END,
    async readLinks(first, target) {
      read.pages++
      for (let i = 0; i < target.length; i++) target[i] = linkOf(first + i)
    },
  })
  return { links, read }
}

/** The clusters of a chain, one by one. */
async function clustersOf(chain: ClusterChain): Promise<number[]> {
  const runs = await collect(chain.runs())
  return runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))
}

test('chains of any shape equal a slow model', async () => {
  const COUNT = 40
  const link = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 2, max: COUNT + 1 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, COUNT + 2, END, UNREADABLE_LINK) },
  )
  const chance = fc.array(link, { minLength: COUNT + 2, maxLength: COUNT + 2 })
  // Mostly to the next cluster.
  const runs = fc.tuple(chance, fc.array(fc.boolean(), { minLength: COUNT + 2, maxLength: COUNT + 2 }))
  const table = runs.map(([values, jumps]) => values.map((value, i) => (jumps[i] ? value : i + 1)))
  await fc.assert(
    fc.asyncProperty(
      table,
      fc.integer({ min: 0, max: COUNT + 3 }),
      fc.integer({ min: 1, max: COUNT + 9 }),
      async (entries, first, limit) => {
        const expected: number[] = []
        let cluster = first
        const exists = () => cluster >= 2 && cluster <= COUNT + 1
        for (; exists() && !expected.includes(cluster) && expected.length < limit; cluster = entries[cluster]!) {
          expected.push(cluster)
        }
        const { links } = linksOf(COUNT, number => entries[number]!)
        const chain = await ClusterChain.follow(links, first, limit)
        expect(await clustersOf(chain)).toEqual(expected)
        expect(chain.count).toBe(expected.length)
        if (cluster === END) expect(chain.problem).toBeUndefined()
        else if (!exists()) expect(chain.problem).toMatch(/^leads/)
        else expect(chain.problem).toMatch(expected.includes(cluster) ? /^runs in a circle/ : /^is longer/)
        for (const [i, number] of expected.entries()) expect((await chain.find(i)).first).toBe(number)
      },
    ),
    { numRuns: 500 },
  )
})

test('the clusters of a run', async () => {
  const chain = ClusterChain.contiguous({ first: 7, count: 5 })
  expect(await clustersOf(chain)).toEqual([7, 8, 9, 10, 11])
  expect(await chain.find(3)).toEqual({ first: 10, count: 2 })
})

/** Every byte says which cluster of the volume it lies in. */
class NumberedClusters extends BlockDevice {
  readonly size = 2 ** 36

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    for (let i = 0; i < target.length; i += 8) target.writeDoubleLE(Math.floor((offset + i) / 512), i)
  }

  protected override async writeBytes(): Promise<void> {}

  async close(): Promise<void> {}
}

test('4 GiB of clusters of 512 bytes, none beside another: little memory, any place soon', async () => {
  const count = 2 ** 23
  const { links, read } = linksOf(2 * count + 2, cluster => (cluster >= 2 * count ? END : cluster + 2))
  const before = process.memoryUsage().rss
  const started = performance.now()
  const chain = await ClusterChain.follow(links, 2)
  expect(chain).toMatchObject({ count, problem: undefined })
  const places = { clusterSize: 512, offsetOf: (cluster: number) => cluster * 512 }
  const content = new ClusterContent(new NumberedClusters(), places, chain, count * 512)
  const target = Buffer.alloc(4096)
  for (const at of [0, 511, 2 ** 22, 2 ** 20, count - 8]) {
    await content.read(at * 512, target)
    for (let i = 0; i < 8; i++) expect(target.readDoubleLE(i * 512)).toBe(2 + 2 * (at + i))
  }
  expect(performance.now() - started).toBeLessThan(10_000)
  expect(process.memoryUsage().rss - before).toBeLessThan(128 * 2 ** 20)
  expect(read.pages).toBeLessThan(4200 + 4 * 40)
})

test('a page of links that failed is asked for again', async () => {
  let fails = true
  const links = new ClusterLinks({
    clusterCount: 10,
    placeOf: cluster => cluster,
    isEnd: link => link === END,
    async readLinks(_, target) {
      if (fails) throw new Error('gone')
      target.fill(END)
    },
  })
  await expect(ClusterChain.follow(links, 2)).rejects.toThrow('gone')
  fails = false
  expect((await ClusterChain.follow(links, 2)).count).toBe(1)
})

test('what is behind the valid size reads as zeros, and is not read', async () => {
  const chain = ClusterChain.contiguous({ first: 2, count: 4 })
  const places = { clusterSize: 512, offsetOf: (cluster: number) => cluster * 512 }
  const content = new ClusterContent(new NumberedClusters(), places, chain, 2000, 600)
  const target = Buffer.alloc(2000, 0xff)
  await content.read(0, target)
  expect(target.readDoubleLE(592)).toBe(3)
  expect(target.subarray(600).every(byte => byte === 0)).toBe(true)
  await content.read(700, target.subarray(0, 100).fill(1))
  expect(target.subarray(0, 100).every(byte => byte === 0)).toBe(true)
  expect(await collect(content.dataRanges())).toEqual([{ offset: 0, length: 600 }])
  expect(await collect(content.dataRanges({ offset: 500, length: 1000 }))).toEqual([{ offset: 500, length: 100 }])
  expect(await collect(content.dataRanges({ offset: 600, length: 1000 }))).toEqual([])
})
