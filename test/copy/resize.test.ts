import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { GiB, MiB, TiB } from '../../lib/binary/size.ts'
import { captureDisk } from '../../lib/copy/capture.ts'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import {
  changeDiskSize,
  type NewSize,
  planDiskSize,
  type ResizeImageOptions,
  resizeImage,
} from '../../lib/copy/resize.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { readPartitionTable } from '../../lib/partition/partition-table.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { createVhdx } from '../../lib/vhdx/create.ts'
import { readSoundStructures } from '../../lib/vhdx/structures.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { vhdx } from '../helpers/cli.ts'
import { buildDisk, diskTools, fat, fillNtfs, hashNtfs, ntfs, writeFiles } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { afterAll, afterSome, RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { describeWith, run } from '../helpers/tools.ts'
import { bootSectorOf, type GptPlan, writeGpt } from '../partition/make-tables.ts'

const TABLE: GptPlan = {
  partitions: { 0: { firstLba: 2048, lastLba: 4095 }, 1: { firstLba: 4096, lastLba: 12_287, name: nameOf('Windows') } },
}
function nameOf(text: string): Buffer {
  const name = Buffer.alloc(72)
  name.write(text, 'utf16le')
  return name
}
const USED_END = 12_288 * 512
const SMALLEST = USED_END + 34 * 512

/** An image in a file, with what `write` puts on its disk. */
async function image(dir: Scratch, name: string, size: number, write: (disk: BlockDevice) => Promise<unknown>) {
  const path = dir.path(name)
  await createImage(path, { virtualSize: size })
  await using opened = await openDisk(path, { writable: true })
  await write(opened.disk)
  return path
}

const gptImage = (dir: Scratch, size = 16 * MiB) =>
  image(dir, 'gpt.vhdx', size, async disk => {
    await writeGpt(disk, TABLE)
    await disk.write(4096 * 512, pattern(MiB))
  })

/** Table and disk as they read now. The image has to be sound. */
async function look(path: string) {
  await using opened = await openDisk(path)
  const { problems } = await checkVhdx(opened.file)
  expect(problems.filter(({ code }) => code !== 'PARENT_NOT_OPENED')).toEqual([])
  return { size: opened.disk.size, table: await readPartitionTable(opened.disk) }
}

const resize = (path: string, size: NewSize, options?: ResizeImageOptions) => resizeImage(path, size, options)

test('a GPT disk that grows and shrinks takes its table with it', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  const { table } = await look(path)
  expect(await resize(path, { by: 10 * GiB })).toMatchObject({
    sizeBefore: 16 * MiB,
    size: 16 * MiB + 10 * GiB,
    usedEnd: USED_END,
    smallestSize: SMALLEST,
    partitionTable: 'gpt',
    tableMoves: true,
    batMoves: false,
    writtenBytes: 0,
    findings: [],
  })
  const large = await look(path)
  expect(large).toMatchObject({ size: 16 * MiB + 10 * GiB, table: { partitions: table.partitions, findings: [] } })
  expect(await resize(path, 'smallest')).toMatchObject({ size: SMALLEST, tableMoves: true })
  const small = await look(path)
  expect(small).toMatchObject({ size: SMALLEST, table: { partitions: table.partitions, findings: [] } })
  // Again: there is nothing to do, and nothing is written.
  const before = await readFile(path)
  expect(await resize(path, 'smallest')).toMatchObject({ size: SMALLEST, sizeBefore: SMALLEST, tableMoves: false })
  expect((await readFile(path)).equals(before)).toBe(true)
})

test('below the last partition is refused, with the figures, and a dry run changes nothing', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  const before = await readFile(path)
  expect(await resize(path, { to: SMALLEST - 512 }, { dryRun: true })).toMatchObject({ size: SMALLEST - 512 })
  await expect(resize(path, { to: SMALLEST - 1024 })).rejects.toMatchObject({
    code: 'BELOW_SMALLEST_SIZE',
    message: expect.stringContaining(
      'partition 2 (Windows, 4 MiB) ends at byte 6291456, and behind it the backup of the GPT',
    ),
    details: { smallest: SMALLEST, usedEnd: USED_END },
  })
  await expect(resize(path, { to: 100 })).rejects.toMatchObject({ code: 'BAD_VIRTUAL_SIZE' })
  const plan = await resize(path, { to: 200 * GiB }, { dryRun: true })
  expect(plan).toMatchObject({
    size: 200 * GiB,
    batMoves: true,
    tableMoves: true,
    dryRun: true,
    fileSize: before.length,
  })
  expect((await readFile(path)).equals(before)).toBe(true)
})

test('an image whose block table is broken is left as it is, its partition table too', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  const bytes = await readFile(path)
  // Blocks 0 and 1 in one place: whoever writes to one damages the other.
  const bat = await readSoundStructures(new MemoryDevice(bytes)).then(({ regionTables }) => regionTables.bat.offset)
  bytes.copy(bytes, bat + 8, bat, bat + 8)
  await writeFile(path, bytes)
  for (const size of ['smallest', { to: 32 * MiB }] as const)
    await expect(resize(path, size)).rejects.toMatchObject({ code: 'BAT_OVERLAP' })
  expect((await readFile(path)).equals(bytes)).toBe(true)
})

