/** Paths: how they are written, what is found by them, and how little is read for it. */
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { FileReference } from '../../lib/ntfs/format.ts'
import type { Mft } from '../../lib/ntfs/mft.ts'
import { NtfsFile } from '../../lib/ntfs/ntfs-file.ts'
import type { NtfsFiles } from '../../lib/ntfs/ntfs-files.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { collect } from '../helpers/collect.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { describeWith, testWith } from '../helpers/tools.ts'
import { attributePlace, recordOf, volumeBytes, volumeTools } from './volumes.ts'

const MiB = 1024 ** 2
const NAMES = 20_000

describeWith(volumeTools, 'a volume with a large directory', () => {
  let device: CountingDevice
  let files: NtfsFiles
  beforeAll(async () => {
    const bytes = await volumeBytes({ size: 48 * MiB }, async folder => {
      mkdirSync(join(folder, 'large'))
      for (let i = 0; i < NAMES; i++) closeSync(openSync(join(folder, 'large', `a file with the number ${i}`), 'w'))
      writeFileSync(join(folder, 'File'), 'one')
      writeFileSync(join(folder, 'file'), 'another')
    })
    device = new CountingDevice(new MemoryDevice(bytes, { readOnly: true }))
    files = await (await NtfsVolume.open(device)).openFiles()
  })

  test('opening it and looking a path up reads less than 1 MiB', async () => {
    await files.stat('/large/A FILE WITH THE NUMBER 12345')
    expect(device.bytesRead).toBeLessThan(MiB)
    device.reads.length = 0
    await files.stat('/large/a file with the number 1999')
    expect(device.bytesRead).toBeLessThan(64 * 1024)
    // Reading all of the directory would take more than that.
    device.reads.length = 0
    expect((await collect(files.list(await files.stat('/large')))).length).toBe(NAMES)
    expect(device.bytesRead).toBeGreaterThan(2 * MiB)
    expect(device.reads.length).toBeLessThan(NAMES / 10)
  })

  test('a scan reads $MFT once, in order', async () => {
    device.reads.length = 0
    expect((await collect(files.scan())).flat().length).toBe(NAMES + 3)
    expect(device.bytesRead).toBeLessThan(1.1 * 1024 * NAMES + MiB)
    expect(device.reads.length).toBeLessThan(100)
  })

  test('what is below a small directory is found without reading all of $MFT', async () => {
    const file = await files.stat('/file')
    device.reads.length = 0
    await expect(collect(files.scan(file))).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
    expect(device.bytesRead).toBeLessThan(64 * 1024)
  })

  test('the exact case is preferred, another is found', async () => {
    expect((await files.open(await files.stat('File'))).size).toBe(3)
    expect((await files.open(await files.stat('file'))).size).toBe(7)
    expect((await files.stat('FILE')).name.toLowerCase()).toBe('file')
  })

  test('separators and dots', async () => {
    const path = '/large/a file with the number 1'
    for (const same of [
      'large/a file with the number 1',
      '//large/./a file with the number 1/',
      '\\large\\a file with the number 1',
    ]) {
      expect((await files.stat(same)).path).toBe(path)
    }
    for (const root of ['/', '', '\\', '.']) {
      expect(await files.stat(root)).toMatchObject({
        path: '/',
        name: '',
        kind: 'directory',
        isSystem: false,
        record: 5,
      })
    }
  })

  test('what is not there is named, with the part of the path that is', async () => {
    await expect(files.stat('/large/nothing/deeper')).rejects.toThrow("there is no 'nothing' in /large")
    await expect(files.stat('/large/a file with the number 1/x')).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
    const directory = await files.stat('/large')
    await expect(files.open(directory)).rejects.toMatchObject({ code: 'NOT_A_FILE' })
    await expect(files.open(await files.stat('/file'), 'none')).rejects.toMatchObject({ code: 'NO_SUCH_STREAM' })
  })

  test('files of NTFS itself are there when asked for', async () => {
    const names = async (system: boolean) =>
      (await collect(files.list(await files.stat('/'), { system }))).map(({ name }) => name)
    expect((await names(false)).filter(name => name.startsWith('$'))).toEqual([])
    expect(await names(true)).toEqual(expect.arrayContaining(['$MFT', '$Secure', '$Extend', '$UpCase']))
    const extend = await files.stat('/$Extend')
    expect(extend.isSystem).toBe(true)
    expect((await collect(files.list(extend))).map(({ path }) => path)).toContain('/$Extend/$ObjId')
    const upcase = await files.open(await files.stat('/$UpCase'))
    expect(upcase.size).toBe(128 * 1024)
  })

  test('what the capture left out is an error by name', async () => {
    const { record } = await files.stat('/file')
    const leftOut = { path: '\\file', reason: 'excluded', bytes: 0, clusters: 0 } as const
    for (const known of [leftOut, { ...leftOut, record }]) {
      const opened = await (await NtfsVolume.open(device)).openFiles({ leftOut: [known] })
      const entry = await opened.stat('/file')
      expect(entry.error).toMatchObject({ code: 'LEFT_OUT' })
      await expect(opened.open(entry)).rejects.toMatchObject({ code: 'LEFT_OUT' })
      expect((await opened.stat('/File')).error).toBeUndefined()
    }
  })
})

testWith(volumeTools, 'in a directory that tells case apart, another case is not found', async () => {
  const bytes = await volumeBytes({}, async folder => {
    mkdirSync(join(folder, 'told apart'))
    for (const name of ['Makefile', 'makefile']) writeFileSync(join(folder, 'told apart', name), name)
  })
  const open = async () => (await NtfsVolume.open(new MemoryDevice(bytes, { readOnly: true }))).openFiles()
  expect((await (await open()).stat('/told apart/MAKEFILE')).name.toLowerCase()).toBe('makefile')
  // As fsutil file setCaseSensitiveInfo does: the version of $STANDARD_INFORMATION.
  bytes.writeUInt32LE(1, attributePlace(bytes, recordOf(bytes, 'told apart'), 0x10) + 0x18 + 0x28)
  const files = await open()
  await expect(files.stat('/told apart/MAKEFILE')).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
  for (const name of ['Makefile', 'makefile']) expect((await files.stat(`/told apart/${name}`)).name).toBe(name)
  expect((await files.stat('/TOLD APART/makefile')).name).toBe('makefile')
})

test('an attribute list that names more records than any file needs is refused before they are read', async () => {
  const entry = Buffer.alloc(32)
  entry.writeUInt32LE(0x80, 0)
  entry.writeUInt16LE(32, 4)
  const value = Buffer.concat(Array.from({ length: 1025 }, () => Buffer.from(entry)))
  for (let i = 0; i < 1025; i++) value.writeUInt32LE(100 + i, i * 32 + 0x10)
  const list = { type: 0x20, name: '', flags: 0, position: 0x1000, resident: true, value } as const
  let asked = 0
  const record = async ({ record: number }: FileReference) => {
    asked++
    return { number, attributes: number === 50 ? [list] : [], base: number === 50 ? undefined : { record: 50 } }
  }
  const openWith = (recordSize: number) =>
    NtfsFile.open({ geometry: { recordSize }, record } as unknown as Mft, { record: 50, sequence: 0 })
  await expect(openWith(64 * 1024)).rejects.toThrow(
    'NTFS attribute list at byte 0x1000 is one that names 1025, expected one of attributes in at most 1024 records',
  )
  expect(asked).toBe(1)
  expect((await openWith(4096)).records.length).toBe(1026)
})
