/** Tables by other people's tools, and every byte of LBA 0 flipped. */
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FormatError } from '../../lib/errors.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { type PartitionTable, readPartitionTable } from '../../lib/partition/partition-table.ts'
import { corpusImage, testEachImage } from '../helpers/corpus.ts'
import { hasCorpus, type Scratch, scratch } from '../helpers/folders.ts'
import { run, testWith } from '../helpers/tools.ts'
import { VastDevice } from '../helpers/vast-device.ts'
import { bootSectorOf, writeGpt } from './make-tables.ts'

const MiB = 2 ** 20

const inSectors = ({ partitions, sectorSize }: PartitionTable) =>
  partitions.map(({ offset, size }) => [offset / sectorSize, size / sectorSize])

/** The partitions mmls lists: first and count of sectors. What it calls Meta or unallocated is none. */
async function mmls(path: string, sectorSize = 512): Promise<number[][]> {
  const { stdout } = await run('mmls', ['-b', `${sectorSize}`, path])
  const rows = [...stdout.matchAll(/^\d+:\s+(?:\d+|\d+:\d+)\s+(\d+)\s+\d+\s+(\d+)/gm)]
  return rows.map(([, first, count]) => [Number(first), Number(count)])
}

async function sparseFile(folder: Scratch, size: number): Promise<string> {
  const path = folder.path('disk.raw')
  await writeFile(path, '', { flag: 'wx' })
  await truncate(path, size)
  return path
}

describe('made by others, read by us', () => {
  testWith(['sgdisk', 'mmls'], 'sgdisk: types, names, ids; mmls sees the same', async () => {
    await using folder = await scratch()
    const path = await sparseFile(folder, 64 * MiB)
    const ids = ['a1b2c3d4-0001-4000-8000-000000000001', 'a1b2c3d4-0001-4000-8000-000000000002']
    await run('sgdisk', [
      ...[
        '-U',
        'a1b2c3d4-0000-4000-8000-000000000000',
        '-n',
        '1:2048:+8M',
        '-t',
        '1:ef00',
        '-c',
        '1:EFI system partition',
      ],
      ...['-u', `1:${ids[0]}`, '-n', '2:0:+4M', '-t', '2:0c01', '-n', '5:0:+16M', '-t', '5:0700', '-c', '5:Daten äöü'],
      ...['-u', `5:${ids[1]}`, '-A', '5:set:60', '-n', '7:0:0', '-t', '7:2700', path],
    ])
    await using disk = await FileDevice.open(path)
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject({ type: 'gpt', diskId: 'a1b2c3d4-0000-4000-8000-000000000000', findings: [] })
    expect(table.partitions).toMatchObject([
      { number: 1, offset: MiB, size: 8 * MiB, typeName: 'EFI system', name: 'EFI system partition', id: ids[0] },
      { number: 2, offset: 9 * MiB, size: 4 * MiB, typeName: 'Microsoft reserved' },
      {
        number: 5,
        offset: 13 * MiB,
        typeName: 'Microsoft basic data',
        name: 'Daten äöü',
        id: ids[1],
        attributes: 1n << 60n,
      },
      { number: 7, offset: 29 * MiB, typeName: 'Windows recovery' },
    ])
    expect(inSectors(table)).toEqual(await mmls(path))
  })

  testWith(['sgdisk'], 'sgdisk: a hybrid MBR, and the table of a disk that grew', async () => {
    await using folder = await scratch()
    const path = await sparseFile(folder, 32 * MiB)
    await run('sgdisk', ['-n', '1:2048:+8M', '-n', '2:0:0', '-h', '1', path])
    await truncate(path, 48 * MiB)
    await using disk = await FileDevice.open(path)
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject({ hybrid: true, findings: [{ code: 'GPT_BACKUP_NOT_AT_END' }] })
    await run('sgdisk', ['-e', path])
    expect(await readPartitionTable(disk)).toMatchObject({ partitions: table.partitions, findings: [] })
  })

  testWith(['loop', 'sgdisk', 'mmls'], 'sgdisk: sectors of 4096 bytes', async () => {
    await using folder = await scratch()
    const path = await sparseFile(folder, 64 * MiB)
    const { stdout } = await run('losetup', ['--find', '--show', '--sector-size', '4096', path])
    try {
      await run('sgdisk', ['-n', '1:256:+8M', '-n', '2:0:0', stdout.trim()])
    } finally {
      await run('losetup', ['--detach', stdout.trim()])
    }
    await using disk = await FileDevice.open(path)
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject({ sectorSize: 4096, findings: [], partitions: [{ offset: MiB }, { offset: 9 * MiB }] })
    expect(inSectors(table)).toEqual(await mmls(path, 4096))
  })
})

