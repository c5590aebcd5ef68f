import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { readPartitionTable } from '../../lib/partition/partition-table.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { VastDevice } from '../helpers/vast-device.ts'
import { bootSectorOf, type Slot } from './make-tables.ts'

const MiB = 2 ** 20
const TiB = 2 ** 40

/** A disk of 4 MiB with an MBR and, by LBA, extended boot records. */
async function mbrDisk(slots: readonly Slot[], records: Readonly<Record<number, readonly Slot[]>> = {}) {
  const disk = new MemoryDevice(4 * MiB)
  await disk.write(0, bootSectorOf(slots))
  for (const [lba, entries] of Object.entries(records)) await disk.write(Number(lba) * 512, bootSectorOf(entries))
  return disk
}

const places = (table: Awaited<ReturnType<typeof readPartitionTable>>) =>
  table.partitions.map(({ number, offset, size }) => [number, offset / 512, size / 512])
const codes = (table: { findings: readonly { code: string }[] }) => table.findings.map(({ code }) => code)
const lbas = (table: { tables: readonly { offset: number; length: number }[] }) =>
  table.tables.map(({ offset, length }) => [offset / 512, length / 512])

test('primaries by slot, ids as Linux writes them, the active one', async () => {
  const disk = await mbrDisk([
    { type: 0x07, status: 0x80, firstLba: 2048, sectorCount: 1024 },
    {},
    { type: 0x83, firstLba: 100, sectorCount: 50 },
    { type: 0x00, firstLba: 5, sectorCount: 5 },
  ])
  expect(await readPartitionTable(disk)).toEqual({
    type: 'mbr',
    sectorSize: 512,
    diskId: '1a2b3c4d',
    tables: [{ offset: 0, length: 512 }],
    findings: [],
    partitions: [
      { number: 3, offset: 51_200, size: 25_600, typeId: '0x83', typeName: 'Linux', id: '1a2b3c4d-03', active: false },
      {
        number: 1,
        offset: 2048 * 512,
        size: 1024 * 512,
        typeId: '0x07',
        typeName: 'NTFS or exFAT',
        id: '1a2b3c4d-01',
        active: true,
      },
    ],
  })
})

test('an MBR without partitions is a table all the same', async () => {
  expect(await readPartitionTable(await mbrDisk([]))).toMatchObject({ type: 'mbr', partitions: [], findings: [] })
})

