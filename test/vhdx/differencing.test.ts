/** Children and their parents: every state, every bit, as 7-Zip reads them and as a slow model has them. */
import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GiB, KiB, MiB } from '../../lib/binary/size.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { endOf, type Range } from '../../lib/device/ranges.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { mapBlocks, openBlockTable } from '../../lib/vhdx/block-map.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { collect } from '../helpers/collect.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { by7Zip } from '../helpers/seven-zip.ts'
import { run, testWith } from '../helpers/tools.ts'
import { diskOf, type Layer, type LayerBlock, layerBytes, locatorOf, makeLayer } from './differencing-image.ts'

const range = (offset: number, length: number): Range => ({ offset, length })
const whole = (block: number, blockSize = MiB): LayerBlock => ({
  state: 6,
  written: [range(block * blockSize, blockSize)],
})
const blocksOf = (blocks: Readonly<Record<number, LayerBlock>>) =>
  new Map(Object.entries(blocks).map(([block, value]) => [Number(block), value]))

/** Makes each layer in memory, a child of the one before it, and opens the last. */
async function openChain(layers: readonly Layer[]): Promise<{ disk: VhdxDevice; files: MemoryDevice[] }> {
  const files: MemoryDevice[] = []
  let disk: VhdxDevice | undefined
  for (const layer of layers) {
    const file = new MemoryDevice(0, { growable: true })
    const parent = files.at(-1)
    await makeLayer(file, parent ? { ...layer, locator: await locatorOf(parent, { relative_path: 'p.vhdx' }) } : layer)
    files.push(file)
    disk = await VhdxDevice.open(file, { parent: disk })
  }
  return { disk: disk!, files }
}

/** The same as a slow model has it. */
const modelOf = (layers: readonly Layer[]) =>
  layers.reduce((disk: Buffer, layer, n) => diskOf(n > 0 ? { ...layer, locator: {} } : layer, disk), Buffer.alloc(0))

async function contentOf(disk: VhdxDevice): Promise<Buffer> {
  const content = Buffer.alloc(disk.size, 0xaa)
  await disk.read(0, content)
  return content
}

/** What lies in the ranges of data, and zeros elsewhere. */
async function dataOf(disk: VhdxDevice): Promise<Buffer> {
  const data = Buffer.alloc(disk.size)
  let end = -1
  for await (const { offset, length } of disk.dataRanges()) {
    expect(offset).toBeGreaterThan(end)
    await disk.read(offset, data.subarray(offset, offset + length))
    end = offset + length
  }
  return data
}

const base: Layer = {
  virtualSize: 8 * MiB,
  blockSize: MiB,
  blocks: blocksOf({ 0: whole(0), 1: whole(1), 2: whole(2), 3: whole(3), 4: whole(4), 5: whole(5), 7: whole(7) }),
}

/** Block 7 is the only one that neither has. */
const child: Layer = {
  virtualSize: 8 * MiB,
  blockSize: MiB,
  seed: 100,
  blocks: blocksOf({
    0: { state: 7, written: [range(512, 512), range(9 * 512, 512)] },
    1: { state: 1 },
    2: { state: 2 },
    3: { state: 3 },
    4: { state: 6, written: [range(4 * MiB + 4096, 8192)] },
    6: { state: 7, written: [range(6 * MiB, 8 * 512), range(7 * MiB - 512, 512)] },
  }),
}

describe('each state of a block', () => {
  test('reads as it should, and its data is found', async () => {
    const { disk } = await openChain([base, child])
    const expected = modelOf([base, child])
    expect((await contentOf(disk)).equals(expected)).toBe(true)
    expect((await dataOf(disk)).equals(expected)).toBe(true)
    expect(disk.findings).toEqual([])
    expect(await collect(disk.dataRanges())).toEqual([
      range(0, MiB),
      range(4 * MiB, 2 * MiB + 4096),
      range(7 * MiB - 512, MiB + 512),
    ])
  })

  test('its own blocks are counted and drawn, not those of its parent', async () => {
    const { disk } = await openChain([base, child])
    expect(await disk.allocatedBlocks()).toBe(3)
    expect((await mapBlocks(disk, 8)).cells).toEqual([1, 0, 0, 0, 1, 0, 1, 0])
    expect((await collect(disk.blockStates())).map(({ state }) => state)).toEqual([
      'partiallyPresent',
      'undefined',
      'zero',
      'unmapped',
      'fullyPresent',
      'notPresent',
      'partiallyPresent',
      'notPresent',
    ])
  })

  test('requests that begin and end inside sectors', async () => {
    const { disk } = await openChain([base, child])
    const expected = modelOf([base, child])
    for (const [offset, length] of [
      [0, 513],
      [511, 2],
      [700, 100],
      [1000, 30],
      [MiB - 1, 2],
      [6 * MiB + 4095, 2],
      [7 * MiB - 513, 600],
    ] as const) {
      const target = Buffer.alloc(length, 0xaa)
      await disk.read(offset, target)
      expect(target.equals(expected.subarray(offset, offset + length))).toBe(true)
      const ranges = await collect(disk.dataRanges(range(offset, length)))
      for (const found of ranges)
        expect([found.offset >= offset, endOf(found) <= offset + length]).toEqual([true, true])
    }
  })
})

