/** Content that NTFS compressed: files by ntfs-3g, and units in every arrangement of runs against a list of bytes. */
import { appendFileSync, mkdirSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FormatError } from '../../lib/errors.ts'
import type { AttributeExtent } from '../../lib/ntfs/attribute.ts'
import type { Geometry } from '../../lib/ntfs/boot-sector.ts'
import { CompressedReader } from '../../lib/ntfs/compressed-reader.ts'
import { AttributeType } from '../../lib/ntfs/format.ts'
import { NtfsFile } from '../../lib/ntfs/ntfs-file.ts'
import { openMft } from '../../lib/ntfs/open-mft.ts'
import { HOLE, type Run } from '../../lib/ntfs/run-list.ts'
import { FileAttribute } from '../../lib/volume/entry.ts'
import { noise, prose } from '../codec/wof-streams.ts'
import { collect } from '../helpers/collect.ts'
import { pattern } from '../helpers/pattern.ts'
import { run } from '../helpers/run.ts'
import { describeWith, testWith } from '../helpers/tools.ts'
import { mappingPairs } from './mapping-pairs.ts'
import { attributePlace, openBytes, recordOf, volumeBytes, volumeTools } from './volumes.ts'

const KiB = 1024

async function contentOf(device: BlockDevice, offset = 0, length = device.size - offset): Promise<Buffer> {
  const target = Buffer.alloc(length, 0xee)
  await device.read(offset, target)
  return target
}

/** `bytes` of the volume → what is at `path`. */
const openPath = async (bytes: Buffer, path: string) => {
  const files = await (await openBytes(bytes)).openFiles()
  const entry = await files.stat(path)
  return { entry, content: await files.open(entry) }
}

const CONTENTS: Readonly<Record<string, Buffer>> = {
  empty: Buffer.alloc(0),
  'in the record': prose(200),
  text: prose(300_001),
  zeros: Buffer.alloc(200_000),
  'nothing to gain': noise(150_000),
  mixed: Buffer.concat([
    prose(70_000),
    noise(70_000),
    Buffer.alloc(140_000),
    prose(9000),
    noise(5000),
    pattern(50_000),
  ]),
  '64 KiB': prose(64 * KiB, 2),
  'and a byte': prose(64 * KiB + 1, 3),
  'a byte less': prose(64 * KiB - 1, 4),
  'a run': Buffer.alloc(100_000, 'again and '),
}

describeWith(volumeTools, 'files compressed by ntfs-3g', () => {
  test.each([512, 1024, 4096])('in clusters of %i bytes', async clusterSize => {
    const bytes = await volumeBytes({ clusterSize, compressed: true }, async folder => {
      for (const [name, content] of Object.entries(CONTENTS)) await writeFile(join(folder, name), content)
      const sparse = await open(join(folder, 'sparse'), 'w')
      await sparse.write(prose(5000), 0, 5000, 0)
      await sparse.write(prose(5000), 0, 5000, 400_000)
      await sparse.truncate(700_000)
      await sparse.close()
    })
    const sparse = Buffer.alloc(700_000)
    prose(5000).copy(sparse, 0)
    prose(5000).copy(sparse, 400_000)
    for (const [name, expected] of Object.entries({ ...CONTENTS, sparse })) {
      const { entry, content } = await openPath(bytes, name)
      expect(entry.attributes & FileAttribute.compressed).toBe(FileAttribute.compressed)
      expect((await contentOf(content)).equals(expected), name).toBe(true)
      if (name === 'text') expect(entry.allocatedSize).toBeLessThan(expected.length)

      // In parts that begin and end anywhere, all at once.
      const parts = Array.from({ length: 20 }, (_, i) => Math.floor((i / 20) * expected.length))
      const lengths = parts.map((offset, i) => Math.min((i * 7919) % 100_000, expected.length - offset))
      const read = await Promise.all(parts.map((offset, i) => contentOf(content, offset, lengths[i])))
      for (const [i, part] of read.entries()) {
        expect(part.equals(expected.subarray(parts[i]!, parts[i]! + lengths[i]!)), `${name} at ${parts[i]}`).toBe(true)
      }
      const outside = Buffer.from(expected)
      for (const { offset, length } of await collect(content.dataRanges())) outside.fill(0, offset, offset + length)
      expect(outside.equals(Buffer.alloc(expected.length)), name).toBe(true)
    }
  })
})

