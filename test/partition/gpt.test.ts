import { describe, expect, test } from 'vitest'
import { crc32, crc32Without } from '../../lib/binary/crc32.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { readPartitionTable } from '../../lib/partition/partition-table.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { VastDevice } from '../helpers/vast-device.ts'
import { bootSectorOf, DISK_GUID, type GptPlan, LINUX, writeGpt } from './make-tables.ts'

const MiB = 2 ** 20
const TiB = 2 ** 40

const TWO: GptPlan = {
  partitions: {
    0: { firstLba: 256, lastLba: 511, name: Buffer.from('Größe'.padEnd(36, '\0'), 'utf16le') },
    2: { firstLba: 512, lastLba: 767, attributes: 1n << 63n },
  },
}

async function gptDisk(plan: GptPlan = TWO, size = 4 * MiB, sectorSize = 512) {
  const disk = new MemoryDevice(size, { sectorSize })
  const places = await writeGpt(disk, plan)
  return { disk, places }
}

const codes = (table: { findings: readonly { code: string }[] }) => table.findings.map(({ code }) => code)

describe.each([512, 4096])('sectors of %i bytes', sectorSize => {
  test('partitions by slot, names, ids, and every structure in tables', async () => {
    const { disk, places } = await gptDisk(TWO, 4 * MiB, sectorSize)
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject({ type: 'gpt', sectorSize, diskId: DISK_GUID, findings: [] })
    expect(table.partitions).toMatchObject([
      { number: 1, offset: 256 * sectorSize, size: 256 * sectorSize, name: 'Größe', attributes: 0n },
      { number: 3, offset: 512 * sectorSize, size: 256 * sectorSize, attributes: 1n << 63n, typeId: LINUX },
    ])
    expect(table.partitions[1]).not.toHaveProperty('name')
    expect(table.partitions[1]!.typeName).toBe('Linux file system')
    expect(table.tables).toEqual([
      { offset: 0, length: places.primaryEntries + places.entriesLength },
      { offset: places.backupEntries, length: places.backup + sectorSize - places.backupEntries },
    ])
    expect(table).not.toHaveProperty('hybrid')
  })

  test('a raw file does not say its sector size: the header tells it', async () => {
    const { disk } = await gptDisk(TWO, 4 * MiB, sectorSize)
    expect(await readPartitionTable(new MemoryDevice(disk.content, { sectorSize: 512 }))).toMatchObject({ sectorSize })
    expect(await readPartitionTable(new MemoryDevice(disk.content, { sectorSize: 4096 }))).toMatchObject({ sectorSize })
  })

  test('so does the backup header when the first is gone', async () => {
    const { disk } = await gptDisk(TWO, 4 * MiB, sectorSize)
    await disk.zero(512, 8 * 4096)
    const table = await readPartitionTable(new MemoryDevice(disk.content, { sectorSize: 512 }))
    expect(table).toMatchObject({ sectorSize, partitions: [{ number: 1 }, { number: 3 }] })
    expect(codes(table)).toEqual(['GPT_PRIMARY_DAMAGED'])
  })
})

