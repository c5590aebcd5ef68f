/** Images in files: the undo file beside them, holes, and what stands in the way. */
import { existsSync } from 'node:fs'
import { open, readdir, readFile, rename, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { repairImage, undoRepair } from '../../lib/copy/repair.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { UndoFile } from '../../lib/undo/undo-file.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { run, type Tool, testWith } from '../helpers/tools.ts'
import { DIRTY_IMAGES } from '../vhdx/dirty-images.ts'
import { TestImage } from '../vhdx/test-image.ts'

const TOOL = { tool: { name: 'vhdx', version: '1.2.3' } }

/** An image of 8 blocks, of which 0, 3 and 7 are present, changed by `change`, as a file. */
async function imageIn(
  folder: Scratch,
  change: (image: TestImage) => void = () => {},
  name = 'image.vhdx',
): Promise<string> {
  const image = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
  change(image)
  await writeFile(folder.path(name), image.content)
  return folder.path(name)
}

const badHeader = (image: TestImage) => image.flip(0x10010)
const lostBlock = (image: TestImage) => image.setBat(3, 6, 5, 1)

test('a sound image is left alone', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder)
  const { mtimeMs } = await stat(path)
  expect(await repairImage(path, TOOL)).toMatchObject({
    outcome: 'sound',
    undo: null,
    steps: [],
    left: [],
    changedBytes: 0,
  })
  expect([(await stat(path)).mtimeMs, await readdir(folder.folder)]).toEqual([mtimeMs, ['image.vhdx']])
})

test('repaired, and made what it was', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, lostBlock)
  const before = await readFile(path)
  const report = await repairImage(path, TOOL)
  expect(report).toMatchObject({
    outcome: 'repaired',
    undo: `${path}-undo`,
    steps: [{ code: 'BAT_RESERVED_BITS', fate: 'dropped' }],
    lost: { bytes: MiB, ranges: [{ offset: 3 * MiB, length: MiB, fileOffset: 5 * MiB }] },
    left: [],
  })
  expect(report.changedBytes).toBeLessThan(40_000)
  expect((await repairImage(path, TOOL)).outcome).toBe('sound')
  expect(await undoRepair(path, TOOL)).toMatchObject({ changed: true, repaired: expect.stringMatching(/^20/) })
  expect((await readFile(path)).equals(before)).toBe(true)
  expect(await readdir(folder.folder)).toEqual(['image.vhdx'])
  await expect(undoRepair(path, TOOL)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('a dry run says the same and changes nothing', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, lostBlock)
  const before = await readFile(path)
  const planned = await repairImage(path, { ...TOOL, dryRun: true })
  expect([(await readFile(path)).equals(before), await readdir(folder.folder)]).toEqual([true, ['image.vhdx']])
  const done = await repairImage(path, TOOL)
  expect([planned.steps, planned.lost]).toEqual([done.steps, done.lost])
  expect([planned.outcome, planned.undo]).toEqual(['planned', null])
})

test('cut off after the undo file was written: the next one finishes it, with the same report', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, lostBlock)
  const before = await readFile(path)
  const done = await repairImage(path, TOOL)
  const after = await readFile(path)
  // Half of it: the BAT as before, the headers as after.
  before.copy(after, 3 * MiB, 3 * MiB, 4 * MiB)
  await writeFile(path, after)
  await expect(repairImage(path, { ...TOOL, dryRun: true })).rejects.toMatchObject({ code: 'REPAIR_UNFINISHED' })
  const finished = await repairImage(path, TOOL)
  expect(finished).toMatchObject({
    outcome: 'finished',
    steps: done.steps,
    lost: done.lost,
    undo: `${path}-undo`,
    left: [],
  })
  await undoRepair(path, TOOL)
  expect((await readFile(path)).equals(before)).toBe(true)
})

test('cut off while the undo file was written: it is written anew', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, badHeader)
  await repairImage(path, TOOL)
  const undo = await readFile(`${path}-undo`)
  const again = await imageIn(folder, badHeader)
  await writeFile(`${again}-undo`, undo.subarray(0, -1))
  expect((await repairImage(again, TOOL)).outcome).toBe('repaired')
  expect(await undoRepair(again, TOOL)).toMatchObject({ changed: true })
  await writeFile(`${again}-undo`, undo.subarray(0, 100))
  expect(await undoRepair(again, TOOL)).toEqual({ path: again, changed: false, repaired: null })
  expect(existsSync(`${again}-undo`)).toBe(false)
})

test('an image that was written to since is not made what it was', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, lostBlock)
  await repairImage(path, TOOL)
  await using disk = await VhdxDevice.openForWriting(await FileDevice.open(path, { mode: 'write' }))
  await disk.write(0, Buffer.alloc(512, 9))
  await disk.close()
  const after = await readFile(path)
  await expect(undoRepair(path, TOOL)).rejects.toMatchObject({ code: 'IMAGE_CHANGED' })
  expect((await readFile(path)).equals(after)).toBe(true)
  // Damaged again: what the first repair kept must not be lost.
  const file = await open(path, 'r+')
  await file.write(Buffer.from([1]), 0, 1, 0x10010)
  await file.close()
  await expect(repairImage(path, TOOL)).rejects.toMatchObject({ code: 'UNDO_EXISTS' })
  await rename(`${path}-undo`, `${path}-undo.1`)
  expect((await repairImage(path, TOOL)).outcome).toBe('repaired')
})

