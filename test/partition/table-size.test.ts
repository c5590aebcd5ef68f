import { truncate } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { PartitionTable } from '../../lib/partition/partition.ts'
import { readPartitionTable } from '../../lib/partition/partition-table.ts'
import { planTableIds } from '../../lib/partition/table-identity.ts'
import { readTableSize } from '../../lib/partition/table-size.ts'
import { type TableStep, type TableWrite, writeTable } from '../../lib/partition/table-writes.ts'
import { Random } from '../fuzz/random.ts'
import { buildDisk, withLoop } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { run, testWith } from '../helpers/tools.ts'
import { bootSectorOf, type GptPlan, writeGpt } from './make-tables.ts'

const MiB = 2 ** 20
const NEW_GUID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'

const TWO: GptPlan = {
  partitions: { 0: { firstLba: 64, lastLba: 127 }, 2: { firstLba: 128, lastLba: 255, attributes: 1n << 63n } },
}

/** The device as it is when it has another size: cut, or with zeros behind it. */
function resized(disk: MemoryDevice, size: number): MemoryDevice {
  const content = Buffer.alloc(size)
  disk.content.copy(content)
  return new MemoryDevice(content, { sectorSize: disk.sectorSize })
}

async function gptDisk(plan: GptPlan, size: number, sectorSize = 512) {
  const disk = new MemoryDevice(size, { sectorSize })
  const places = await writeGpt(disk, plan)
  return { disk, places }
}

const sizeOf = async (disk: BlockDevice) => readTableSize(disk, await readPartitionTable(disk))

const codes = (table: PartitionTable) => table.findings.map(({ code }) => code)

/** What readers make of a table, whichever copy they take. */
const meaning = ({ diskId, partitions }: PartitionTable) => JSON.stringify({ diskId, partitions }, text)
const text = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)

/** The disk after the steps before number `step`, and of that one what `lands` says, a sector of 512 bytes at a time. */
function crashed(disk: MemoryDevice, steps: readonly TableStep[], step: number, lands: () => boolean): MemoryDevice {
  const content = Buffer.from(disk.content)
  const put = ({ offset, bytes }: TableWrite, isDone: () => boolean) => {
    for (let at = 0; at < bytes.length; at += 512) if (isDone()) bytes.copy(content, offset + at, at, at + 512)
  }
  for (const done of steps.slice(0, step)) for (const write of done) put(write, () => true)
  for (const write of steps[step] ?? []) put(write, lands)
  return new MemoryDevice(content, { sectorSize: disk.sectorSize })
}

/** Reads every state that a power cut can leave, and expects each to be one of `tables`. Gives how many there were. */
async function expectOnly(
  disk: MemoryDevice,
  steps: readonly TableStep[],
  tables: readonly string[],
  subsets = 10,
): Promise<number> {
  let states = 0
  for (let step = 0; step <= steps.length; step++) {
    for (let subset = 0; subset < subsets; subset++) {
      const random = new Random(`${step} ${subset}`)
      // Half of it, little or most.
      const percent = [50, 5, 95][subset % 3]!
      const lands = () => random.below(100) < percent
      const table = await readPartitionTable(crashed(disk, steps, step, lands), { truncated: 'cut' })
      expect(tables).toContain(meaning(table))
      states++
    }
  }
  return states
}