describe('one copy damaged', () => {
  test('each byte of the first header flipped: the backup is used and reported', async () => {
    const { disk, places } = await gptDisk()
    const sound = await readPartitionTable(disk)
    for (let byte = 0; byte < 92; byte++) {
      disk.content[places.primary + byte]! ^= 0xff
      const table = await readPartitionTable(disk)
      expect(table, `byte ${byte}`).toEqual({ ...sound, findings: table.findings })
      expect(codes(table), `byte ${byte}`).toEqual(['GPT_PRIMARY_DAMAGED'])
      disk.content[places.primary + byte]! ^= 0xff
    }
  })

  test('each byte of the backup header flipped: reported, the first is used', async () => {
    const { disk, places } = await gptDisk()
    const sound = await readPartitionTable(disk)
    for (let byte = 0; byte < 92; byte++) {
      disk.content[places.backup + byte]! ^= 0xff
      const table = await readPartitionTable(disk)
      expect(table, `byte ${byte}`).toEqual({ ...sound, findings: table.findings })
      expect(codes(table), `byte ${byte}`).toEqual(['GPT_BACKUP_DAMAGED'])
      disk.content[places.backup + byte]! ^= 0xff
    }
  })

  test('each byte of the entries flipped, in either copy', async () => {
    const { disk, places } = await gptDisk({ ...TWO, entryCount: 4 })
    const sound = await readPartitionTable(disk)
    for (const [start, code] of [
      [places.primaryEntries, 'GPT_PRIMARY_DAMAGED'],
      [places.backupEntries, 'GPT_BACKUP_DAMAGED'],
    ] as const) {
      for (let byte = 0; byte < places.entriesLength; byte++) {
        disk.content[start + byte]! ^= 0x01
        const table = await readPartitionTable(disk)
        expect(table.partitions).toEqual(sound.partitions)
        expect(codes(table)).toEqual([code])
        disk.content[start + byte]! ^= 0x01
      }
    }
  })

  test('an unreadable sector counts as damage', async () => {
    const { disk, places } = await gptDisk()
    const faulty = new FaultyDevice(disk, { unreadable: [{ offset: places.primary, length: 512 }] })
    const table = await readPartitionTable(faulty)
    expect(table.partitions).toHaveLength(2)
    expect(codes(table)).toEqual(['GPT_PRIMARY_DAMAGED'])
    expect(table.findings[0]!.message).toMatch(/cannot read/)
  })

  test('a backup that is not at the end is found through the first header', async () => {
    const { disk } = await gptDisk()
    const grown = new MemoryDevice(Buffer.concat([disk.content, Buffer.alloc(MiB)]))
    const table = await readPartitionTable(grown)
    expect(codes(table)).toEqual(['GPT_BACKUP_NOT_AT_END'])
    expect(table.tables.at(-1)).toEqual({ offset: 4 * MiB - 33 * 512, length: 33 * 512 })
  })

  test('copies that are whole but differ', async () => {
    const { disk } = await gptDisk()
    const other = await gptDisk({ partitions: { 0: { firstLba: 1000, lastLba: 1001 } } })
    other.disk.content.copy(disk.content, 4 * MiB - 33 * 512, 4 * MiB - 33 * 512)
    const table = await readPartitionTable(disk)
    expect(table.partitions).toHaveLength(2)
    expect(codes(table)).toEqual(['GPT_COPIES_DIFFER'])
  })
})

describe('both copies damaged', () => {
  test('an error that names what is wrong and says what to do', async () => {
    const { disk, places } = await gptDisk()
    disk.content[places.primary + 56]! ^= 1
    disk.content[places.backup + 56]! ^= 1
    await expect(readPartitionTable(disk)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'GPT_DAMAGED',
      message: expect.stringMatching(/GPT header\.headerChecksum at byte 0x210 is 0x\w+, expected 0x\w+.*Repair/),
      details: { structure: 'GPT header', field: 'headerChecksum', position: 0x210 },
    })
  })

  test.each<[string, GptPlan['header']]>([
    ['entry size 0', { entrySize: 0 }],
    ['entry size 64', { entrySize: 64 }],
    ['entries of 4 GiB each', { entrySize: 0xfffffff8 }],
    ['no entries', { entryCount: 0 }],
    ['four billion entries', { entryCount: 0xffffffff }],
    ['header size 0', { headerSize: 0 }],
    ['header size 4 GiB', { headerSize: 0xffffffff }],
    ['entries at LBA 2^53 - 1', { entriesLba: Number.MAX_SAFE_INTEGER }],
    ['entries over the header', { entriesLba: 1 }],
  ])('%s, with checksums that hold', async (_, header) => {
    const { disk } = await gptDisk({ ...TWO, header: header! })
    await expect(readPartitionTable(disk)).rejects.toMatchObject({ name: 'FormatError', code: 'GPT_DAMAGED' })
  })

  test('an LBA above 2^53 in a header is damage, not a wrong number', async () => {
    const { disk, places } = await gptDisk()
    for (const header of [places.primary, places.backup]) disk.content.writeBigUInt64LE(2n ** 60n, header + 24)
    await expect(readPartitionTable(disk)).rejects.toMatchObject({ code: 'GPT_DAMAGED' })
  })
})

