/** Which volume of an image is taken, and what is said of it. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openFiles } from '../../lib/extract/open-files.ts'
import { buildDisk, exfat, fat, type PlannedPartition, putBytes } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { describeWith } from '../helpers/tools.ts'

const MiB = 1024 ** 2

const windows = { 'Windows/System32/a.dll': 'x' }
const small = (files = {}): PlannedPartition => ({
  size: 8 * MiB,
  type: '0700',
  content: [fat({ bits: 12, label: 'SMALL', files })],
})
const large = (files = {}): PlannedPartition => ({
  size: 16 * MiB,
  type: '0700',
  content: [fat({ bits: 16, label: 'LARGE', files })],
})
const unknown: PlannedPartition = { size: 4 * MiB, type: '8300' }
const linux: PlannedPartition = {
  size: 4 * MiB,
  type: '8300',
  content: [putBytes(1024 + 56, Buffer.from([0x53, 0xef]))],
}
/** Recognised by its boot sector, and then not to be read. */
const damaged: PlannedPartition = {
  size: 8 * MiB,
  type: '0700',
  content: [exfat(), putBytes(80, Buffer.alloc(8, 0xff)), putBytes(12 * 512 + 80, Buffer.alloc(8, 0xff))],
}

describeWith(['loop', 'sgdisk', 'mkfs.fat', 'mcopy', 'mkfs.exfat'], 'the volume that is taken', () => {
  let folder: Scratch
  beforeAll(async () => {
    folder = await scratch()
  })
  afterAll(() => folder[Symbol.asyncDispose]())
  let disks = 0
  async function disk(...partitions: PlannedPartition[]): Promise<string> {
    const path = folder.path(`${disks++}.raw`)
    await buildDisk(path, { size: 64 * MiB, table: 'gpt', partitions })
    return path
  }
  async function taken(path: string, partition?: number) {
    await using opened = await openFiles(path, { partition })
    const { notes, findings } = opened
    return { number: opened.partition.number, notes, codes: findings.map(({ code }) => code) }
  }

  test('is the one with \\Windows, though another is larger', async () => {
    const { number, notes } = await taken(await disk(small(), small(windows), large()))
    expect(number).toBe(2)
    expect(notes).toEqual(['taking partition 2 (FAT12 "SMALL", 8 MiB): it has \\Windows; --partition takes another'])
  })

  test('is else the largest that can be read', async () => {
    const { number, notes } = await taken(await disk(small(), large(), small(), unknown))
    expect(number).toBe(2)
    expect(notes[0]).toContain('the largest of those that can be read')
  })

  test('is the only one that can be read', async () => {
    expect((await taken(await disk(unknown, small(), linux))).notes[0]).toContain(
      'the only one whose files can be read',
    )
  })

  test('is the one that was asked for, without a word', async () => {
    const path = await disk(small(windows), large())
    expect(await taken(path, 2)).toEqual({ number: 2, notes: [], codes: [] })
    await expect(taken(path, 3)).rejects.toMatchObject({
      code: 'NO_SUCH_PARTITION',
      message: 'the disk has no partition 3. It has: 1 (Microsoft basic data, 8 MiB), 2 (Microsoft basic data, 16 MiB)',
    })
  })

  test('is none that is damaged, which is said; unless it was asked for, or there is no other', async () => {
    const path = await disk(damaged, small())
    expect(await taken(path)).toMatchObject({ number: 2, codes: ['VOLUME_PASSED_OVER'] })
    await expect(taken(path, 1)).rejects.toThrow(/^partition 1: .*It has: 1 \(/s)
    await expect(taken(await disk(damaged, linux))).rejects.toMatchObject({
      name: 'FormatError',
      code: 'NO_READABLE_VOLUME',
    })
  })

  test('is none, and each is named', async () => {
    const refused = taken(await disk(unknown, linux))
    await expect(refused).rejects.toMatchObject({ name: 'UnsupportedError', code: 'NO_READABLE_VOLUME' })
    await expect(refused).rejects.toThrow(/ 1 \(Linux file system, 4 MiB\): .*; 2 \(.*ext/s)
  })

  test('is the disk itself where there is no table', async () => {
    const path = folder.path('bare.raw')
    await buildDisk(path, { size: 8 * MiB, table: 'none', partitions: [small()] })
    expect(await taken(path)).toMatchObject({ number: 1, notes: [] })
  })

  test('is one of an image inside the image, and that inside another', async () => {
    const innermost = folder.path('innermost.raw')
    await buildDisk(innermost, {
      size: 2 * MiB,
      table: 'none',
      partitions: [{ type: '', size: 2 * MiB, content: [fat({ bits: 12, files: { 'deep.txt': 'deep' } })] }],
    })
    const inner = folder.path('inner.raw')
    await buildDisk(inner, {
      size: 8 * MiB,
      table: 'none',
      partitions: [{ ...small({ 'in/deep.img': await readFile(innermost) }) }],
    })
    const outer = await disk(small(windows), {
      size: 24 * MiB,
      type: '0700',
      content: [fat({ bits: 16, files: { 'inner.img': await readFile(inner) } })],
    })
    await using opened = await openFiles(outer, { inside: ['2:/inner.img', '/in/deep.img'] })
    expect((await opened.files.stat('/deep.txt')).size).toBe(4)
    await expect(openFiles(outer, { inside: ['/inner.img'] })).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
  })
})