describe.each([512, 4096])('a GPT of sectors of %i bytes', sectorSize => {
  const size = 512 * sectorSize

  test.each([
    ['1 MiB more', size + MiB],
    ['one sector more: the new backup lies on the old one', size + sectorSize],
    ['less than a sector more: nothing to do', size + 1],
    ['one sector less', size - sectorSize],
    ['as small as it goes', 0],
  ])('follows to %s', async (_, wanted) => {
    const { disk } = await gptDisk(TWO, size, sectorSize)
    const { smallest, usedEnd } = await sizeOf(disk)
    expect(usedEnd).toBe(256 * sectorSize)
    expect(smallest).toBe(256 * sectorSize + 16_384 + sectorSize)
    const target = wanted || smallest
    const before = await readPartitionTable(disk)
    const grown = target > size ? resized(disk, target) : disk
    const steps = (await sizeOf(grown)).stepsTo(target)
    await writeTable(grown, steps)
    const after = resized(grown, target)
    const table = await readPartitionTable(after)
    expect(table).toMatchObject({ findings: [], partitions: before.partitions, diskId: before.diskId })
    // Nothing of the old backup is left, and doing it again does nothing.
    expect(count(after.content, 'EFI PART')).toBe(2)
    expect((await sizeOf(after)).stepsTo(target)).toEqual([])
    expect(after.content.readUInt32LE(0x1be + 12)).toBe(Math.floor(target / sectorSize) - 1)
    expect(steps.length).toBe(target === size + 1 ? 0 : target > size + sectorSize ? 4 : 3)
  })

  test.each([
    ['grown', MiB],
    ['grown by a sector', sectorSize],
    ['cut', -128 * sectorSize],
    ['cut by a sector', -sectorSize],
  ])('%s: a power cut anywhere leaves the same partitions', async (_, difference) => {
    const { disk } = await gptDisk(TWO, size, sectorSize)
    for (const damage of ['none', 'first', 'backup']) {
      const damaged = resized(disk, size)
      if (damage === 'first') damaged.content.fill(0xff, sectorSize + 20, sectorSize + 24)
      if (damage === 'backup') damaged.content.fill(0xff, size - sectorSize + 20, size - sectorSize + 24)
      // The backup is not found any more once it is not at the end: the table is made whole before.
      if (difference > 0) {
        const steps = (await sizeOf(damaged)).stepsTo(size)
        expect(steps).toHaveLength(damage === 'none' ? 0 : 1)
        await expectOnly(damaged, steps, [meaning(await readPartitionTable(damaged))])
        await writeTable(damaged, steps)
      }
      const start = resized(damaged, Math.max(size, size + difference))
      const steps = (await sizeOf(start)).stepsTo(size + difference)
      const table = meaning(await readPartitionTable(start))
      expect(await expectOnly(start, steps, [table])).toBe(10 * (steps.length + 1))
      await writeTable(start, steps)
      const end = await readPartitionTable(resized(start, size + difference))
      expect([meaning(end), codes(end)]).toEqual([table, []])
    }
  })

  test('other ids: a power cut anywhere leaves the old ones or the new ones', async () => {
    const { disk } = await gptDisk(TWO, size, sectorSize)
    const ids = { diskId: NEW_GUID, partitionGuids: new Map([[3, NEW_GUID.replace('a', 'b')]]) }
    for (const damage of ['none', 'first', 'backup']) {
      const start = resized(disk, size)
      if (damage === 'first') start.content.fill(0xff, 2 * sectorSize, 2 * sectorSize + 1)
      if (damage === 'backup') start.content.fill(0xff, size - sectorSize + 20, size - sectorSize + 24)
      const before = await readPartitionTable(start)
      const steps = await planTableIds(start, before, ids)
      const end = crashed(start, steps, steps.length, () => true)
      const after = await readPartitionTable(end)
      expect(after.findings).toEqual([])
      expect(after.diskId).toBe(NEW_GUID)
      expect(after.partitions.map(({ id }) => id)).toEqual([before.partitions[0]!.id, NEW_GUID.replace('a', 'b')])
      await expectOnly(start, steps, [meaning(before), meaning(after)])
      expect(await planTableIds(end, after, ids)).toEqual([])
    }
  })
})