test('the undo file lies beside the image, whatever name leads to it', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, badHeader)
  await symlink(path, folder.path('link'))
  expect((await repairImage(folder.path('link'), TOOL)).undo).toBe(`${path}-undo`)
  expect(await undoRepair(path, TOOL)).toMatchObject({ changed: true })
})

test('a file with holes gets them filled, and nothing else', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder)
  const before = await readFile(path)
  await writeFile(path, '')
  await truncate(path, before.length)
  const file = await open(path, 'r+')
  for (const at of [0, 2 * MiB, 4 * MiB]) await file.write(before, at, MiB, at)
  for (const at of [3, 5, 6].map(n => n * MiB)) await file.write(before, at, MiB, at)
  await file.close()
  expect(await repairImage(path, TOOL)).toMatchObject({
    outcome: 'repaired',
    undo: null,
    steps: [{ code: 'FILE_SPARSE' }],
    left: [],
  })
  const { size, blocks } = await stat(path)
  expect([blocks * 512 >= size, (await readFile(path)).equals(before)]).toEqual([true, true])
})

test('stopped before anything was changed', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, badHeader)
  const signal = AbortSignal.abort(new Error('stopped'))
  await expect(repairImage(path, { ...TOOL, signal })).rejects.toThrow('stopped')
  expect(await readdir(folder.folder)).toEqual(['image.vhdx'])
})

test.each([
  ['an undo file that is none', 'something else', 'NO_UNDO_FILE'],
  ['a folder in its place', undefined, 'NOT_A_DISK'],
])('%s', async (_, content, code) => {
  await using folder = await scratch()
  const path = await imageIn(folder, badHeader)
  if (content === undefined) await run('mkdir', [`${path}-undo`])
  else await writeFile(`${path}-undo`, content)
  const before = await readFile(path)
  for (const attempt of [repairImage, undoRepair]) {
    const failure = await attempt(path, TOOL).catch(error => error)
    expect(failure).toBeInstanceOf(DiskImageError)
    expect(failure).toMatchObject({ code, message: expect.stringContaining(`${path}-undo`) })
  }
  expect((await readFile(path)).equals(before)).toBe(true)
})

test('the report in the undo file is checked before it is shown', async () => {
  await using folder = await scratch()
  const path = await imageIn(folder, badHeader)
  await repairImage(path, TOOL)
  await using device = await FileDevice.open(`${path}-undo`)
  const report = JSON.parse((await UndoFile.open(device))!.report.toString())
  expect(report).toMatchObject({
    format: 'vhdx-repair',
    formatVersion: 1,
    tool: TOOL.tool,
    steps: [{ code: 'HEADER_COPY_BAD' }],
  })
})

describe('other programs', () => {
  const succeeds = async (command: Tool, ...args: string[]) =>
    (await run(command, args, { exitCodes: Array.from({ length: 256 }, (_, n) => n) })).exitCode === 0

  /** What is wrong, and which of qemu-img, 7-Zip and vhdiinfo take the image as it is. */
  const DAMAGES: readonly (readonly [string, (image: TestImage) => void, readonly [boolean, boolean, boolean]])[] = [
    ['header 1', badHeader, [true, false, true]],
    ['region table 1', image => image.content.fill(1, 0x30018, 0x30019), [false, false, false]],
    ['region table 2', image => image.content.fill(1, 0x40018, 0x40019), [true, false, false]],
    ['a file that was cut', image => cut(image, 6 * MiB - 4096), [false, false, true]],
    ['two blocks in one place', image => image.setBat(1, 6, 5), [true, false, true]],
    ['a block on the BAT', image => image.setBat(1, 6, 3), [false, true, true]],
    ['a reserved bit', image => image.setBat(1, 0, 0, 1), [true, false, true]],
    [
      'a disk id that is missing',
      image => image.editItemEntry(4, { itemId: '788015f0-5e93-4bd2-a5de-b0cd8459db11', flags: 0 }),
      [false, true, true],
    ],
    ['a dirty log', image => DIRTY_IMAGES[0]!.make(image), [false, false, true]],
  ]

  const LOSING = ['a file that was cut', 'a block on the BAT', 'a reserved bit']

  function cut(image: TestImage, size: number): void {
    image.content = image.content.subarray(0, size)
  }

  testWith(['qemu-img', '7zz', 'vhdiinfo'], 'take what they refused before', async () => {
    for (const [name, change, takenBefore] of DAMAGES) {
      await using folder = await scratch()
      const path = await imageIn(folder, change)
      const answers = async () => [
        await succeeds('qemu-img', 'check', '-f', 'vhdx', path),
        await succeeds('7zz', 't', '-tVHDX', path),
        await succeeds('vhdiinfo', path),
      ]
      expect([name, ...(await answers())]).toEqual([name, ...takenBefore])
      await repairImage(path, TOOL)
      expect([name, ...(await answers())]).toEqual([name, true, true, true])
      // The same disk for qemu as for us, but for what is lost: qemu does not know of that.
      await run('qemu-img', ['convert', '-f', 'vhdx', '-O', 'raw', path, folder.path('disk.raw')])
      await using disk = await VhdxDevice.open(await FileDevice.open(path))
      const theirs = await readFile(folder.path('disk.raw'))
      const ours = Buffer.from(theirs)
      let lost = 0
      for (let offset = 0; offset < ours.length; offset += 4096) {
        await disk.read(offset, ours.subarray(offset, offset + 4096)).catch(error => {
          expect(error.code).toBe('LOST_IN_REPAIR')
          lost += 4096
        })
      }
      expect([name, lost > 0]).toEqual([name, LOSING.includes(name)])
      expect(theirs.equals(ours)).toBe(true)
    }
  })
})
