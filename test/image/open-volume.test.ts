import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { totalLength } from '../../lib/device/ranges.ts'
import { DiskImageError, FormatError } from '../../lib/errors.ts'
import { damagedVolume, openVolume } from '../../lib/image/open-volume.ts'
import { makeExfat } from '../exfat/make-exfat.ts'
import { makeFat } from '../fat/make-fat.ts'
import { collect } from '../helpers/collect.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { hasCorpus } from '../helpers/folders.ts'
import { sparseDevice } from '../helpers/sparse-device.ts'

const DATA = [
  { offset: 4096, length: 4096 },
  { offset: 20_000, length: 1 },
]

test.each([
  ['', 'unknown', ['WHOLE_COPY']],
  ['0x07', 'unknown', ['WHOLE_COPY']],
  ['0x42', 'LDM', ['WHOLE_COPY']],
  ['5808c8aa-7e8f-42e0-85d2-e1e90434cfb3', 'LDM', ['WHOLE_COPY']],
  ['af9b60a0-1431-4f62-bc68-3311714a69ad', 'LDM', ['WHOLE_COPY']],
  ['e75caf8f-f680-4cee-afa3-b001e56efc2d', 'Storage Spaces', ['WHOLE_COPY']],
  ['0xe7', 'Storage Spaces', ['WHOLE_COPY']],
  ['e3c9e316-0b5c-4db8-817d-f92df00215ae', 'none', []],
  ['21686148-6449-6e6f-744e-656564454649', 'none', []],
])('a partition of type %j without a volume: all that is not a hole', async (typeId, fileSystem, codes) => {
  const volume = await openVolume(sparseDevice(40_000, DATA), typeId)
  expect(volume).toMatchObject({ fileSystem, label: undefined, clusterSize: undefined, hazards: [] })
  expect(volume.findings.map(({ code }) => code)).toEqual(codes)
  const space = await volume.usedSpace()
  expect(space).toMatchObject({ usedBytes: totalLength(DATA), leftOut: [], patches: [], findings: [] })
  expect(space.clusters).toBeUndefined()
  expect(await collect(space.ranges())).toEqual(DATA)
  expect(await collect(space.ranges())).toEqual(DATA)
})

test('what a dynamic disk or a storage pool begins with is no volume of its own', async () => {
  const { disk } = makeFat(16)
  expect((await openVolume(disk, '0x06')).fileSystem).toBe('FAT16')
  expect((await openVolume(disk, '0x42')).fileSystem).toBe('LDM')
  expect((await openVolume(disk, '0xe7')).fileSystem).toBe('Storage Spaces')
})

test('an empty device', async () => {
  const space = await (await openVolume(new MemoryDevice(0))).usedSpace()
  expect(space.usedBytes).toBe(0)
  expect(await collect(space.ranges())).toEqual([])
})

test('a recognised volume that cannot be read throws; as a damaged one it is copied whole', async () => {
  const made = makeFat(32)
  made.disk.content[made.fats[0]] = 0
  const error = await openVolume(made.disk).catch(error => error)
  expect(error).toBeInstanceOf(FormatError)
  const volume = damagedVolume(made.disk, error)
  expect(volume.findings).toMatchObject([
    { code: 'DAMAGED_FILE_SYSTEM', message: expect.stringContaining(error.message), details: { structure: 'FAT' } },
  ])
  expect((await volume.usedSpace()).usedBytes).toBe(made.disk.size)
})

describe.runIf(hasCorpus)('an NTFS volume by Windows', () => {
  const ntfs = async () => readFile(await corpusImage('ntfs/jschicht-SampleTinyNtfsVolume/partition.dd').unpack())
  const used = async (content: Buffer) => {
    const volume = await openVolume(new MemoryDevice(content))
    const space = await volume.usedSpace()
    return { fileSystem: volume.fileSystem, findings: volume.findings, ranges: await collect(space.ranges()) }
  }

  test('each byte of its name flipped: the backup boot sector tells', async () => {
    const content = await ntfs()
    const sound = await used(content)
    for (let byte = 3; byte < 11; byte++) {
      content[byte]! ^= 0xff
      const found = await used(content)
      expect(found).toMatchObject({ fileSystem: 'NTFS', ranges: sound.ranges })
      expect(found.findings).toMatchObject([{ code: 'NTFS_BACKUP_BOOT_SECTOR_USED' }, ...sound.findings])
      content[byte]! ^= 0xff
    }
  })

  test('something else at its start: the backup is not believed', async () => {
    const content = await ntfs()
    content.fill(0x5a, 0, 4096)
    expect((await used(content)).fileSystem).toBe('unknown')
  })
})

describe('bytes changed at random', () => {
  const volumes = { FAT12: makeFat(12).disk, FAT16: makeFat(16).disk, FAT32: makeFat(32).disk, exFAT: makeExfat() }
  const change = fc.record({ at: fc.nat(120_000), byte: fc.integer({ min: 0, max: 255 }) })

  test.each(Object.entries(volumes))(
    '%s: ranges within the device that add up, or an error with a code',
    async (_, disk) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof({ arbitrary: change, weight: 3 }, fc.record({ at: fc.nat(600), byte: fc.nat(255) })), {
            maxLength: 30,
          }),
          fc.nat(disk.size),
          async (changes, cut) => {
            const content = Buffer.from(disk.content)
            for (const { at, byte } of changes) content[at % content.length] = byte
            const device = new MemoryDevice(cut % 3 === 0 ? content.subarray(0, cut) : content)
            try {
              const space = await (await openVolume(device)).usedSpace()
              const ranges = await collect(space.ranges())
              expect(totalLength(ranges)).toBe(space.usedBytes)
              for (const range of ranges) await device.read(range.offset, Buffer.alloc(Math.min(range.length, 1)))
            } catch (error) {
              if (!(error instanceof DiskImageError)) throw error
              expect(error).toBeInstanceOf(FormatError)
            }
          },
        ),
        { numRuns: 300 },
      )
    },
  )
})