testWith(
  [...volumeTools, 'setfattr'],
  'a file compressed by ntfs-3g in hundreds of runs and several records',
  async () => {
    const expected = prose(900_000)
    const bytes = await volumeBytes({ clusterSize: 512 }, async folder => {
      const packed = join(folder, 'packed')
      mkdirSync(packed)
      await run('setfattr', ['-n', 'system.ntfs_attrib_be', '-v', '0x00000810', packed])
      const untilFull = (write: (count: number) => void) => {
        try {
          for (let count = 0; ; count++) write(count)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        }
      }
      untilFull(count => writeFileSync(join(folder, `${count}`), noise(1000, count)))
      for (const size of [65_536, 512]) untilFull(() => appendFileSync(join(folder, 'filler'), noise(size)))
      for (const name of readdirSync(folder)) if (Number(name) % 2 === 0) unlinkSync(join(folder, name))
      writeFileSync(join(packed, 'scattered'), expected)
    })
    const { entry, content } = await openPath(bytes, 'packed/scattered')
    const file = await NtfsFile.open(await openMft(new MemoryDevice(bytes), []), { record: entry.record!, sequence: 0 })
    expect(file.find(AttributeType.data).length).toBeGreaterThan(1)
    expect(file.reader(AttributeType.data)!.runs!.count).toBeGreaterThan(200)
    expect((await contentOf(content)).equals(expected)).toBe(true)
  },
)

testWith(volumeTools, 'what lies after the initialized size is zeros, and damage is an error of its own', async () => {
  const expected = prose(200_000)
  const bytes = await volumeBytes({ compressed: true }, folder => writeFile(join(folder, 'text'), expected))
  const data = attributePlace(bytes, recordOf(bytes, 'text'), 0x80)
  bytes.writeBigUInt64LE(100_001n, data + 0x38)
  const { entry, content } = await openPath(bytes, 'text')
  expect((await contentOf(content)).equals(Buffer.from(expected).fill(0, 100_001))).toBe(true)
  expect(await collect(content.dataRanges())).toEqual([{ offset: 0, length: 100_001 }])

  // The first chunk begins with a match, and there is nothing yet to match.
  bytes.set([0x02, 0xb0, 0x01, 0, 0], entry.position!)
  const damaged = await openPath(bytes, 'text')
  await expect(contentOf(damaged.content)).rejects.toThrow(FormatError)
  await expect(contentOf(damaged.content, 10, 10)).rejects.toThrow(
    `LZNT1 data at byte 0x${(entry.position! + 3).toString(16)}`,
  )
  expect((await contentOf(damaged.content, 70_000, 30_000)).equals(expected.subarray(70_000, 100_000))).toBe(true)
})

const CLUSTER = 16
const UNIT = 16 * CLUSTER
const CLUSTERS = 400

/** A unit: the bytes it has before zeros, whether they are compressed, and how its clusters are cut into runs. */
const unit = fc.record({
  kind: fc.constantFrom('hole', 'stored', 'compressed' as const),
  length: fc.integer({ min: 1, max: UNIT - CLUSTER - 2 }),
  cuts: fc.array(fc.integer({ min: 1, max: 15 }), { maxLength: 3 }),
  newExtent: fc.boolean(),
})

test('units in any arrangement of runs and extents read as a list of bytes has them', async () => {
  const units = fc.array(unit, { minLength: 1, maxLength: 8 })
  const reads = fc.array(fc.record({ offset: fc.nat(8 * UNIT), length: fc.nat(3 * UNIT) }), { maxLength: 8 })
  const sizes = fc.record({ less: fc.nat(UNIT - 1), initialized: fc.nat(8 * UNIT) })
  await fc.assert(
    fc.asyncProperty(units, reads, sizes, async (units, reads, { less, initialized }) => {
      const { volume, extents, expected } = arrange(units)
      const size = expected.length - less
      expected.fill(0, Math.min(initialized, size))
      const [first, ...rest] = extents as [AttributeExtent, ...AttributeExtent[]]
      const geometry = { clusterSize: CLUSTER, clusterCount: CLUSTERS } as Geometry
      const reader = new CompressedReader(volume, geometry, [
        { ...first, dataSize: size, initializedSize: initialized },
        ...rest,
      ])
      for (const { offset, length } of [{ offset: 0, length: size }, ...reads]) {
        if (offset + length > size) continue
        const part = await contentOf(reader, offset, length)
        expect(part.equals(expected.subarray(offset, offset + length))).toBe(true)
      }
      const outside = Buffer.from(expected.subarray(0, size))
      for (const { offset, length } of await collect(reader.dataRanges())) outside.fill(0, offset, offset + length)
      expect(outside.equals(Buffer.alloc(size))).toBe(true)
    }),
    { numRuns: 300 },
  )
})