test('a first GPT that is damaged is made whole before the disk grows away from its backup', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  {
    await using opened = await openDisk(path, { writable: true })
    await opened.disk.zero(512, 512)
  }
  const { table } = await look(path)
  expect(table.findings.map(({ code }) => code)).toEqual(['GPT_PRIMARY_DAMAGED'])
  const { findings } = await resize(path, { by: 16 * MiB })
  expect(findings.map(({ code }) => code)).toEqual(['GPT_PRIMARY_DAMAGED'])
  expect((await look(path)).table).toMatchObject({ findings: [], partitions: table.partitions })
})

test('a disk that lost its end gets it back, and a table that fits', async () => {
  await using dir = await scratch()
  const path = await image(dir, 'cut.vhdx', 8 * MiB, async disk => {
    const whole = new SparseFile()
    whole.cut(16 * MiB)
    await writeGpt(whole, TABLE)
    await disk.write(0, whole.toBuffer().subarray(0, 8 * MiB))
  })
  await expect(resize(path, 'smallest')).rejects.toMatchObject({ code: 'DISK_TRUNCATED' })
  const { findings } = await resize(path, { to: 16 * MiB })
  expect(findings.map(({ code }) => code)).toContain('DISK_TRUNCATED')
  expect((await look(path)).table).toMatchObject({ findings: [], partitions: [{ number: 1 }, { number: 2 }] })
})

describe('disks without a GPT', () => {
  test('MBR: to the end of the last partition, and a word on what it does not reach', async () => {
    await using dir = await scratch()
    const mbr = bootSectorOf([{ type: 7, firstLba: 2048, sectorCount: 4096 }])
    const path = await image(dir, 'mbr.vhdx', 16 * MiB, disk => disk.write(0, mbr))
    expect(await resize(path, 'smallest')).toMatchObject({ size: 6144 * 512, partitionTable: 'mbr', tableMoves: false })
    const { findings } = await resize(path, { to: 3 * TiB }, { dryRun: true })
    expect(findings.map(({ code }) => code)).toEqual(['BEYOND_MBR'])
  })

  test('a member of a dynamic disk keeps its end', async () => {
    await using dir = await scratch()
    const mbr = bootSectorOf([{ type: 0x42, firstLba: 63, sectorCount: 4096 }])
    const path = await image(dir, 'ldm.vhdx', 16 * MiB, disk => disk.write(0, mbr))
    await expect(resize(path, { to: 15 * MiB })).rejects.toMatchObject({ message: expect.stringContaining('LDM') })
  })

  test('an empty disk has any size, also a fixed one, of which every byte is there', async () => {
    await using dir = await scratch()
    const path = dir.path('empty.vhdx')
    await createImage(path, { virtualSize: 8 * MiB, fixed: true })
    expect(await resize(path, { by: 5 * MiB })).toMatchObject({ writtenBytes: 5 * MiB, usedEnd: 0, smallestSize: 1024 })
    expect(await resize(path, { to: MiB })).toMatchObject({ size: MiB })
    expect((await look(path)).size).toBe(MiB)
  })

  test('what nobody here knows is not cut', async () => {
    await using dir = await scratch()
    const path = await image(dir, 'x.vhdx', 8 * MiB, disk => disk.write(MiB, Buffer.alloc(512, 7)))
    await expect(resize(path, { to: 4 * MiB })).rejects.toMatchObject({ details: { usedEnd: 8 * MiB } })
    expect(await resize(path, { to: 9 * MiB })).toMatchObject({ size: 9 * MiB })
  })
})

describe('parents and children', () => {
  test('a parent is refused without --force', async () => {
    await using dir = await scratch()
    const path = await gptImage(dir)
    await createChild(dir.path('child.vhdx'), path)
    await expect(resize(path, { by: MiB })).rejects.toMatchObject({ code: 'HAS_CHILDREN' })
    expect(await resize(path, { by: MiB }, { force: true })).toMatchObject({ size: 17 * MiB })
  })

  test('a child grows, with its table, and its parent stays as it is', async () => {
    await using dir = await scratch()
    const path = await gptImage(dir)
    const before = await readFile(path)
    const child = dir.path('child.vhdx')
    await createChild(child, path)
    await resize(child, { to: 40 * MiB })
    expect(await look(child)).toMatchObject({ size: 40 * MiB, table: { findings: [] } })
    await resize(child, 'smallest')
    expect((await look(child)).size).toBe(SMALLEST)
    // Its parent has more: that must not come into sight.
    await expect(resize(child, { to: 16 * MiB })).rejects.toMatchObject({ code: 'PARENT_IS_LARGER' })
    expect((await readFile(path)).equals(before)).toBe(true)
  })
})