describe('extended partitions', () => {
  test.each([0x05, 0x0f, 0x85])('type 0x%s: logical partitions from 5 along the chain', async type => {
    const disk = await mbrDisk(
      [
        { type: 0x83, firstLba: 64, sectorCount: 64 },
        { type, firstLba: 1000, sectorCount: 3000 },
      ],
      {
        1000: [
          { type: 0x83, firstLba: 10, sectorCount: 100 },
          { type: 0x05, firstLba: 2000, sectorCount: 500 },
        ],
        // The chain goes backwards: legal, and numbers follow the chain.
        3000: [
          { type: 0x82, firstLba: 1, sectorCount: 5 },
          { type: 0x05, firstLba: 500, sectorCount: 500 },
        ],
        1500: [{ type: 0x07, firstLba: 63, sectorCount: 200 }],
      },
    )
    const table = await readPartitionTable(disk)
    expect(places(table)).toEqual([
      [1, 64, 64],
      [5, 1010, 100],
      [7, 1563, 200],
      [6, 3001, 5],
    ])
    expect(table.partitions[2]).toMatchObject({ id: '1a2b3c4d-07', typeId: '0x07' })
    expect(lbas(table)).toEqual([
      [0, 1],
      [1000, 1],
      [1500, 1],
      [3000, 1],
    ])
    expect(table.findings).toEqual([])
  })

  test.each<[string, Readonly<Record<number, readonly Slot[]>>, number[]]>([
    [
      'points to itself',
      {
        1000: [
          { type: 0x83, firstLba: 1, sectorCount: 9 },
          { type: 5, sectorCount: 9 },
        ],
      },
      [5],
    ],
    [
      'runs in a circle',
      {
        1000: [
          { type: 0x83, firstLba: 1, sectorCount: 9 },
          { type: 5, firstLba: 100, sectorCount: 9 },
        ],
        1100: [
          { type: 0x83, firstLba: 1, sectorCount: 9 },
          { type: 5, firstLba: 50, sectorCount: 9 },
        ],
        1050: [{}, { type: 5, firstLba: 100, sectorCount: 9 }],
      },
      [5, 6],
    ],
    ['leads beyond the end', { 1000: [{}, { type: 5, firstLba: 0xfffffff0, sectorCount: 9 }] }, []],
    ['leads to no record', { 1000: [{}, { type: 5, firstLba: 7, sectorCount: 9 }] }, []],
    ['never begins', {}, []],
  ])('a chain that %s ends there and is reported', async (_, records, numbers) => {
    const table = await readPartitionTable(await mbrDisk([{ type: 5, firstLba: 1000, sectorCount: 3000 }], records))
    expect(table.partitions.map(({ number }) => number)).toEqual(numbers)
    expect(codes(table)).toEqual(['EBR_CHAIN_BROKEN'])
  })

  test('a chain that leads to an unreadable sector ends there and is reported', async () => {
    const disk = await mbrDisk(
      [
        { type: 7, firstLba: 63, sectorCount: 100 },
        { type: 5, firstLba: 1000, sectorCount: 3000 },
      ],
      {
        1000: [
          { type: 0x83, firstLba: 1, sectorCount: 9 },
          { type: 5, firstLba: 100, sectorCount: 9 },
        ],
        1100: [{ type: 0x83, firstLba: 1, sectorCount: 9 }],
      },
    )
    for (const [lba, numbers] of [
      [1100, [1, 5]],
      [1000, [1]],
    ] as const) {
      const table = await readPartitionTable(
        new FaultyDevice(disk, { unreadable: [{ offset: lba * 512, length: 512 }] }),
      )
      expect(table.partitions.map(({ number }) => number)).toEqual(numbers)
      expect(table.findings).toMatchObject([{ code: 'EBR_CHAIN_BROKEN', details: { lba } }])
      expect(table.findings[0]!.message).toContain('cannot be read')
    }
  })

  test('a partition whose first sector is unreadable is listed', async () => {
    const disk = await mbrDisk([{ type: 7, firstLba: 63, sectorCount: 100 }])
    const faulty = new FaultyDevice(disk, { unreadable: [{ offset: 63 * 512, length: 512 }] })
    expect(await readPartitionTable(faulty)).toMatchObject({ type: 'mbr', partitions: [{ number: 1 }], findings: [] })
  })

  test('a chain that never ends is cut', async () => {
    const disk = await mbrDisk([{ type: 5, firstLba: 1, sectorCount: 8000 }])
    for (let lba = 1; lba < 8000; lba++) {
      const next = { type: 5, firstLba: lba, sectorCount: 1 }
      await disk.write(lba * 512, bootSectorOf([{ type: 0x83, sectorCount: 1 }, next]))
    }
    const table = await readPartitionTable(disk)
    expect(table.partitions).toHaveLength(251)
    expect(codes(table)).toEqual(['EBR_CHAIN_BROKEN'])
  })

  test('several chains that never end are more partitions than are read', async () => {
    const extended = { type: 5, firstLba: 1, sectorCount: 1000 }
    const disk = await mbrDisk([extended, { ...extended, firstLba: 1001 }])
    for (let lba = 1; lba < 2000; lba++) {
      const next = { type: 5, firstLba: lba < 1001 ? lba : lba - 1000, sectorCount: 1 }
      await disk.write(lba * 512, bootSectorOf([{ type: 0x83, sectorCount: 1 }, next]))
    }
    await expect(readPartitionTable(disk)).rejects.toMatchObject({ code: 'TOO_MANY_PARTITIONS' })
  })

  test('two extended partitions that share their records', async () => {
    const table = await readPartitionTable(
      await mbrDisk(
        [
          { type: 5, firstLba: 1000, sectorCount: 3000 },
          { type: 5, firstLba: 1000, sectorCount: 3000 },
        ],
        { 1000: [{ type: 0x83, firstLba: 1, sectorCount: 9 }] },
      ),
    )
    expect(places(table)).toEqual([[5, 1001, 9]])
  })
})

test('a partition beyond the end is named', async () => {
  const disk = await mbrDisk([{ type: 7, firstLba: 8000, sectorCount: 193 }])
  await expect(readPartitionTable(disk)).rejects.toMatchObject({
    name: 'FormatError',
    code: 'PARTITION_BEYOND_END',
    details: { position: 446, expected: 8193 * 512, actual: 4 * MiB },
  })
})

test('a logical partition beyond the end is named', async () => {
  const disk = await mbrDisk([{ type: 5, firstLba: 1000, sectorCount: 3000 }], {
    1000: [{ type: 0x83, firstLba: 0xffffffff, sectorCount: 0xffffffff }],
  })
  await expect(readPartitionTable(disk)).rejects.toMatchObject({
    code: 'PARTITION_BEYOND_END',
    message: expect.stringContaining('partition 5 (entry at byte 0x7d1be)'),
  })
})

