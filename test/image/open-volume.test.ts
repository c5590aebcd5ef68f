import { readFile, truncate, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { type Range, totalLength } from '../../lib/device/ranges.ts'
import { DiskImageError, FormatError } from '../../lib/errors.ts'
import { damagedVolume, openVolume } from '../../lib/image/open-volume.ts'
import { makeExfat } from '../exfat/make-exfat.ts'
import { makeFat } from '../fat/make-fat.ts'
import { collect } from '../helpers/collect.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { hasCorpus, scratch } from '../helpers/folders.ts'
import { sparseDevice } from '../helpers/sparse-device.ts'
import { run, testWith } from '../helpers/tools.ts'

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
  const cut = new MemoryDevice(makeFat(32).disk.content.subarray(0, -512))
  const error = await openVolume(cut).catch(error => error)
  expect(error).toBeInstanceOf(FormatError)
  const volume = damagedVolume(cut, error)
  expect(volume.findings).toMatchObject([
    { code: 'DAMAGED_FILE_SYSTEM', message: expect.stringContaining(error.message), details: error.details },
  ])
  expect((await volume.usedSpace()).usedBytes).toBe(cut.size)
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

/** What is found on `disk` with `unreadable` sectors, and what of it is copied. */
async function openFaulty(disk: MemoryDevice, ...unreadable: Range[]) {
  const volume = await openVolume(new FaultyDevice(disk, { unreadable }))
  const { fileSystem, label, clusterSize, sectorSize, hazards, findings } = volume
  const space = await volume.usedSpace()
  const ranges = await collect(space.ranges())
  const codes = findings.map(({ code }) => code)
  return { fileSystem, label, clusterSize, sectorSize, hazards, findings, codes, usedBytes: space.usedBytes, ranges }
}

const FIRST_SECTOR = { offset: 0, length: 512 }
const FIRST_PHYSICAL_SECTOR = { offset: 0, length: 4096 }

async function mkntfs(): Promise<MemoryDevice> {
  await using folder = await scratch()
  const path = folder.path('ntfs.raw')
  await writeFile(path, '')
  await truncate(path, 16 * 2 ** 20)
  await run('mkntfs', ['-F', '-Q', '-q', '-s', '512', '-p', '0', '-H', '0', '-S', '0', path])
  return new MemoryDevice(await readFile(path))
}

describe('unreadable sectors at the start', () => {
  testWith(['mkntfs'], 'of NTFS: its allocation still counts, also by the backup boot sector', async () => {
    const disk = await mkntfs()
    const sound = await openFaulty(disk)
    expect(sound).toMatchObject({ fileSystem: 'NTFS', sectorSize: 512, codes: [] })
    const behind = await openFaulty(disk, { offset: 40_960, length: 512 }, { offset: 41_472, length: 512 })
    expect(behind).toEqual({ ...sound, findings: behind.findings, codes: ['UNREADABLE_VOLUME_START'] })
    expect(behind.findings).toMatchObject([
      { message: expect.stringContaining('byte 0xa000'), details: { position: 40_960, length: 1024 } },
    ])
    for (const lost of [FIRST_SECTOR, FIRST_PHYSICAL_SECTOR]) {
      const found = await openFaulty(disk, lost)
      expect(found).toMatchObject({ fileSystem: 'NTFS', ranges: sound.ranges, usedBytes: sound.usedBytes })
      expect(found.codes).toEqual(['UNREADABLE_VOLUME_START', 'NTFS_BACKUP_BOOT_SECTOR_USED'])
    }
  })

  testWith(['mkntfs'], 'of NTFS, with a backup that something speaks against: copied whole', async () => {
    const disk = await mkntfs()
    const geometry = disk.content.subarray(disk.size - 512)
    const mftLcn = Number(geometry.readBigUInt64LE(0x30))
    const mirrorLcn = Number(geometry.readBigUInt64LE(0x38))
    const whole = ['UNREADABLE_VOLUME_START', 'WHOLE_COPY']
    const broken = async (change: (content: Buffer) => void) => {
      const other = new MemoryDevice(Buffer.from(disk.content))
      change(other.content)
      return openFaulty(other, FIRST_SECTOR)
    }
    for (const change of [
      (content: Buffer) => void content.fill(0, mftLcn * 4096, mftLcn * 4096 + 4),
      (content: Buffer) => void content.fill(0, mirrorLcn * 4096, mirrorLcn * 4096 + 4),
      (content: Buffer) => void content.writeBigUInt64LE(2n ** 40n, disk.size - 512 + 0x38),
      (content: Buffer) => void content.writeBigUInt64LE(1000n, disk.size - 512 + 0x28),
      (content: Buffer) => void content.writeUInt16LE(3, disk.size - 512 + 11),
      (content: Buffer) => void makeFat(32).disk.content.copy(content, 6 * 512, 0, 512),
    ]) {
      const found = await broken(change)
      expect(found).toMatchObject({ fileSystem: 'unknown', codes: whole, usedBytes: disk.size })
    }
    expect(await openFaulty(disk, FIRST_SECTOR, { offset: disk.size - 512, length: 512 })).toMatchObject({
      fileSystem: 'unknown',
      codes: whole,
    })
    const ext = await broken(content => void content.writeUInt16LE(0xef53, 1024 + 0x38))
    expect(ext).toMatchObject({ fileSystem: 'ext2', codes: whole })
  })

  test('of exFAT: the other boot region serves', async () => {
    const disk = makeExfat({ used: [2, 4, 77, 500] })
    const sound = await openFaulty(disk)
    for (const lost of [FIRST_SECTOR, FIRST_PHYSICAL_SECTOR, { offset: 5 * 512, length: 512 }]) {
      const found = await openFaulty(disk, lost)
      expect(found).toMatchObject({ fileSystem: 'exFAT', ranges: sound.ranges })
      expect(found.codes).toEqual(['UNREADABLE_VOLUME_START', 'EXFAT_BACKUP_BOOT_USED'])
    }
    const backup = await openFaulty(disk, { offset: 12 * 512, length: 512 })
    expect(backup).toMatchObject({ fileSystem: 'exFAT', ranges: sound.ranges })
    expect(backup.codes).toEqual(['UNREADABLE_VOLUME_START', 'EXFAT_BACKUP_BOOT_DAMAGED'])
  })

  test('of exFAT, all of its boot region: the backup alone is not believed', async () => {
    const found = await openFaulty(makeExfat(), { offset: 0, length: 12 * 512 })
    expect(found).toMatchObject({ fileSystem: 'unknown', codes: ['UNREADABLE_VOLUME_START', 'WHOLE_COPY'] })
  })

  test('of FAT, and of something unknown', async () => {
    const { disk } = makeFat(32)
    const sound = await openFaulty(disk)
    const reserved = await openFaulty(disk, { offset: 2 * 512, length: 512 })
    expect(reserved).toEqual({ ...sound, findings: reserved.findings, codes: ['UNREADABLE_VOLUME_START'] })
    expect(await openFaulty(disk, FIRST_SECTOR)).toMatchObject({
      fileSystem: 'unknown',
      usedBytes: disk.size,
      codes: ['UNREADABLE_VOLUME_START', 'WHOLE_COPY'],
    })
    const nothing = await openFaulty(new MemoryDevice(70_000), { offset: 0, length: 70_000 })
    expect(nothing).toMatchObject({ fileSystem: 'unknown', usedBytes: 70_000 })
  })

  test('a disk that is gone is not an unknown volume', async () => {
    for (const requests of [0, 1, 2, 4]) {
      const gone = new FaultyDevice(new MemoryDevice(100_000), { requests })
      await expect(openVolume(gone)).rejects.toMatchObject({ code: 'DEVICE_GONE' })
    }
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