test('tables of any shape: the same partitions, whatever is cut off', async () => {
  const random = new Random('tables of any shape')
  for (let round = 0; round < 40; round++) {
    const sectorSize = random.pick([512, 4096])
    const entryCount = random.pick([4, 128, 160])
    const entrySize = random.pick([128, 256])
    const size = (300 + random.below(300)) * sectorSize
    const partitions: Record<number, { firstLba: number; lastLba: number }> = {}
    for (let slot = 0, next = 100; slot < entryCount && next < 200; slot += 1 + random.below(2)) {
      const lastLba = next + random.below(20)
      partitions[slot] = { firstLba: next, lastLba }
      next = lastLba + 1 + random.below(30)
    }
    const { disk, places } = await gptDisk({ sectorSize, entryCount, entrySize, partitions }, size, sectorSize)
    const damaged = random.pick([undefined, places.primary + 40, places.backup + 40, places.backupEntries])
    if (damaged !== undefined) disk.content[damaged]! ^= 1
    const before = meaning(await readPartitionTable(disk))
    await writeTable(disk, (await sizeOf(disk)).stepsTo(size))
    expect(codes(await readPartitionTable(disk))).toEqual([])
    const { smallest } = await sizeOf(disk)
    const target = random.pick([smallest, smallest + random.below(400) * sectorSize])
    const start = resized(disk, Math.max(size, target))
    const steps = (await sizeOf(start)).stepsTo(target)
    await expectOnly(start, steps, [before], 4)
    await writeTable(start, steps)
    const after = await readPartitionTable(resized(start, target))
    expect([meaning(after), codes(after)]).toEqual([before, []])
  }
})

test('a disk that is too small for the partitions is refused, whatever there is to write', async () => {
  const { disk } = await gptDisk(TWO, 512 * 512)
  const { smallest, stepsTo } = await sizeOf(disk)
  expect(() => stepsTo(smallest - 512)).toThrow(
    expect.objectContaining({ code: 'GPT_DOES_NOT_FIT', details: { expected: smallest, actual: smallest - 512 } }),
  )
})

test('a first copy whose entries lay elsewhere is not made anew over what may be a partition', async () => {
  const { disk } = await gptDisk({ ...TWO, header: { firstUsableLba: 5 } }, 512 * 512)
  disk.content.fill(0, 512, 1024)
  const size = await sizeOf(disk)
  expect(() => size.stepsTo(2 * MiB)).toThrow(expect.objectContaining({ code: 'GPT_NO_ROOM' }))
})

test('the backup that two copies disagree on is made like the first', async () => {
  const { disk, places } = await gptDisk(TWO, 512 * 512)
  const [header, entries] = [Buffer.alloc(512), Buffer.alloc(places.entriesLength)]
  const other = await gptDisk({ partitions: { 0: { firstLba: 64, lastLba: 99 } } }, 512 * 512)
  await other.disk.read(places.backup, header)
  await other.disk.read(places.backupEntries, entries)
  await disk.write(places.backup, header)
  await disk.write(places.backupEntries, entries)
  const before = await readPartitionTable(disk)
  expect(codes(before)).toEqual(['GPT_COPIES_DIFFER'])
  await writeTable(disk, (await sizeOf(disk)).stepsTo(disk.size))
  expect(await readPartitionTable(disk)).toMatchObject({ findings: [], partitions: before.partitions })
})

test('an old backup inside a partition is left alone', async () => {
  const { disk } = await gptDisk({ partitions: { 0: { firstLba: 64, lastLba: 511 } } }, 512 * 512)
  const grown = resized(disk, 2 * MiB)
  await writeTable(grown, (await sizeOf(grown)).stepsTo(2 * MiB))
  expect(grown.content.subarray(511 * 512, 512 * 512)).toEqual(disk.content.subarray(511 * 512))
})

test.each([
  ['what Windows writes for every size', { mbr: [] }, 0xffff_ffff, 0xffff_ffff],
  ['the size of a hybrid MBR', { mbr: [{ type: 7, firstLba: 64, sectorCount: 64 }] }, 63, 63],
])('the protective entry keeps %s', async (_, plan, before, after) => {
  const { disk } = await gptDisk({ ...TWO, ...plan }, 512 * 512)
  disk.content.writeUInt32LE(before, 0x1be + 12)
  const grown = resized(disk, MiB)
  await writeTable(grown, (await sizeOf(grown)).stepsTo(MiB))
  expect(grown.content.readUInt32LE(0x1be + 12)).toBe(after)
})

