/** Images that are read as far as they can be, and what is said of the rest. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { RescuingReader } from '../../lib/copy/rescuing-reader.ts'
import { salvageFile, salvageImage } from '../../lib/copy/salvage.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { IS_USER } from '../../lib/vhdx/format.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { collect } from '../helpers/collect.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'
import { locatorOf, makeLayer } from '../vhdx/differencing-image.ts'
import { BAT_AT, METADATA_AT, TestImage } from '../vhdx/test-image.ts'

const SIZE = 8 * MiB
const ITEM = '11112222-3333-4444-5555-666677778888'

const damaged = async (change: (image: TestImage) => void) => {
  const image = await TestImage.make({ virtualSize: SIZE, blockSize: MiB }, [0, 3, 7])
  change(image)
  return image.content
}

/** The image at `path`, of which nothing can be read but what is not lost. */
async function contentOf(path: string) {
  await using disk = await VhdxDevice.open(await FileDevice.open(path))
  const reader = new RescuingReader(disk)
  const bytes = Buffer.alloc(SIZE)
  await reader.readRanges([{ offset: 0, length: SIZE }], bytes, 0)
  return {
    bytes,
    lost: reader.errors.ranges,
    findings: disk.findings.map(({ code }) => code),
    states: await collect(disk.blockStates()),
  }
}

const holds = (bytes: Buffer, { offset, length }: Range) =>
  bytes.subarray(offset, offset + length).equals(pattern(length, offset))

/** `content` on a medium with bad sectors. */
const onBadMedium = (content: Buffer, ...unreadable: Range[]) => ({
  path: 'bad.vhdx',
  device: new FaultyDevice(new MemoryDevice(content, { readOnly: true }), { unreadable }),
  identity: 'bad',
  modified: undefined,
})

test('what is lost is an error in the new image, and undefined; the old one is only read', async () => {
  await using folder = await scratch()
  const content = await damaged(image => {
    image.setBat(3, 6, 5, 1)
    image.addItem(ITEM, Buffer.from('mine'), IS_USER)
  })
  const [path, target] = [folder.path('old.vhdx'), folder.path('new.vhdx')]
  await writeFile(path, content)
  const report = await salvageImage(path, { target })
  expect(report).toMatchObject({
    outcome: 'salvaged',
    steps: [{ code: 'BAT_RESERVED_BITS' }],
    lost: { bytes: MiB, ranges: [{ offset: 3 * MiB, length: MiB, fileOffset: 5 * MiB }] },
    unread: { bytes: 0 },
    bytesRead: 2 * MiB,
  })
  expect((await readFile(path)).equals(content)).toBe(true)
  const { bytes, lost, findings, states } = await contentOf(target)
  expect([lost, findings]).toEqual([[{ offset: 3 * MiB, length: MiB }], ['LOST_IN_REPAIR']])
  expect([0, 7].map(block => holds(bytes, { offset: block * MiB, length: MiB }))).toEqual([true, true])
  expect(states.filter(({ state }) => state === 'undefined')).toEqual([{ block: 3, count: 1, state: 'undefined' }])
  await using device = await FileDevice.open(target)
  expect((await checkVhdx(device)).problems).toEqual([])
  const opened = await VhdxDevice.open(device)
  expect((await opened.userMetadata(ITEM))?.toString()).toBe('mine')
  await expect(opened.read(4 * MiB - 1, Buffer.alloc(1))).rejects.toMatchObject({
    code: 'LOST_IN_REPAIR',
    name: 'StorageError',
  })
})

test('once more: what was lost the first time is lost still', async () => {
  await using folder = await scratch()
  await writeFile(folder.path('old.vhdx'), await damaged(image => image.setBat(3, 6, 5, 1)))
  await salvageImage(folder.path('old.vhdx'), { target: folder.path('new.vhdx') })
  const report = await salvageImage(folder.path('new.vhdx'), { target: folder.path('newer.vhdx') })
  expect(report).toMatchObject({
    steps: [],
    lost: { bytes: 0 },
    unread: { bytes: MiB, ranges: [{ offset: 3 * MiB, length: MiB }] },
  })
  expect((await contentOf(folder.path('newer.vhdx'))).lost).toEqual([{ offset: 3 * MiB, length: MiB }])
})

test('what is written to a lost block is there; the rest of the lost is lost', async () => {
  await using folder = await scratch()
  const target = folder.path('new.vhdx')
  await writeFile(folder.path('old.vhdx'), await damaged(image => [3, 4].map(block => image.setBat(block, 5))))
  await salvageImage(folder.path('old.vhdx'), { target })
  const disk = await VhdxDevice.openForWriting(await FileDevice.open(target, { mode: 'write' }))
  expect(disk.findings.map(({ code }) => code)).toEqual(['LOST_IN_REPAIR'])
  await disk.write(3 * MiB, pattern(MiB, 3 * MiB))
  await disk.close()
  const { bytes, lost } = await contentOf(target)
  expect([lost, holds(bytes, { offset: 3 * MiB, length: MiB })]).toEqual([[{ offset: 4 * MiB, length: MiB }], true])
})

test('bad sectors under payload: those and no others', async () => {
  await using folder = await scratch()
  const target = folder.path('new.vhdx')
  const bad = onBadMedium(await damaged(() => {}), { offset: 5 * MiB + 1024, length: 512 })
  const report = await salvageFile(bad, { target })
  expect(report).toMatchObject({
    steps: [],
    lost: { bytes: 0 },
    unread: { bytes: 512, ranges: [{ offset: 3 * MiB + 1024, length: 512 }] },
  })
  const { bytes, lost } = await contentOf(target)
  expect(lost).toEqual([{ offset: 3 * MiB + 1024, length: 512 }])
  expect(holds(bytes, { offset: 3 * MiB + 1536, length: MiB - 1536 })).toBe(true)
})