test('any chain of three, as a slow model has it', async () => {
  const blockCount = 5
  const sector = fc.nat(255)
  const block = (number: number) =>
    fc.record({
      state: fc.constantFrom(0, 1, 2, 3, 6, 7, 7, 7),
      written: fc
        .uniqueArray(sector, { maxLength: 12 })
        .map(sectors => sectors.sort((a, b) => a - b).map(n => range(number * MiB + n * 4096, 4096))),
    })
  const layer = fc.tuple(...Array.from({ length: blockCount }, (_, n) => block(n)))
  await fc.assert(
    fc.asyncProperty(layer, layer, layer, fc.constantFrom(512, 4096), async (first, second, third, sectorSize) => {
      const layers = [first, second, third].map((blocks, n) => ({
        virtualSize: blockCount * MiB,
        blockSize: MiB,
        logicalSectorSize: sectorSize,
        seed: n * 83,
        // The base has no parent to share a block with.
        blocks: new Map(blocks.map((block, m) => [m, n === 0 && block.state === 7 ? { ...block, state: 6 } : block])),
      }))
      const { disk } = await openChain(layers)
      const expected = modelOf(layers)
      expect((await contentOf(disk)).equals(expected)).toBe(true)
      expect((await dataOf(disk)).equals(expected)).toBe(true)
    }),
    { numRuns: 40 },
  )
})

describe('sectors that are here and there by turns', () => {
  const every = (step: number): LayerBlock => ({
    state: 7,
    written: Array.from({ length: MiB / step }, (_, n) => range(n * step, step / 2)),
  })

  test('are few requests, of file and parent', async () => {
    const layers = [base, { ...child, blocks: new Map([[0, every(1024)]]) }]
    const { files } = await openChain(layers)
    const [parent, file] = files.map(file => new CountingDevice(file))
    const disk = await VhdxDevice.open(file!, { parent: await VhdxDevice.open(parent!) })
    await disk.read(0, Buffer.alloc(512))
    const before = file!.reads.length + parent!.reads.length
    const target = Buffer.alloc(MiB)
    await disk.read(0, target)
    expect(file!.reads.length + parent!.reads.length - before).toBeLessThan(8)
    expect(target.equals(modelOf(layers).subarray(0, MiB))).toBe(true)
  })

  test('a bad sector between them that nobody asks for stops nothing', async () => {
    const { files } = await openChain([base, { ...child, blocks: new Map([[0, every(1024)]]) }])
    // Block 0 of the child lies at MiB 4; its second sector is the parent's.
    const file = new FaultyDevice(files[1]!, { unreadable: [range(4 * MiB + 512, 512)] })
    const disk = await VhdxDevice.open(file, { parent: await VhdxDevice.open(files[0]!) })
    await disk.read(0, Buffer.alloc(MiB))
    const bad = new FaultyDevice(files[1]!, { unreadable: [range(4 * MiB + 1024, 512)] })
    const damaged = await VhdxDevice.open(bad, { parent: await VhdxDevice.open(files[0]!) })
    await expect(damaged.read(0, Buffer.alloc(MiB))).rejects.toMatchObject({ code: 'READ_ERROR' })
  })
})

test('whatever the tables of a child say: its bytes or an error of ours', async () => {
  const { files } = await openChain([base, child])
  const parent = await VhdxDevice.open(files[0]!)
  const entry = fc.oneof(
    fc.tuple(fc.nat(7), fc.nat(12)).map(([state, mebibyte]) => BigInt(state + mebibyte * MiB)),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  )
  const index = fc.constantFrom(0, 1, 2, 6, 7, 4096)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(index, entry), { minLength: 1, maxLength: 4 }), async entries => {
      const file = new MemoryDevice(Buffer.from(files[1]!.content))
      for (const [index, value] of entries) file.content.writeBigUInt64LE(value, 3 * MiB + index * 8)
      const disk = await VhdxDevice.open(file, { parent })
      for (let offset = 0; offset < disk.size; offset += MiB) {
        await disk.read(offset, Buffer.alloc(MiB)).catch(error => expect(error).toBeInstanceOf(DiskImageError))
      }
      await collect(disk.dataRanges())
      await checkVhdx(file)
    }),
    { numRuns: 60 },
  )
})

