import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { GiB, MiB, TiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { BAT_ENTRY_SIZE, FULLY_PRESENT, PARTIALLY_PRESENT, ZERO } from '../../lib/vhdx/format.ts'
import { payloadEntryIndex } from '../../lib/vhdx/layout.ts'
import { replayLogOnDisk } from '../../lib/vhdx/log-recovery.ts'
import { resizeVhdx } from '../../lib/vhdx/resize.ts'
import { readSoundStructures } from '../../lib/vhdx/structures.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { afterAll, afterSome, RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { run, testWith } from '../helpers/tools.ts'
import { type Layer, type LayerBlock, locatorOf, makeLayer } from './differencing-image.ts'

const KIB4 = 4096

/** A layer's file. */
async function fileOf(layer: Layer): Promise<SparseFile> {
  const file = new SparseFile()
  await makeLayer(file, layer)
  return file
}

async function readAll(file: BlockDevice, parent?: BlockDevice): Promise<Buffer> {
  const disk = await VhdxDevice.open(file, { parent })
  const content = Buffer.alloc(disk.size)
  await disk.read(0, content)
  return content
}

/** `disk` cut to `size`, or with zeros behind it. */
const resized = (disk: Buffer, size: number) => Buffer.concat([disk.subarray(0, size)], size)

/** Fails unless the image is without any fault. */
async function expectSound(file: BlockDevice): Promise<void> {
  const { problems } = await checkVhdx(file)
  expect(problems.filter(({ code }) => code !== 'PARENT_NOT_OPENED')).toEqual([])
}

/** The entries of the BAT that are not zero, by their numbers: all that its region has. */
async function usedEntries(file: BlockDevice): Promise<number[]> {
  const { regionTables } = await readSoundStructures(file)
  const region = Buffer.alloc(regionTables.bat.length)
  await file.read(regionTables.bat.offset, region)
  return Array.from({ length: region.length / BAT_ENTRY_SIZE }, (_, index) => index).filter(
    index => region.readBigUInt64LE(index * BAT_ENTRY_SIZE) !== 0n,
  )
}

const whole = (block: number, end: number): LayerBlock => ({
  state: FULLY_PRESENT,
  written: [{ offset: block * MiB, length: Math.min(MiB, end - block * MiB) }],
})
const blocksOf = (size: number, numbers: readonly number[]) =>
  new Map(numbers.map(block => [block, whole(block, size)]))

const SIZE = 3 * MiB + 24 * KIB4

const KINDS: readonly (readonly [string, Partial<Layer>])[] = [
  ['dynamic', { blocks: blocksOf(SIZE, [3, 0]) }],
  ['dynamic, 4096', { logicalSectorSize: 4096, blocks: blocksOf(SIZE, [1, 3]) }],
  ['fixed', { fixed: true, blocks: blocksOf(SIZE, [0, 1, 2, 3]) }],
]

describe.each(KINDS)('%s', (_, plan) => {
  const layer = { virtualSize: SIZE, blockSize: MiB, blocks: new Map(), ...plan } as Layer

  test.each([
    ['within its last block', SIZE + 2 * KIB4],
    ['to the end of its last block', 4 * MiB],
    ['by blocks', 9 * MiB + KIB4],
    ['cut within its last block', SIZE - 2 * KIB4],
    ['cut to whole blocks', 2 * MiB],
    ['cut to a part of its first block', KIB4],
    ['as it is', SIZE],
  ])('%s', async (_, size) => {
    const file = await fileOf(layer)
    const before = await readAll(file)
    const { length } = file.toBuffer()
    await resizeVhdx(file, size)
    await expectSound(file)
    expect((await readAll(file)).equals(resized(before, size))).toBe(true)
    const { geometry } = await readSoundStructures(file)
    expect(await usedEntries(file)).toSatisfy((used: number[]) => used.every(index => index < geometry.batEntryCount))
    if (layer.fixed) expect(await usedEntries(file)).toHaveLength(geometry.blockCount)
    if (size <= 2 * MiB && layer.fixed) expect(file.size).toBeLessThan(length)
  })

  test('cut and made larger again: nothing of what was there comes back', async () => {
    const file = await fileOf(layer)
    const before = await readAll(file)
    await resizeVhdx(file, MiB + 3 * KIB4)
    await resizeVhdx(file, 8 * MiB)
    await expectSound(file)
    expect((await readAll(file)).equals(resized(before.subarray(0, MiB + 3 * KIB4), 8 * MiB))).toBe(true)
  })

  test('it can be written from end to end afterwards', async () => {
    const file = await fileOf(layer)
    await resizeVhdx(file, 6 * MiB)
    const disk = await VhdxDevice.openForWriting(file)
    await disk.write(0, pattern(6 * MiB))
    await disk.close()
    await expectSound(file)
    expect((await readAll(file)).equals(pattern(6 * MiB))).toBe(true)
  })
})

describe('the power is cut', () => {
  test.each([
    ...KINDS.flatMap(([name, plan]) => [
      [`${name}, made larger`, plan, SIZE, 7 * MiB] as const,
      [`${name}, cut`, plan, SIZE, MiB + KIB4] as const,
    ]),
    // Blocks so small for the disk that 8 MiB more need another MiB of BAT.
    ['the BAT moves', { blocks: new Map() }, 127 * GiB + 1016 * MiB, 128 * GiB] as const,
    ['the BAT moves, with blocks', { blocks: blocksOf(GiB, [0, 5]) }, 127 * GiB + 1016 * MiB, 128 * GiB] as const,
  ])('%s: the disk has the one size or the other, and all it had', async (name, plan, virtualSize, size) => {
    const start = await fileOf({ virtualSize, blockSize: MiB, ...plan } as Layer)
    const medium = new RecordingDevice(start.copy())
    await resizeVhdx(medium, size)
    const head = async (file: BlockDevice) => {
      const disk = await VhdxDevice.open(file)
      const content = Buffer.alloc(Math.min(8 * MiB, disk.size))
      await disk.read(0, content)
      return { size: disk.size, content }
    }
    const before = await head(start)
    const random = new Random(name)
    const sizes = new Set<number>()
    const [every, trials] = [Math.ceil(medium.moments.length / 20), 2]
    for (let n = 0; n < medium.moments.length; n += 1 + random.below(every)) {
      const moment = medium.moments[n]!
      const files = [afterAll(moment), ...Array.from({ length: trials }, () => afterSome(moment, random))]
      for (const file of files) {
        await replayLogOnDisk(file)
        await expectSoundBut(file)
        const after = await head(file)
        expect([virtualSize, size]).toContain(after.size)
        expect(after.content.equals(resized(before.content, after.content.length))).toBe(true)
        sizes.add(after.size)
        // Again, to its end.
        if (!random.onceIn(4)) continue
        await resizeVhdx(file, size)
        await expectSound(file)
        expect((await head(file)).content.equals(resized(before.content, Math.min(size, 8 * MiB)))).toBe(true)
      }
    }
    expect(sizes.size).toBe(2)
  })
})

/** As `expectSound`, but for what a power cut may leave: a header, or the end of the file. */
async function expectSoundBut(file: BlockDevice): Promise<void> {
  const { problems } = await checkVhdx(file)
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
}

describe('a BAT that has to move', () => {
  const size = 127 * GiB + 1016 * MiB

  test('its new region takes it over, the old one is free, other regions and items stay', async () => {
    const file = await fileOf({ virtualSize: size, blockSize: MiB, blocks: blocksOf(size, [7, 100_000]) })
    const before = await readSoundStructures(file)
    await resizeVhdx(file, 300 * GiB)
    await expectSound(file)
    const after = await readSoundStructures(file)
    expect(after.geometry.virtualSize).toBe(300 * GiB)
    expect(after.regionTables.bat.length).toBe(3 * MiB)
    expect(after.regionTables.bat.offset).not.toBe(before.regionTables.bat.offset)
    expect(after.regionTables.metadata).toMatchObject({ offset: before.regionTables.metadata.offset, length: MiB })
    expect(after.metadataRegion.items.map(({ itemId }) => itemId)).toEqual(
      before.metadataRegion.items.map(({ itemId }) => itemId),
    )
    const disk = await VhdxDevice.openForWriting(file)
    const read = Buffer.alloc(MiB)
    await disk.read(100_000 * MiB, read)
    expect(read.equals(pattern(MiB, 100_000 * MiB))).toBe(true)
    // Where the old BAT was, blocks lie now.
    for (let block = 200_000; block < 200_003; block++) await disk.write(block * MiB, Buffer.alloc(MiB, 1))
    await disk.close()
    await expectSound(file)
    expect(file.size).toBeLessThan(12 * MiB)
  })

  test('of a fixed image: the new blocks are there, and only they', async () => {
    // Hardly any of the blocks it should have: to write 128 GiB takes long.
    const file = await fileOf({ virtualSize: size, blockSize: MiB, fixed: true, blocks: blocksOf(size, [7]) })
    await resizeVhdx(file, 128 * GiB)
    const { regionTables, geometry } = await readSoundStructures(file)
    expect(regionTables.bat.length).toBe(2 * MiB)
    const first = payloadEntryIndex(size / MiB, geometry.chunkRatio)
    expect(await usedEntries(file)).toEqual([7, ...Array.from({ length: 8 }, (_, n) => first + n)])
    const { problems } = await checkVhdx(file)
    expect(problems.map(({ code }) => code)).toEqual(['FIXED_NOT_ALLOCATED'])
    const disk = await VhdxDevice.open(file)
    const read = Buffer.alloc(8 * MiB, 1)
    await disk.read(size, read)
    expect(read.equals(Buffer.alloc(8 * MiB))).toBe(true)
  })
})

describe('a differencing image', () => {
  const parentSize = 6 * MiB
  const makeChild = async (child: Partial<Layer>) => {
    const parentFile = await fileOf({
      virtualSize: parentSize,
      blockSize: MiB,
      blocks: blocksOf(parentSize, [0, 2, 5]),
    })
    const parent = await VhdxDevice.open(parentFile)
    const locator = await locatorOf(parentFile, { relative_path: 'p' })
    const layer = { virtualSize: parentSize, blockSize: MiB, blocks: new Map(), seed: 99, ...child, locator }
    return { file: await fileOf(layer), parent }
  }
  const blocks = new Map<number, LayerBlock>([
    [1, { state: PARTIALLY_PRESENT, written: [{ offset: MiB + KIB4, length: KIB4 }] }],
    [2, { state: ZERO }],
    [4, whole(4, parentSize)],
    [5, { state: PARTIALLY_PRESENT, written: [{ offset: 5 * MiB + KIB4, length: KIB4 }] }],
  ])

  test.each([
    ['larger than its parent', 20 * MiB],
    ['smaller', 5 * MiB + 2 * KIB4],
    ['as small as its bitmap allows', KIB4],
  ])('%s', async (_, size) => {
    const { file, parent } = await makeChild({ blocks })
    const before = await readAll(file, parent)
    await resizeVhdx(file, size)
    await expectSound(file)
    expect((await readAll(file, parent)).equals(resized(before, size))).toBe(true)
  })

  test('blocks of 256 MiB, where two have a bitmap in common: that of those that stay is kept', async () => {
    const virtualSize = 34 * 256 * MiB
    const far = 16 * 256 * MiB
    const own = new Map<number, LayerBlock>([
      [15, { state: PARTIALLY_PRESENT, written: [{ offset: far - KIB4, length: KIB4 }] }],
      [17, { state: PARTIALLY_PRESENT, written: [{ offset: far + 256 * MiB, length: KIB4 }] }],
    ])
    const { file, parent } = await makeChild({ virtualSize, blockSize: 256 * MiB, blocks: own })
    await resizeVhdx(file, far)
    await expectSound(file)
    const read = Buffer.alloc(KIB4)
    const disk = await VhdxDevice.open(file, { parent })
    await disk.read(far - KIB4, read)
    expect(read.equals(pattern(KIB4, far - KIB4 + 99))).toBe(true)
    expect(await usedEntries(file)).toEqual([15, 16])
  })
})

test('what is left in the BAT region behind its entries does not become blocks', async () => {
  const file = await fileOf({ virtualSize: SIZE, blockSize: MiB, blocks: blocksOf(SIZE, [0]) })
  const { regionTables } = await readSoundStructures(file)
  file.put(regionTables.bat.offset + 4 * BAT_ENTRY_SIZE, Buffer.alloc(64 * 1024, 0xff))
  await resizeVhdx(file, 40 * GiB)
  await expectSound(file)
  expect(await usedEntries(file)).toEqual([0])
})

test.each([0, 513, 64 * TiB + 512, -512, Number.NaN])('a size of %d is refused, and nothing is written', async size => {
  const file = await fileOf({ virtualSize: SIZE, blockSize: MiB, blocks: new Map() })
  const before = file.toBuffer()
  await expect(resizeVhdx(file, size)).rejects.toMatchObject({ code: 'BAD_VIRTUAL_SIZE' })
  expect(file.toBuffer().equals(before)).toBe(true)
})

test('stopped while blocks of a fixed image are written, it is what it was', async () => {
  const file = await fileOf({ virtualSize: SIZE, blockSize: MiB, fixed: true, blocks: blocksOf(SIZE, [0, 1, 2, 3]) })
  const [before, length] = [await readAll(file), file.size]
  const controller = new AbortController()
  const onProgress = (done: number) => {
    if (done >= 8 * MiB) controller.abort(new Error('enough'))
  }
  await expect(resizeVhdx(file, 40 * MiB, { signal: controller.signal, onProgress })).rejects.toThrow('enough')
  await expectSound(file)
  expect(file.size).toBe(length)
  expect((await readAll(file)).equals(before)).toBe(true)
})

test.each(['ENOSPC', 'EIO'])('%s at any request: an error, and the disk as it was or as it was to be', async code => {
  const start = await fileOf({ virtualSize: SIZE, blockSize: MiB, fixed: true, blocks: blocksOf(SIZE, [0, 1, 2, 3]) })
  const before = await readAll(start)
  let failures = 0
  for (let limit = 1; ; limit += 2) {
    const medium = new RecordingDevice(start.copy(), {
      fault: (operation, operations) => {
        if (operations >= limit && operation !== 'read') throw Object.assign(new Error(code), { code })
      },
    })
    const failure = await resizeVhdx(medium, 7 * MiB).catch(error => error)
    const file = medium.content.copy()
    await replayLogOnDisk(file)
    await expectSoundBut(file)
    const after = await readAll(file)
    expect(after.equals(resized(before, after.length))).toBe(true)
    expect([SIZE, 7 * MiB]).toContain(after.length)
    if (failure === undefined) break
    expect(failure.message).toContain(code)
    failures++
  }
  expect(failures).toBeGreaterThan(25)
})

testWith(
  ['qemu-img', '7zz'],
  'ours, read by qemu and 7-Zip: made larger with another BAT, cut, made larger again',
  async () => {
    await using dir = await scratch()
    const path = dir.path('a.vhdx')
    const file = await fileOf({ virtualSize: 127 * GiB + 1016 * MiB, blockSize: MiB, blocks: blocksOf(GiB, [0, 9]) })
    for (const size of [130 * GiB, 9 * MiB + 64 * KIB4, 20 * MiB]) {
      await resizeVhdx(file, size)
      await writeFile(path, file.toBuffer())
      const info = JSON.parse((await run('qemu-img', ['info', '--output=json', path])).stdout)
      expect(info['virtual-size']).toBe(size)
      await run('qemu-img', ['check', path])
      expect((await run('7zz', ['l', '-slt', path])).stdout).toContain(`\nSize = ${size}\n`)
    }
    await run('qemu-img', ['convert', '-O', 'raw', path, dir.path('raw')])
    const raw = await readFile(dir.path('raw'))
    expect(raw.equals(await readAll(file))).toBe(true)
    expect(raw.subarray(9 * MiB, 9 * MiB + 64 * KIB4).equals(pattern(64 * KIB4, 9 * MiB))).toBe(true)
  },
)