describe('a disk smaller than its table says', () => {
  test('a partition beyond the end is named, with both sizes', async () => {
    const { disk } = await gptDisk()
    const cut = new MemoryDevice(disk.content.subarray(0, 700 * 512))
    await expect(readPartitionTable(cut)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'PARTITION_BEYOND_END',
      message: expect.stringMatching(/^partition 3 .* ends at byte 393216 .* the disk has 358400 bytes/),
      details: { expected: 768 * 512, actual: 700 * 512 },
    })
  })

  test('only the backup GPT cut off', async () => {
    const { disk } = await gptDisk()
    const cut = new MemoryDevice(disk.content.subarray(0, 3 * MiB))
    await expect(readPartitionTable(cut)).rejects.toMatchObject({ name: 'FormatError', code: 'DISK_TRUNCATED' })
  })

  test('cut when asked: shortened, left out, reported', async () => {
    const { disk } = await gptDisk()
    const cut = new MemoryDevice(disk.content.subarray(0, 600 * 512))
    const table = await readPartitionTable(cut, { truncated: 'cut' })
    expect(table.partitions).toMatchObject([
      { number: 1, size: 256 * 512 },
      { number: 3, size: 88 * 512 },
    ])
    expect(codes(table)).toEqual(['GPT_BACKUP_DAMAGED', 'DISK_TRUNCATED', 'PARTITION_BEYOND_END'])
    const shorter = new MemoryDevice(disk.content.subarray(0, 500 * 512))
    expect((await readPartitionTable(shorter, { truncated: 'cut' })).partitions).toMatchObject([
      { number: 1, size: 244 * 512 },
    ])
  })

  test('partitions at LBAs near 2^53 are beyond the end, not somewhere else', async () => {
    const lastLba = Number.MAX_SAFE_INTEGER
    const { disk } = await gptDisk({ partitions: { 0: { firstLba: lastLba - 1, lastLba } } })
    await expect(readPartitionTable(disk)).rejects.toMatchObject({ code: 'PARTITION_BEYOND_END' })
  })

  test('a partition at an LBA above 2^53 is refused by its field', async () => {
    const disk = new MemoryDevice(4 * MiB)
    const places = await writeGpt(disk, TWO)
    const entries = disk.content.subarray(places.primaryEntries, places.primaryEntries + places.entriesLength)
    entries.writeBigUInt64LE(2n ** 64n - 1n, 40)
    const header = disk.content.subarray(places.primary, places.primary + 92)
    header.writeUInt32LE(crc32(entries), 88)
    header.writeUInt32LE(crc32Without(header, 16), 16)
    await expect(readPartitionTable(disk)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'NUMBER_TOO_LARGE',
      details: { structure: 'GPT partition entry', field: 'lastLba', position: places.primaryEntries + 40 },
    })
  })
})

test('64 TiB disks: offsets are exact', async () => {
  const disk = new VastDevice(64 * TiB)
  const lastLba = (64 * TiB) / 512 - 100
  await writeGpt(disk, { partitions: { 127: { firstLba: lastLba, lastLba } } })
  const table = await readPartitionTable(disk)
  expect(table.partitions).toMatchObject([{ number: 128, offset: 64 * TiB - 100 * 512, size: 512 }])
})

test('entries larger than 128 bytes, more than 128 entries', async () => {
  const { disk } = await gptDisk({ ...TWO, entrySize: 256, entryCount: 200 })
  expect((await readPartitionTable(disk)).partitions.map(({ number }) => number)).toEqual([1, 3])
})

test('partitions that overlap are kept and reported', async () => {
  const { disk } = await gptDisk({
    partitions: {
      0: { firstLba: 100, lastLba: 500 },
      1: { firstLba: 200, lastLba: 300 },
      2: { firstLba: 400, lastLba: 600 },
      3: { firstLba: 601, lastLba: 700 },
    },
  })
  const table = await readPartitionTable(disk)
  expect(table.partitions).toHaveLength(4)
  expect(table.findings.map(({ code, details }) => [code, details?.partitions])).toEqual([
    ['PARTITIONS_OVERLAP', [1, 2]],
    ['PARTITIONS_OVERLAP', [1, 3]],
  ])
})

describe('as many partitions as entries', () => {
  const apart = (count: number, sectors = 1) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, slot) => [slot, { firstLba: 3000 + slot, lastLba: 3000 + slot + sectors - 1 }]),
    )

  test('255 are read, 256 are refused', async () => {
    const { disk } = await gptDisk({ entryCount: 8192, partitions: apart(255) }, 8 * MiB)
    expect((await readPartitionTable(disk)).partitions).toHaveLength(255)
    for (const count of [256, 5000]) {
      const hostile = await gptDisk({ entryCount: 8192, partitions: apart(count) }, 8 * MiB)
      await expect(readPartitionTable(hostile.disk)).rejects.toMatchObject({
        name: 'FormatError',
        code: 'TOO_MANY_PARTITIONS',
        details: { expected: 255, actual: count },
      })
    }
  })

  test('16 that begin inside another are read, 17 are refused', async () => {
    const { disk } = await gptDisk({ partitions: apart(17, 1000) })
    expect(codes(await readPartitionTable(disk))).toEqual(Array(16).fill('PARTITIONS_OVERLAP'))
    const hostile = await gptDisk({ partitions: apart(18, 1000) })
    for (const truncated of ['refuse', 'cut'] as const) {
      await expect(readPartitionTable(hostile.disk, { truncated })).rejects.toMatchObject({
        name: 'FormatError',
        code: 'TOO_MANY_OVERLAPS',
        details: { expected: 16, actual: 17 },
      })
    }
  })
})