interface Unit {
  readonly kind: 'hole' | 'stored' | 'compressed'
  readonly length: number
  readonly cuts: readonly number[]
  readonly newExtent: boolean
}

/** Puts units on a volume, each run at a place of its own, in extents that begin with any run. */
function arrange(units: readonly Unit[]) {
  const volume = new MemoryDevice(Buffer.alloc(CLUSTER * CLUSTERS, 0xaa))
  const expected = Buffer.alloc(units.length * UNIT)
  const extents: Run[][] = [[]]
  let next = 1
  for (const [i, { kind, length, cuts, newExtent }] of units.entries()) {
    const content = pattern(kind === 'stored' ? UNIT : length, i * UNIT)
    if (kind !== 'hole') content.copy(expected, i * UNIT)
    const chunk = Buffer.alloc(2 + length)
    chunk.writeUInt16LE(0x3000 | (length - 1))
    content.copy(chunk, 2)
    const stored = kind === 'hole' ? Buffer.alloc(0) : kind === 'stored' ? content : chunk
    const clusters = Math.ceil(stored.length / CLUSTER)
    const ends = [...new Set([...cuts.filter(cut => cut < clusters), clusters])].sort((a, b) => a - b)
    let from = 0
    for (const end of ends.filter(end => end > 0)) {
      if (newExtent && extents.at(-1)!.length > 0) extents.push([])
      extents.at(-1)!.push({ lcn: next, length: end - from })
      volume.content.fill(0, next * CLUSTER, (next + end - from) * CLUSTER)
      stored.copy(volume.content, next * CLUSTER, from * CLUSTER, end * CLUSTER)
      next += end - from + 1
      from = end
    }
    if (clusters < 16) extents.at(-1)!.push({ lcn: HOLE, length: 16 - clusters })
  }
  let vcn = 0
  const common = { type: 0x80, name: '', flags: 1, position: 0, resident: false, compressionUnit: 4 } as const
  return {
    volume,
    expected,
    extents: extents.map((runs): AttributeExtent => {
      const lowestVcn = vcn
      vcn += runs.reduce((sum, { length }) => sum + length, 0)
      const sizes = { allocatedSize: 0, dataSize: 0, initializedSize: 0 }
      return { ...common, ...sizes, lowestVcn, highestVcn: vcn - 1, mappingPairs: mappingPairs(runs) }
    }),
  }
}

test('extents that are lost at the end are an error, and not zeros', async () => {
  const kinds = ['stored', 'stored', 'compressed'] as const
  const { volume, extents } = arrange(kinds.map(kind => ({ kind, length: 100, cuts: [], newExtent: true })))
  const sizes = { allocatedSize: 3 * UNIT, dataSize: 3 * UNIT, initializedSize: 3 * UNIT }
  const [first, second] = extents as [AttributeExtent, AttributeExtent]
  const geometry = { clusterSize: CLUSTER, clusterCount: CLUSTERS } as Geometry
  const reader = new CompressedReader(volume, geometry, [{ ...first, ...sizes }, second])
  expect(await contentOf(reader, 0, 2 * UNIT)).toEqual(pattern(2 * UNIT))
  await expect(contentOf(reader, 2 * UNIT - 1, 2)).rejects.toThrow('the record with the rest is not there')
  expect(await collect(reader.dataRanges())).toEqual([{ offset: 0, length: 3 * UNIT }])
})

describe('a unit', () => {
  const geometry = { clusterSize: 4096, clusterCount: CLUSTERS } as Geometry
  const extent = (compressionUnit: number): AttributeExtent => {
    const common = { type: 0x80, name: '', flags: 1, position: 0x1234, resident: false } as const
    const sizes = { allocatedSize: 4096, dataSize: 4096, initializedSize: 4096 }
    return {
      ...common,
      ...sizes,
      compressionUnit,
      lowestVcn: 0,
      highestVcn: 0,
      mappingPairs: mappingPairs([{ lcn: 3, length: 1 }]),
    }
  }
  const volume = new MemoryDevice(pattern(20_000), { readOnly: true })

  test('of a cluster is never compressed', async () => {
    const reader = new CompressedReader(volume, geometry, [extent(0)])
    expect(await contentOf(reader)).toEqual(volume.content.subarray(3 * 4096, 4 * 4096))
  })

  test.each([9, 64, 255])('of 2^%i clusters is refused', compressionUnit => {
    expect(() => new CompressedReader(volume, geometry, [extent(compressionUnit)])).toThrow(
      `compressionUnit at byte 0x1234 is units of 2^${compressionUnit} clusters`,
    )
  })
})