describe('a parent of another size', () => {
  const small: Layer = {
    virtualSize: 3 * MiB,
    blockSize: 2 * MiB,
    blocks: blocksOf({ 0: whole(0, 2 * MiB), 1: { state: 6, written: [range(2 * MiB, MiB)] } }),
  }

  test('a shorter one reads as zeros behind its end, and that is said', async () => {
    const grown: Layer = {
      virtualSize: 8 * MiB,
      blockSize: 4 * MiB,
      seed: 7,
      blocks: blocksOf({ 1: { state: 7, written: [range(5 * MiB, 512)] } }),
    }
    const { disk } = await openChain([small, grown])
    const expected = modelOf([small, grown])
    expect((await contentOf(disk)).equals(expected)).toBe(true)
    expect((await dataOf(disk)).equals(expected)).toBe(true)
    expect(disk.findings).toMatchObject([{ code: 'PARENT_SIZE', message: expect.stringContaining(`${8 * MiB}`) }])
  })

  test('a longer one is cut off', async () => {
    const shrunk: Layer = { virtualSize: MiB + 512, blockSize: MiB, blocks: new Map() }
    const { disk } = await openChain([small, shrunk])
    expect((await contentOf(disk)).equals(modelOf([small]).subarray(0, MiB + 512))).toBe(true)
    expect(await collect(disk.dataRanges())).toEqual([range(0, MiB + 512)])
    expect(disk.findings).toMatchObject([{ code: 'PARENT_SIZE' }])
  })

  test('of other sectors it is refused', async () => {
    const opening = openChain([base, { ...child, blocks: new Map(), logicalSectorSize: 4096 }])
    await expect(opening).rejects.toMatchObject({ name: 'FormatError', code: 'PARENT_SECTOR_SIZE' })
    await expect(opening).rejects.toThrow('is 4096, expected 512, as in its parent')
  })
})

describe('a child by itself', () => {
  async function childFile(): Promise<MemoryDevice> {
    return (await openChain([base, child])).files[1]!
  }

  test('what its table says of blocks behind the end of the disk counts for nothing', async () => {
    const { files } = await openChain([base, child])
    const file = new MemoryDevice(Buffer.from(files[1]!.content))
    for (const block of [8, 9, 4095]) file.content.writeBigUInt64LE(7n + BigInt(block * MiB), 3 * MiB + block * 8)
    expect((await checkVhdx(file)).summary.counts).toEqual({ PARENT_NOT_OPENED: 1 })
    const disk = await VhdxDevice.open(file, { parent: await VhdxDevice.open(files[0]!) })
    expect(await disk.allocatedBlocks()).toBe(3)
  })

  test('says who it is', async () => {
    const { files } = await openChain([base, child])
    const [parent, own] = await Promise.all(files.map(file => readVhdxIdentity(file)))
    expect(own!.metadata).toMatchObject({ hasParent: true, virtualSize: 8 * MiB })
    expect(own!.metadata.parentLocator).toMatchObject({
      linkage: parent!.header.dataWriteGuid,
      linkage2: undefined,
      paths: ['p.vhdx'],
    })
    expect(parent!.metadata.parentLocator).toBeUndefined()
  })

  test('is checked, and check says that its parent was not', async () => {
    const { problems, summary, image } = await checkVhdx(await childFile())
    expect(image.type).toBe('differencing')
    expect(problems.map(({ code }) => code)).toEqual(['PARENT_NOT_OPENED'])
    expect(problems[0]!.message).toBe("this is a differencing image, and its parent, 'p.vhdx', was not looked at")
    expect(summary).toMatchObject({ errors: 0, warnings: 0, notes: 1 })
    expect(summary.blocks).toMatchObject({ partiallyPresent: 2, fullyPresent: 1, notPresent: 2 })
  })

  test('says which blocks it has', async () => {
    const table = await openBlockTable(await childFile())
    expect((await mapBlocks(table, 8)).cells).toEqual([1, 0, 0, 0, 1, 0, 1, 0])
  })

  test('is not opened', async () => {
    await expect(VhdxDevice.open(await childFile())).rejects.toMatchObject({ code: 'PARENT_NOT_OPENED' })
  })

  test('an image without a parent does not use one', async () => {
    const { files } = await openChain([base])
    const disk = await VhdxDevice.open(files[0]!, { parent: new MemoryDevice(4096, { sectorSize: 4096 }) })
    expect((await contentOf(disk)).equals(modelOf([base]))).toBe(true)
  })
})