test('a partition that ends before it begins is left out and reported', async () => {
  const { disk } = await gptDisk({
    partitions: { 0: { firstLba: 500, lastLba: 400 }, 1: { firstLba: 500, lastLba: 500 } },
  })
  const table = await readPartitionTable(disk)
  expect(table.partitions.map(({ number }) => number)).toEqual([2])
  expect(codes(table)).toEqual(['GPT_ENTRY_REVERSED'])
})

describe('MBR and GPT disagree', () => {
  test('a hybrid MBR: the GPT is used, and it says hybrid', async () => {
    const { disk } = await gptDisk({ ...TWO, mbr: [{ type: 0x07, firstLba: 256, sectorCount: 256 }] })
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject({ type: 'gpt', hybrid: true, partitions: [{ number: 1 }, { number: 3 }] })
  })

  test('an MBR wiped: the first GPT is used and the loss reported', async () => {
    const { disk } = await gptDisk()
    await disk.zero(0, 512)
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject({ type: 'gpt', partitions: [{ number: 1 }, { number: 3 }] })
    expect(codes(table)).toEqual(['GPT_WITHOUT_MBR'])
  })

  test('an MBR and the first GPT wiped: what is left at the end is not believed', async () => {
    const { disk } = await gptDisk()
    await disk.zero(0, 34 * 512)
    expect(await readPartitionTable(disk)).toMatchObject({ type: 'none', partitions: [], findings: [] })
  })

  test('an MBR with partitions of its own and no protective one wins, with a finding', async () => {
    const { disk } = await gptDisk()
    disk.content[450] = 0x83
    const table = await readPartitionTable(disk)
    expect(table).toMatchObject({ type: 'mbr', partitions: [{ number: 1, typeId: '0x83' }] })
    expect(codes(table)).toEqual(['GPT_IGNORED'])
  })
})

describe('an unreadable LBA 0', () => {
  const unreadable = (disk: MemoryDevice, ...sectors: readonly (readonly [number, number])[]) =>
    new FaultyDevice(disk, { unreadable: sectors.map(([offset, length]) => ({ offset, length })) })

  test.each<[string, (places: Awaited<ReturnType<typeof writeGpt>>) => (readonly [number, number])[], string[]]>([
    ['alone', () => [], []],
    ['with the first header', ({ primary }) => [[primary, 512]], ['GPT_PRIMARY_DAMAGED']],
    ['with the first entries', ({ primaryEntries }) => [[primaryEntries + 1024, 512]], ['GPT_PRIMARY_DAMAGED']],
    ['with the physical sector it is in', () => [[0, 4096]], ['GPT_PRIMARY_DAMAGED']],
    ['with the backup header', ({ backup }) => [[backup, 512]], ['GPT_BACKUP_DAMAGED']],
  ])('%s: the GPT is used', async (_, others, findings) => {
    const { disk, places } = await gptDisk()
    const sound = await readPartitionTable(disk)
    const table = await readPartitionTable(unreadable(disk, [0, 512], ...others(places)))
    expect(table).toEqual({ ...sound, findings: table.findings })
    expect(codes(table)).toEqual(['MBR_UNREADABLE', ...findings])
    expect(table.findings[0]!.message).toMatch(/cannot read 512 bytes at byte 0/)
  })

  test('sectors of 4096 bytes, on a device that says 512', async () => {
    const { disk } = await gptDisk(TWO, 4 * MiB, 4096)
    const table = await readPartitionTable(unreadable(new MemoryDevice(disk.content), [0, 4096]))
    expect(table).toMatchObject({ type: 'gpt', sectorSize: 4096, partitions: [{ number: 1 }, { number: 3 }] })
  })

  test('something else in LBA 1: what is left at the end is not believed', async () => {
    const { disk } = await gptDisk()
    await disk.zero(512, 33 * 512)
    const table = await readPartitionTable(unreadable(disk, [0, 512]))
    expect(table).toMatchObject({ type: 'none', partitions: [], findings: [{ code: 'MBR_UNREADABLE' }] })
  })

  test('no GPT: no table', async () => {
    const disk = new MemoryDevice(MiB)
    await disk.write(0, bootSectorOf([{ type: 7, firstLba: 63, sectorCount: 100 }]))
    const table = await readPartitionTable(unreadable(disk, [0, 512]))
    expect(table).toMatchObject({ type: 'none', partitions: [], findings: [{ code: 'MBR_UNREADABLE' }] })
  })
})

test.each([0, 1, 2])('a disk that is gone after %i requests is not one with damaged tables', async requests => {
  const { disk } = await gptDisk()
  await expect(readPartitionTable(new FaultyDevice(disk, { requests }))).rejects.toMatchObject({ code: 'DEVICE_GONE' })
})