testWith(['mmls'], 'made by us, read by mmls: primaries and a chain of logical partitions', async () => {
  await using folder = await scratch()
  const path = folder.path('disk.raw')
  const disk = new MemoryDevice(8 * MiB)
  await disk.write(
    0,
    bootSectorOf([
      { type: 0x07, status: 0x80, firstLba: 63, sectorCount: 1000 },
      { type: 0x0f, firstLba: 2048, sectorCount: 8000 },
      { type: 0x83, firstLba: 12_000, sectorCount: 4000 },
    ]),
  )
  const link = { type: 0x05, firstLba: 3000, sectorCount: 2000 }
  await disk.write(2048 * 512, bootSectorOf([{ type: 0x83, firstLba: 63, sectorCount: 2000 }, link]))
  await disk.write(5048 * 512, bootSectorOf([{ type: 0x82, firstLba: 1, sectorCount: 1999 }]))
  await writeFile(path, disk.content)
  const table = await readPartitionTable(disk)
  expect(table.partitions.map(({ number }) => number)).toEqual([1, 5, 6, 3])
  expect(inSectors(table)).toEqual(await mmls(path))
})

describe('the corpus', () => {
  testEachImage('partition-tables', async image => {
    await using file = await FileDevice.open(await image.unpack())
    const { partitions } = image.expected()
    if (image.name.startsWith('partition-tables/dissect.volume/')) {
      // Only the first sectors of larger disks.
      await expect(readPartitionTable(file)).rejects.toMatchObject({ code: 'PARTITION_BEYOND_END' })
      return
    }
    const table = await readPartitionTable(file)
    expect(inSectors(table)).toEqual(partitions.map(({ startSector, sectors }) => [startSector, sectors]))
    expect(table.findings).toEqual([])
  })

  test.runIf(hasCorpus).each([
    [
      'gpt.bin',
      61_440_000 * 512,
      { type: 'gpt', sectorSize: 512, hybrid: true },
      [
        [40, 409_600],
        [411_648, 61_026_304],
      ],
    ],
    [
      'gpt_4k.bin',
      4192 * 4096,
      { type: 'gpt', sectorSize: 4096 },
      [
        [256, 257],
        [768, 257],
        [1280, 2907],
      ],
    ],
    [
      'mbr.bin',
      125_829_120 * 512,
      { type: 'mbr', sectorSize: 512 },
      [
        [2048, 1_024_000],
        [1_026_048, 124_801_024],
      ],
    ],
  ])('the head of a disk, on a disk of its size: %s', async (name, size, expected, places) => {
    const disk = new VastDevice(size)
    await disk.write(0, await readFile(await corpusImage(`partition-tables/dissect.volume/${name}`).unpack()))
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject(expected)
    expect(inSectors(table)).toEqual(places)
    expect(table.findings.map(({ code }) => code)).toEqual(table.type === 'gpt' ? ['GPT_BACKUP_DAMAGED'] : [])
  })

  testEachImage('vhdx', async image => {
    const { logReplayedBy, partitions } = image.expected()
    if (logReplayedBy !== undefined) return
    await using opened = await openDisk(await image.unpack())
    const table = await readPartitionTable(opened.disk)
    expect(inSectors(table)).toEqual(partitions.map(({ startSector, sectors }) => [startSector, sectors]))
  })
})

describe('each byte of LBA 0 flipped', () => {
  /** What reading gives: a table, or the FormatError that it must be otherwise. */
  async function outcome(disk: MemoryDevice): Promise<PartitionTable | FormatError> {
    try {
      return await readPartitionTable(disk)
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError)
      return error as FormatError
    }
  }

  async function eachFlip(disk: MemoryDevice, check: (found: PartitionTable | FormatError, byte: number) => void) {
    for (let byte = 0; byte < 512; byte++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        disk.content[byte]! ^= mask
        check(await outcome(disk), byte)
        disk.content[byte]! ^= mask
      }
    }
  }

  test('before a GPT: its partitions, or a finding', async () => {
    const disk = new MemoryDevice(MiB)
    await writeGpt(disk, { partitions: { 0: { firstLba: 100, lastLba: 199 }, 1: { firstLba: 200, lastLba: 299 } } })
    const sound = await readPartitionTable(disk)
    await eachFlip(disk, (found, byte) => {
      if (found instanceof FormatError) expect(found.code, `byte ${byte}`).toBe('PARTITION_BEYOND_END')
      else if (found.findings.length === 0) expect({ ...found, hybrid: undefined }, `byte ${byte}`).toEqual(sound)
    })
  })

  test('of an MBR: the boot code does not matter, the rest gives a table or a FormatError', async () => {
    const disk = new MemoryDevice(MiB)
    await disk.write(
      0,
      bootSectorOf([
        { type: 7, firstLba: 63, sectorCount: 100 },
        { type: 5, firstLba: 200, sectorCount: 1000 },
      ]),
    )
    await disk.write(200 * 512, bootSectorOf([{ type: 7, firstLba: 10, sectorCount: 20 }]))
    const sound = await readPartitionTable(disk)
    await eachFlip(disk, (found, byte) => {
      if (byte < 440) expect(found, `byte ${byte}`).toEqual(sound)
      // Without its 55 AA it is no table, and the disk is copied as one unknown volume.
      else if (byte >= 510) expect(found, `byte ${byte}`).toMatchObject({ type: 'none', partitions: [] })
      else if (!(found instanceof FormatError) && found.type === 'none') expect(found.findings).toHaveLength(1)
    })
  })
})
