/** Content in any number of runs and extents, against a list of bytes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FormatError, ReadOnlyError, UnsupportedError } from '../../lib/errors.ts'
import type { Attribute, AttributeExtent } from '../../lib/ntfs/attribute.ts'
import { AttributeReader } from '../../lib/ntfs/attribute-reader.ts'
import type { Geometry } from '../../lib/ntfs/boot-sector.ts'
import { HOLE, type Run } from '../../lib/ntfs/run-list.ts'
import { collect } from '../helpers/collect.ts'
import { pattern } from '../helpers/pattern.ts'
import { mappingPairs } from './mapping-pairs.ts'

/** Small clusters, so that small reads go over many runs. */
const CLUSTER = 16
const CLUSTERS = 100
const geometry = { clusterSize: CLUSTER, clusterCount: CLUSTERS } as Geometry
const volume = new MemoryDevice(pattern(CLUSTER * CLUSTERS), { readOnly: true })

function extent(runs: readonly Run[], lowestVcn: number, sizes: Partial<AttributeExtent> = {}): AttributeExtent {
  const count = runs.reduce((sum, { length }) => sum + length, 0)
  const none = { compressionUnit: 0, allocatedSize: 0, dataSize: 0, initializedSize: 0 }
  const common = { type: 0x80, name: '', flags: 0, position: 0, resident: false } as const
  const highestVcn = lowestVcn + count - 1
  return { ...common, ...none, lowestVcn, highestVcn, mappingPairs: mappingPairs(runs), ...sizes }
}

const run = fc
  .record({ lcn: fc.oneof(fc.constant(HOLE), fc.nat(CLUSTERS - 1)), length: fc.integer({ min: 1, max: 6 }) })
  .map(({ lcn, length }) => ({ lcn, length: lcn === HOLE ? length : Math.min(length, CLUSTERS - lcn) }))

/** Runs in extents, and sizes that may end before, in or after them. */
const contents = fc.record({
  extents: fc.array(fc.array(run, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 }),
  dataSize: fc.nat(400),
  initializedSize: fc.nat(500),
  reads: fc.array(fc.record({ offset: fc.nat(400), length: fc.nat(120) }), { maxLength: 10 }),
})

/** The content byte by byte. */
function model(runs: readonly Run[], dataSize: number, initializedSize: number): Buffer {
  const bytes = Buffer.alloc(dataSize)
  const clusters = runs.flatMap(({ lcn, length }) => Array.from({ length }, (_, i) => (lcn === HOLE ? HOLE : lcn + i)))
  for (let at = 0; at < Math.min(dataSize, initializedSize); at++) {
    const lcn = clusters[Math.floor(at / CLUSTER)] ?? HOLE
    if (lcn !== HOLE) bytes[at] = volume.content[lcn * CLUSTER + (at % CLUSTER)]!
  }
  return bytes
}

test('reads any part as a list of bytes has it, and says where data may be', async () => {
  await fc.assert(
    fc.asyncProperty(contents, async ({ extents, dataSize, initializedSize, reads }) => {
      let vcn = 0
      const attributes = extents.map((runs, i) => {
        const made = extent(runs, vcn, i === 0 ? { dataSize, initializedSize } : {})
        vcn = made.highestVcn + 1
        return made
      })
      // An attribute list need not be in order.
      const [first, ...rest] = [...attributes].reverse() as [Attribute, ...Attribute[]]
      const reader = new AttributeReader(volume, geometry, [first, ...rest])
      const expected = model(extents.flat(), dataSize, initializedSize)
      expect(reader.size).toBe(dataSize)

      for (const { offset, length } of [{ offset: 0, length: dataSize }, ...reads]) {
        if (offset + length > dataSize) continue
        const target = Buffer.alloc(length, 0xee)
        await reader.read(offset, target)
        expect(target).toEqual(expected.subarray(offset, offset + length))
      }
      const outside = Buffer.from(expected)
      for (const { offset, length } of await collect(reader.dataRanges())) outside.fill(0, offset, offset + length)
      expect(outside).toEqual(Buffer.alloc(dataSize))
    }),
    { numRuns: 300 },
  )
})

describe('an attribute reader', () => {
  test('reads a resident value', async () => {
    const value = pattern(40)
    const common = { type: 0x80, name: '', flags: 0, position: 0 }
    const reader = new AttributeReader(volume, geometry, [{ ...common, resident: true, value }])
    const target = Buffer.alloc(30)
    await reader.read(5, target)
    expect(target).toEqual(value.subarray(5, 35))
    expect(await collect(reader.dataRanges())).toEqual([{ offset: 0, length: 40 }])
  })

  const sizes = { dataSize: 64, initializedSize: 64 }
  const runs = [{ lcn: 3, length: 4 }]

  test('gives no zeros for extents that are lost at the end', async () => {
    const allocated = { allocatedSize: 6 * CLUSTER, dataSize: 90, initializedSize: 80 }
    const reader = new AttributeReader(volume, geometry, [extent(runs, 0, allocated)])
    const target = Buffer.alloc(64)
    await reader.read(0, target)
    expect(target).toEqual(volume.content.subarray(3 * CLUSTER, 7 * CLUSTER))
    await expect(reader.read(60, Buffer.alloc(5))).rejects.toThrow(
      'runlist of NTFS attribute 0x80 at byte 0x0 is those of the first 64',
    )
    expect(await collect(reader.dataRanges())).toEqual([{ offset: 0, length: 80 }])
    const unwritten = Buffer.alloc(10, 1)
    await reader.read(80, unwritten)
    expect(unwritten).toEqual(Buffer.alloc(10))
    // Where no clusters were ever allocated nothing is lost.
    const sparse = new AttributeReader(volume, geometry, [extent(runs, 0, { ...allocated, allocatedSize: 64 })])
    await sparse.read(60, unwritten)
    expect(unwritten.subarray(4)).toEqual(Buffer.alloc(6))
    expect(await collect(sparse.dataRanges())).toEqual([{ offset: 0, length: 64 }])
  })

  test('is read only', async () => {
    const reader = new AttributeReader(volume, geometry, [extent(runs, 0, sizes)])
    await expect(reader.write(0, Buffer.alloc(1))).rejects.toThrow(ReadOnlyError)
  })

  test.each([
    ['compressed', 0x0001],
    ['encrypted', 0x4000],
  ])('refuses %s content rather than giving what is stored', async (how, flags) => {
    const reader = new AttributeReader(volume, geometry, [extent(runs, 0, { ...sizes, flags })])
    await expect(reader.read(0, Buffer.alloc(10))).rejects.toThrow(UnsupportedError)
    await expect(reader.read(0, Buffer.alloc(10))).rejects.toThrow(how)
  })

  test.each([
    ['an extent missing at the start', [extent(runs, 4)]],
    ['an extent missing in the middle', [extent(runs, 0, sizes), extent(runs, 8)]],
    ['an extent twice', [extent(runs, 0, sizes), extent(runs, 0, sizes)]],
    ['a highest VCN too high', [extent(runs, 0, { ...sizes, highestVcn: 4 })]],
    ['a highest VCN too low', [extent(runs, 0, { ...sizes, highestVcn: 2 })]],
    ['a run beyond the volume', [extent([{ lcn: 98, length: 3 }], 0, sizes)]],
  ])('refuses %s', (_, extents) => {
    const [first, ...rest] = extents as [Attribute, ...Attribute[]]
    expect(() => new AttributeReader(volume, geometry, [first, ...rest])).toThrow(FormatError)
  })
})