test('bad sectors under one header, one region table and a part of the BAT', async () => {
  await using folder = await scratch()
  const target = folder.path('new.vhdx')
  const image = await TestImage.make({ virtualSize: 2000 * MiB, blockSize: MiB }, [0, 3, 600])
  const places = [0x10000, 0x30000, BAT_AT + 4096]
  const bad = onBadMedium(image.content, ...places.map(offset => ({ offset, length: 512 })))
  const report = await salvageFile(bad, { target })
  expect(report.steps.map(({ code }) => code).sort()).toEqual([
    'BAT_RESERVED_BITS',
    'FILE_TRAILING_SPACE',
    'HEADER_COPY_BAD',
    'REGION_TABLE_COPY_BAD',
  ])
  expect(report.findings.map(({ code }) => code)).toEqual(['UNREADABLE_STRUCTURES'])
  // 512 entries of 8 bytes are on the 4 KiB that cannot be read.
  expect(report.lost).toMatchObject({ bytes: 512 * MiB, ranges: [{ offset: 512 * MiB, length: 512 * MiB }] })
  const { bytes } = await contentOf(target)
  expect([0, 3].map(block => holds(bytes, { offset: block * MiB, length: MiB }))).toEqual([true, true])
})

test('bad sectors under the metadata: refused', async () => {
  await using folder = await scratch()
  const target = folder.path('new.vhdx')
  const bad = onBadMedium(await damaged(() => {}), { offset: METADATA_AT, length: 512 })
  await expect(salvageFile(bad, { target })).rejects.toMatchObject({ code: 'METADATA_SIGNATURE' })
  expect(existsSync(target)).toBe(false)
})

test('a child, with what its parent holds; without its parent it is refused', async () => {
  await using folder = await scratch()
  const options = { virtualSize: SIZE, blockSize: MiB }
  const base = new MemoryDevice(0, { growable: true })
  await makeLayer(base, {
    ...options,
    seed: 1000,
    blocks: new Map([[1, { state: 6, written: [{ offset: MiB, length: MiB }] }]]),
  })
  const blocks = new Map([
    [1, { state: 7, written: [{ offset: MiB, length: 4096 }] }],
    [2, { state: 6, written: [{ offset: 2 * MiB, length: MiB }] }],
    [3, { state: 6, written: [{ offset: 3 * MiB, length: MiB }] }],
  ])
  const file = new MemoryDevice(0, { growable: true })
  await makeLayer(file, { ...options, blocks, locator: await locatorOf(base, { relative_path: '.\\base.vhdx' }) })
  const child = new TestImage(file.content)
  child.setBat(3, 4)
  await writeFile(folder.path('child.avhdx'), child.content)
  const target = folder.path('new.vhdx')
  await expect(salvageImage(folder.path('child.avhdx'), { target })).rejects.toMatchObject({ code: 'PARENT_NOT_FOUND' })
  await writeFile(folder.path('base.vhdx'), base.content)
  const report = await salvageImage(folder.path('child.avhdx'), { target })
  expect(report).toMatchObject({ lost: { bytes: MiB, ranges: [{ offset: 3 * MiB, reason: 'BAT_STATE' }] } })
  const { bytes, lost } = await contentOf(target)
  expect(lost).toEqual([{ offset: 3 * MiB, length: MiB }])
  expect([holds(bytes, { offset: MiB, length: 4096 }), holds(bytes, { offset: 2 * MiB, length: MiB })]).toEqual([
    true,
    true,
  ])
  expect(bytes.subarray(MiB + 4096, 2 * MiB).equals(pattern(MiB - 4096, MiB + 4096 + 1000))).toBe(true)
})

test('a dry run says what would be lost, and writes nothing', async () => {
  await using folder = await scratch()
  await writeFile(folder.path('old.vhdx'), await damaged(image => image.setBat(3, 4)))
  const report = await salvageImage(folder.path('old.vhdx'), { target: folder.path('new.vhdx'), dryRun: true })
  expect(report).toMatchObject({ outcome: 'planned', lost: { bytes: MiB }, bytesWritten: 6 * MiB })
  expect(existsSync(folder.path('new.vhdx'))).toBe(false)
})

test('what is there is replaced only by force, and never what is read', async () => {
  await using folder = await scratch()
  const [path, target] = [folder.path('old.vhdx'), folder.path('new.vhdx')]
  await writeFile(path, await damaged(() => {}))
  await writeFile(target, 'precious')
  await expect(salvageImage(path, { target })).rejects.toMatchObject({ code: 'TARGET_EXISTS' })
  await expect(salvageImage(path, { target: path, force: true })).rejects.toMatchObject({ code: 'SAME_FILE' })
  expect((await salvageImage(path, { target, force: true })).outcome).toBe('salvaged')
})

testWith(['qemu-img', '7zz', 'vhdiinfo'], 'other programs read what was salvaged', async () => {
  await using folder = await scratch()
  const [path, target] = [folder.path('old.vhdx'), folder.path('new.vhdx')]
  await writeFile(path, (await damaged(image => image.setBat(3, 6, 5, 1))).subarray(0, 6 * MiB + 4096))
  await salvageImage(path, { target })
  await run('qemu-img', ['check', '-f', 'vhdx', target])
  await run('7zz', ['t', '-tVHDX', target])
  await run('vhdiinfo', [target])
  await run('qemu-img', ['convert', '-f', 'vhdx', '-O', 'raw', target, folder.path('disk.raw')])
  const raw = await readFile(folder.path('disk.raw'))
  expect([holds(raw, { offset: 0, length: MiB }), holds(raw, { offset: 7 * MiB, length: 4096 })]).toEqual([true, true])
})