describe('sector size, which an MBR does not say', () => {
  async function diskOf4096(disk: MemoryDevice | VastDevice, firstLba: number, sectorCount: number) {
    await disk.write(0, bootSectorOf([{ type: 7, firstLba, sectorCount }]))
    return disk
  }
  const bootSignature = Buffer.from([0x55, 0xaa])

  test('is that with which a partition begins with a boot sector', async () => {
    const disk = await diskOf4096(new MemoryDevice(4 * MiB), 256, 512)
    await disk.write(256 * 4096 + 510, bootSignature)
    expect(await readPartitionTable(disk)).toMatchObject({ sectorSize: 4096, partitions: [{ offset: MiB }] })
    await disk.write(256 * 512 + 510, bootSignature)
    expect(await readPartitionTable(disk)).toMatchObject({ sectorSize: 512, partitions: [{ offset: 256 * 512 }] })
  })

  test("is the device's own where there is no such sign", async () => {
    const { content } = (await diskOf4096(new MemoryDevice(4 * MiB), 256, 512)) as MemoryDevice
    expect(await readPartitionTable(new MemoryDevice(content))).toMatchObject({ sectorSize: 512 })
    expect(await readPartitionTable(new MemoryDevice(content, { sectorSize: 4096 }))).toMatchObject({
      sectorSize: 4096,
    })
  })

  test('is not one with which a partition would not fit', async () => {
    const disk = await diskOf4096(new MemoryDevice(4 * MiB), 1000, 4000)
    await disk.write(1000 * 4096 + 510, bootSignature)
    expect(await readPartitionTable(disk)).toMatchObject({ sectorSize: 512 })
  })

  test('4096 reaches 16 TiB', async () => {
    const disk = await diskOf4096(new VastDevice(16 * TiB, 4096), 2 ** 31, 2 ** 31)
    expect(await readPartitionTable(disk)).toMatchObject({ partitions: [{ offset: 8 * TiB, size: 8 * TiB }] })
  })
})

describe('no table', () => {
  /** The parameter block of a FAT volume, with whatever else is in `sector`. */
  function withFatParameters(sector: Buffer): Buffer {
    sector.set([0xeb, 0x3c, 0x90], 0)
    sector.writeUInt16LE(512, 11)
    sector[13] = 4
    sector.writeUInt16LE(1, 14)
    sector[16] = 2
    sector[21] = 0xf8
    return sector
  }
  const read = async (sector: Buffer) => {
    const disk = new MemoryDevice(MiB)
    await disk.write(0, sector)
    return readPartitionTable(disk)
  }
  const none = { type: 'none', partitions: [], tables: [], diskId: undefined, findings: [] }

  test('an empty disk, and one smaller than a sector', async () => {
    expect(await readPartitionTable(new MemoryDevice(MiB))).toMatchObject(none)
    expect(await readPartitionTable(new MemoryDevice(100))).toMatchObject(none)
    expect(await readPartitionTable(new MemoryDevice(0))).toMatchObject(none)
  })

  test.each(['NTFS    ', 'EXFAT   ', '-FVE-FS-', 'ReFS\0\0\0\0'])('a volume that says %j', async oemId => {
    const sector = bootSectorOf([])
    sector.write(oemId, 3, 'latin1')
    expect(await read(sector)).toMatchObject(none)
    sector.write('A disk read error occurred', 446)
    expect(await read(sector)).toMatchObject(none)
  })

  test('a FAT volume, whose boot code may lie where the table would be', async () => {
    expect(await read(withFatParameters(bootSectorOf([])))).toMatchObject(none)
    expect(
      await read(withFatParameters(bootSectorOf([{ type: 0x20, firstLba: 0x6f6e, sectorCount: 0x2074 }]))),
    ).toMatchObject(none)
  })

  test('an MBR with parameters of a volume in it, as USB sticks have, is an MBR when its partitions fit', async () => {
    const sector = withFatParameters(bootSectorOf([{ type: 0x0c, firstLba: 63, sectorCount: 1000 }]))
    expect(await read(sector)).toMatchObject({ type: 'mbr', partitions: [{ number: 1 }] })
  })

  test('55 AA behind something that is no table is reported', async () => {
    const table = await read(bootSectorOf([{ status: 0x42, type: 7, firstLba: 63, sectorCount: 1000 }]))
    expect(table).toMatchObject({ ...none, findings: [{ code: 'MBR_IMPLAUSIBLE' }] })
  })
})