test.each([
  ['made larger', { to: 20 * MiB }],
  ['made smaller', 'smallest'],
] as const)('%s, and the power is cut: partitions stay, and doing it again finishes it', async (name, newSize) => {
  const start = new SparseFile()
  await createVhdx(start, { virtualSize: 16 * MiB, blockSize: MiB })
  const made = await VhdxDevice.openForWriting(start)
  await writeGpt(made, TABLE)
  await made.write(USED_END - MiB, pattern(MiB))
  await made.close()
  const open = async (file: RecordingDevice | SparseFile) => ({
    path: 'image',
    file,
    disk: await VhdxDevice.open(file),
    parent: undefined,
  })
  const medium = new RecordingDevice(start.copy())
  const plan = await planDiskSize(await open(medium), newSize)
  await changeDiskSize(await open(medium), plan)
  const before = await readPartitionTable(await VhdxDevice.open(start))
  const random = new Random(name)
  for (let n = 0; n < medium.moments.length; n += 1 + random.below(4)) {
    const moment = medium.moments[n]!
    for (const file of [afterAll(moment), afterSome(moment, random)]) {
      const image = await open(file)
      const table = await readPartitionTable(image.disk)
      expect(table).toMatchObject({ partitions: before.partitions, diskId: before.diskId })
      expect([16 * MiB, plan.size]).toContain(image.disk.size)
      if (!random.onceIn(3)) continue
      await changeDiskSize(image, await planDiskSize(image, newSize))
      const { problems } = await checkVhdx(file)
      expect(problems).toEqual([])
      const disk = await VhdxDevice.open(file)
      expect(disk.size).toBe(plan.size)
      expect(await readPartitionTable(disk)).toMatchObject({ partitions: before.partitions, findings: [] })
      const content = Buffer.alloc(MiB)
      await disk.read(USED_END - MiB, content)
      expect(content.equals(pattern(MiB))).toBe(true)
    }
  }
})

describeWith([...diskTools, 'qemu-img', '7zz', 'sgdisk'], 'ours, judged by qemu, 7-Zip, sgdisk and ntfs-3g', () => {
  test('a captured disk grows and shrinks, and every file stays', async () => {
    await using dir = await scratch()
    const [raw, path] = [dir.path('disk.raw'), dir.path('disk.vhdx')]
    const places = await buildDisk(raw, {
      size: 100 * MiB,
      table: 'gpt',
      partitions: [
        { type: 'ef00', size: 34 * MiB, content: [fat({ bits: 32 })] },
        { type: '0700', size: 40 * MiB, content: [ntfs(), fillNtfs(writeFiles)] },
      ],
    })
    const files = await hashNtfs(places[1]!)
    await captureDisk({ source: raw, target: path, tool: { name: 'test', version: '1' } })
    for (const size of [{ by: 60 * MiB }, 'smallest', { to: 300 * GiB }, { to: 80 * MiB }] as const) {
      const report = await resize(path, size)
      await run('qemu-img', ['check', path])
      const info = JSON.parse((await run('qemu-img', ['info', '--output=json', path])).stdout)
      expect(info['virtual-size']).toBe(report.size)
      expect((await run('7zz', ['l', '-slt', path])).stdout).toContain(`\nSize = ${report.size}\n`)
      if (report.size > GiB) continue
      const copy = dir.path(`${report.size}.raw`)
      await run('qemu-img', ['convert', '-O', 'raw', path, copy])
      expect((await run('sgdisk', ['-v', copy])).stdout).toContain('No problems found')
      expect(await hashNtfs({ ...places[1]!, path: copy })).toEqual(files)
    }
  }, 120_000)

  test('a bare volume is cut to what it says it has', async () => {
    await using dir = await scratch()
    const [raw, path] = [dir.path('disk.raw'), dir.path('disk.vhdx')]
    for (const content of [ntfs(), fat({ bits: 16 })]) {
      const name = `${raw}-${content.length}-${Math.random()}`
      const places = await buildDisk(name, {
        size: 20 * MiB,
        table: 'none',
        partitions: [{ type: '', content: [content] }],
      })
      await run('truncate', ['-s', '50M', name])
      await run('qemu-img', ['convert', '-O', 'vhdx', '-o', 'block_size=1M', name, path])
      expect(await resize(path, 'smallest')).toMatchObject({ size: 20 * MiB, partitionTable: 'none' })
      expect(places[0]!.length).toBe(20 * MiB)
    }
  })
})

test('the command says what there is to say', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  const { stdout } = await vhdx(['resize', path, '--size', '+1GiB', '--dry-run'])
  expect(stdout).toContain('the disk would have 1.016 GiB')
  expect(stdout).toContain('the backup of the GPT would be at its end')
  expect(stdout).toContain(`${SMALLEST} bytes are the least`)
  const refused = await vhdx(['resize', path, '--size', '1MiB', '--json'])
  expect(refused.exitCode).toBe(1)
  expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'BELOW_SMALLEST_SIZE', details: { smallest: SMALLEST } })
  expect(await vhdx(['resize', path, '--size', '-1GiB'])).toMatchObject({ exitCode: 2 })
})