describe('a bitmap entry that is broken: an error by name, and the block counts as data', () => {
  const BITMAP = 3 * MiB + 4096 * 8
  const cases = [
    ['BAT_PARTIAL_NO_BITMAP', 0n],
    ['BAT_BITMAP_STATE', 3n],
    ['BAT_RESERVED_BITS', 6n + 8n + BigInt(5 * MiB)],
    ['BAT_ON_STRUCTURE', 6n + BigInt(2 * MiB)],
    ['BAT_BEYOND_END', 6n + BigInt(64 * MiB)],
    ['BAT_BEYOND_END', 6n + 2n ** 63n],
  ] as const
  test.each(cases)('%s', async (code, entry) => {
    const { files, disk: whole } = await openChain([base, child])
    const file = new MemoryDevice(Buffer.from(files[1]!.content))
    file.content.writeBigUInt64LE(entry, BITMAP)
    const disk = await VhdxDevice.open(file, { parent: await VhdxDevice.open(files[0]!) })
    await expect(disk.read(0, Buffer.alloc(1))).rejects.toMatchObject({ name: 'FormatError', code })
    await disk.read(MiB, Buffer.alloc(MiB))
    expect((await collect(disk.dataRanges()))[0]).toEqual(range(0, MiB))
    expect((await collect(whole.dataRanges()))[0]).toEqual(range(0, MiB))
    // The specification wants every bitmap checked that a block needs.
    expect(Object.keys((await checkVhdx(file)).summary.counts)).toContain(code)
  })
})

/** Reads `disk` along with 7-Zip, to the last byte. */
async function expectAs7Zip(path: string, disk: VhdxDevice): Promise<void> {
  let offset = 0
  for await (const piece of by7Zip(path)) {
    const ours = Buffer.allocUnsafe(piece.length)
    await disk.read(offset, ours)
    if (!ours.equals(piece)) expect.fail(`7-Zip reads something else between ${offset} and ${offset + piece.length}`)
    offset += piece.length
  }
  expect(offset).toBe(disk.size)
}

/** A chain of files, 0.vhdx the base, each the parent of the next; the last is opened, and closing it closes all. */
async function chainOfFiles(folder: Scratch, layers: readonly Layer[]): Promise<{ disk: VhdxDevice; path: string }> {
  let disk: VhdxDevice | undefined
  let path = ''
  for (const [n, layer] of layers.entries()) {
    path = folder.path(`${n}.vhdx`)
    {
      await using file = await FileDevice.open(path, { mode: 'create' })
      await using parent = n === 0 ? undefined : await FileDevice.open(folder.path(`${n - 1}.vhdx`))
      await makeLayer(
        file,
        parent ? { ...layer, locator: await locatorOf(parent, { relative_path: `.\\${n - 1}.vhdx` }) } : layer,
      )
    }
    const below = disk
    disk = await VhdxDevice.open(await FileDevice.open(path), { parent: below })
    const close = disk.close.bind(disk)
    disk.close = async () => {
      await close()
      await below?.close()
    }
  }
  return { disk: disk!, path }
}

/** The same, compared with 7-Zip. */
async function compareChain(folder: Scratch, layers: readonly Layer[]): Promise<VhdxDevice> {
  const { disk, path } = await chainOfFiles(folder, layers)
  await expectAs7Zip(path, disk)
  return disk
}