describe('an MBR', () => {
  const disk = () => {
    const slots = [
      { type: 7, firstLba: 64, sectorCount: 64 },
      { type: 5, firstLba: 128, sectorCount: 100 },
    ]
    return new MemoryDevice(Buffer.concat([bootSectorOf(slots), Buffer.alloc(MiB - 512)]))
  }

  test('needs all up to the end of its last partition, be that a container', async () => {
    const size = await sizeOf(disk())
    expect(size).toMatchObject({ usedEnd: 228 * 512, smallest: 228 * 512 })
    expect(size.stepsTo(2 * MiB)).toEqual([])
  })

  test('gets another signature in one sector', async () => {
    const device = disk()
    const table = await readPartitionTable(device)
    const steps = await planTableIds(device, table, { diskId: 'deadbeef' })
    await writeTable(device, steps)
    expect(steps).toHaveLength(1)
    expect((await readPartitionTable(device)).diskId).toBe('deadbeef')
    expect(await planTableIds(device, table, { partitionGuids: new Map([[1, NEW_GUID]]) })).toEqual([])
  })

  test('a disk without a table needs nothing and has no ids', async () => {
    const device = new MemoryDevice(MiB)
    const size = await sizeOf(device)
    expect(size).toMatchObject({ usedEnd: 0, smallest: 0 })
    expect(size.stepsTo(MiB)).toEqual([])
    expect(await planTableIds(device, await readPartitionTable(device), { diskId: NEW_GUID })).toEqual([])
  })
})

/** How often `text` is in `content`. */
const count = (content: Buffer, text: string) => content.toString('latin1').split(text).length - 1

describe.each([512, 4096] as const)('ours, held against sgdisk and sfdisk: sectors of %i bytes', sectorSize => {
  testWith(['loop', 'sgdisk'], 'grown, cut, and with other ids', async () => {
    await using dir = await scratch()
    const path = dir.path('disk.raw')
    const partitions = [
      { type: 'ef00', size: 4 * MiB, name: 'EFI' },
      { type: '0700', size: 8 * MiB, name: 'Größe' },
    ]
    await buildDisk(path, { size: 64 * MiB, table: 'gpt', sectorSize, partitions })
    const dump = async () => {
      const { size } = await FileDevice.open(path).then(async file => {
        await file.close()
        return file
      })
      return withLoop({ path, sectorSize, offset: 0, length: size }, async device => ({
        verdict: (await run('sgdisk', ['-v', device])).stdout,
        dump: (await run('sfdisk', ['--dump', device])).stdout.replaceAll(device, 'disk'),
      }))
    }
    const change = async (plan: (disk: FileDevice, table: PartitionTable) => Promise<readonly TableStep[]>) => {
      await using file = await FileDevice.open(path, { mode: 'write', sectorSize })
      await writeTable(file, await plan(file, await readPartitionTable(file)))
    }
    const linesOf = (text: string, wanted: RegExp) => text.split('\n').filter(line => wanted.test(line))

    const original = (await dump()).dump
    await truncate(path, 100 * MiB)
    await change(async (disk, table) => (await readTableSize(disk, table)).stepsTo(disk.size))
    const grown = await dump()
    expect(grown.verdict).toContain('No problems found')
    expect(linesOf(grown.dump, /^disk/)).toEqual(linesOf(original, /^disk/))
    expect(grown.dump).toContain(`last-lba: ${(100 * MiB - 16_384) / sectorSize - 2}`)

    let smallest = 0
    await change(async (disk, table) => {
      const size = await readTableSize(disk, table)
      smallest = size.smallest
      return size.stepsTo(smallest)
    })
    await truncate(path, smallest)
    const cut = await dump()
    expect(cut.verdict).toContain('No problems found')
    expect(linesOf(cut.dump, /^disk/)).toEqual(linesOf(original, /^disk/))

    await change((disk, table) =>
      planTableIds(disk, table, { diskId: NEW_GUID, partitionGuids: new Map([[2, NEW_GUID]]) }),
    )
    const renamed = await dump()
    expect(renamed.verdict).toContain('No problems found')
    const [first, second] = linesOf(original, /^disk/)
    const renamedSecond = second!.replace(/uuid=[^,]+/, `uuid=${NEW_GUID.toUpperCase()}`)
    expect(linesOf(renamed.dump, /^disk/)).toEqual([first, renamedSecond])
    expect(linesOf(renamed.dump, /label-id/)).toEqual([`label-id: ${NEW_GUID.toUpperCase()}`])
  })
})