describe('7-Zip reads the same', () => {
  testWith(['7zz'], 'every state, and single sectors', async () => {
    await using folder = await scratch()
    await using disk = await compareChain(folder, [base, child])
    expect((await contentOf(disk)).equals(modelOf([base, child]))).toBe(true)
  })

  testWith(['7zz'], 'sectors of 4096', async () => {
    await using folder = await scratch()
    const blocks = blocksOf({
      0: { state: 7, written: [range(4096, 4096), range(9 * 4096, 8192)] },
      1: { state: 2 },
      2: whole(2),
    })
    const layers = [base, { ...child, blocks }].map(layer => ({ ...layer, logicalSectorSize: 4096 }))
    await using disk = await compareChain(folder, layers)
    expect((await contentOf(disk)).equals(modelOf(layers))).toBe(true)
  })

  testWith(['7zz'], 'three on top of each other', async () => {
    await using folder = await scratch()
    const top: Layer = {
      ...child,
      seed: 31,
      blocks: blocksOf({
        0: { state: 7, written: [range(1024, 8192)] },
        1: { state: 7, written: [range(MiB, 512)] },
        4: { state: 2 },
        7: { state: 7, written: [range(8 * MiB - 512, 512)] },
      }),
    }
    await using disk = await compareChain(folder, [base, child, top])
    expect((await contentOf(disk)).equals(modelOf([base, child, top]))).toBe(true)
  })

  for (const blockSize of [2 * MiB, 32 * MiB, 256 * MiB]) {
    testWith(['7zz'], `blocks of ${blockSize / MiB} MiB`, async () => {
      await using folder = await scratch()
      const virtualSize = blockSize + 3 * MiB
      const first: Layer = {
        virtualSize,
        blockSize,
        blocks: blocksOf({
          0: { state: 6, written: [range(0, MiB), range(blockSize - 4096, 4096)] },
          1: { state: 6, written: [range(blockSize, 3 * MiB)] },
        }),
      }
      const second: Layer = {
        virtualSize,
        blockSize,
        seed: 9,
        blocks: blocksOf({
          0: { state: 7, written: [range(512, 512), range(blockSize - 1024, 512)] },
          1: { state: 7, written: [range(blockSize + MiB, 64 * KiB)] },
        }),
      }
      await using _ = await compareChain(folder, [first, second])
    })
  }

  testWith(['7zz'], 'on both sides of the end of a chunk', async () => {
    await using folder = await scratch()
    const window = range(4 * GiB - MiB, 2 * MiB)
    const at = (block: number): LayerBlock => ({
      state: 7,
      written: [range(block * 32 * MiB + (block === 127 ? 32 * MiB - 1024 : 0), 512)],
    })
    const first = {
      virtualSize: 4 * GiB + MiB,
      blockSize: 32 * MiB,
      blocks: blocksOf({ 127: whole(127, 32 * MiB), 128: { state: 6, written: [range(4 * GiB, MiB)] } }),
    }
    const second = { ...first, seed: 9, blocks: blocksOf({ 127: at(127), 128: at(128) }) }
    const { disk, path } = await chainOfFiles(folder, [first, second])
    await using _ = disk
    const ours = Buffer.alloc(window.length)
    await disk.read(window.offset, ours)
    const script = `7zz x -so -tVHDX "$1" | tail -c ${window.length} > "$2"`
    await run('sh', ['-c', script, 'sh', path, folder.path('tail')])
    expect(ours.equals(await readFile(folder.path('tail')))).toBe(true)
    expect(ours.subarray(MiB - 1024, MiB - 512).equals(layerBytes(second, range(4 * GiB - 1024, 512)))).toBe(true)
  })
})

describe('blocks of every size, in the first and second chunk', () => {
  const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256].flatMap(size =>
    [512, 4096].map(sector => [size * MiB, sector] as const),
  )
  test.each(sizes)('%i bytes, sectors of %i', async (blockSize, logicalSectorSize) => {
    await using folder = await scratch()
    const ratio = (2 ** 23 * logicalSectorSize) / blockSize
    const numbers = [0, ratio - 1, ratio, 2 * ratio - 1]
    const virtualSize = 2 * ratio * blockSize
    const shape = { virtualSize, blockSize, logicalSectorSize }
    const window = (block: number) => range(block * blockSize + blockSize - 64 * KiB, 64 * KiB)
    const first: Layer = { ...shape, blocks: new Map(numbers.map(n => [n, { state: 6, written: [window(n)] }])) }
    const third = (block: number) => range(window(block).offset + 2 * logicalSectorSize, logicalSectorSize)
    const second = { ...shape, seed: 9, blocks: new Map(numbers.map(n => [n, { state: 7, written: [third(n)] }])) }
    const { disk } = await chainOfFiles(folder, [first, second])
    await using _ = disk
    for (const block of numbers) {
      const bytes = Buffer.alloc(64 * KiB)
      await disk.read(window(block).offset, bytes)
      const expected = layerBytes(first, window(block))
      layerBytes(second, third(block)).copy(expected, 2 * logicalSectorSize)
      expect(bytes.equals(expected)).toBe(true)
    }
  })
})
