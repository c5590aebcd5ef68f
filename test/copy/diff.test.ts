import { writeFile } from 'node:fs/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { type DiffReport, DiskDiff } from '../../lib/copy/diff.ts'
import { differentRanges } from '../../lib/copy/different-ranges.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { normalizeRanges, type Range } from '../../lib/device/ranges.ts'
import { openHeldRanges } from '../../lib/image/open-held-ranges.ts'
import { FULLY_PRESENT, NOT_PRESENT, PARTIALLY_PRESENT, UNMAPPED, ZERO } from '../../lib/vhdx/format.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { collect } from '../helpers/collect.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { run, testWith } from '../helpers/tools.ts'
import { vhd } from '../image/chain-images.ts'
import { diskOf, type Layer, type LayerBlock, locatorOf, makeLayer } from '../vhdx/differencing-image.ts'

const SIZE = 24 * MiB

/** The ranges of 512 bytes in which two disks differ; the shorter goes on in zeros. */
function slowDiff(a: Buffer, b: Buffer, unit = 512): Range[] {
  const ranges: Range[] = []
  const at = (disk: Buffer, offset: number) => (offset < disk.length ? disk[offset] : 0)
  for (let offset = 0; offset < Math.max(a.length, b.length); offset += unit) {
    let differs = false
    for (let i = offset; i < offset + unit; i++) differs ||= at(a, i) !== at(b, i)
    if (differs) ranges.push({ offset, length: unit })
  }
  return normalizeRanges(ranges)
}

async function diff(a: string, b: string): Promise<{ ranges: Range[]; report: DiffReport }> {
  await using opened = await DiskDiff.open(a, b)
  return { ranges: await collect(opened.ranges()), report: opened.report }
}

interface Image {
  readonly path: string
  readonly layer: Layer
  readonly disk: Buffer
}

/** Writes an image of a chain as `name`. */
async function image(dir: Scratch, name: string, plan: Partial<Layer>, parent?: Image): Promise<Image> {
  const file = new MemoryDevice(0, { growable: true })
  const locator =
    parent && (await locatorOf(await fileOf(parent), { relative_path: `.\\${parent.path.split('/').at(-1)}` }))
  const layer: Layer = { virtualSize: SIZE, blockSize: MiB, blocks: new Map(), ...plan, ...(locator && { locator }) }
  await makeLayer(file, layer)
  const path = dir.path(name)
  await writeFile(path, file.content)
  files.set(path, file)
  return { path, layer, disk: diskOf(layer, parent?.disk) }
}

const files = new Map<string, MemoryDevice>()
const fileOf = async ({ path }: Image) => files.get(path)!

const whole = (block: number): readonly [number, LayerBlock] => [
  block,
  { state: FULLY_PRESENT, written: [{ offset: block * MiB, length: MiB }] },
]

describe('a chain and a branch of it', async () => {
  const dir = await scratch()
  afterAll(() => dir[Symbol.asyncDispose]())
  const base = await image(dir, 'base.vhdx', { blocks: new Map([0, 1, 2, 3, 7, 8, 20].map(whole)) })
  const middle = await image(
    dir,
    'middle.vhdx',
    {
      seed: 50,
      blocks: new Map<number, LayerBlock>([
        [1, { state: ZERO }],
        [2, { state: PARTIALLY_PRESENT, written: [{ offset: 2 * MiB + 512, length: 1536 }] }],
        [8, { state: NOT_PRESENT }],
      ]),
    },
    base,
  )
  const leaf = await image(
    dir,
    'leaf.vhdx',
    {
      seed: 99,
      blocks: new Map<number, LayerBlock>([
        [2, { state: PARTIALLY_PRESENT, written: [{ offset: 2 * MiB + 1024, length: 512 }] }],
        [3, { state: FULLY_PRESENT, written: [{ offset: 3 * MiB, length: MiB }] }],
        [4, { state: PARTIALLY_PRESENT, written: [{ offset: 4 * MiB, length: MiB }] }],
        [6, { state: UNMAPPED }],
        [23, { state: PARTIALLY_PRESENT, written: [{ offset: SIZE - 512, length: 512 }] }],
      ]),
    },
    middle,
  )
  // Writes what is there already, at the same place of the disk.
  const branch = await image(
    dir,
    'branch.vhdx',
    { blocks: new Map([[7, { state: FULLY_PRESENT, written: [{ offset: 7 * MiB, length: MiB }] }]]) },
    middle,
  )

  test.each([
    ['a child and its parent', leaf, middle, 2.5 * MiB + 1024],
    ['two that have a parent in common', leaf, branch, 2.5 * MiB + MiB],
    ['a grandchild and the base', leaf, base, undefined],
    ['a child that holds nothing new', branch, middle, MiB],
    ['an image and itself', leaf, leaf, 0],
  ])('%s', async (_, a, b, most) => {
    const { ranges, report } = await diff(a.path, b.path)
    const expected = slowDiff(a.disk, b.disk)
    expect(ranges).toEqual(expected)
    expect(report).toMatchObject({ same: expected.length === 0, ranges: expected.length, sizes: [SIZE, SIZE] })
    expect(report.differentBytes).toBe(expected.reduce((sum, { length }) => sum + length, 0))
    if (most !== undefined) expect(report.comparedBytes).toBeLessThanOrEqual(most + MiB)
    const { ranges: reverse } = await diff(b.path, a.path)
    expect(reverse).toEqual(expected)
  })

  test('what the child holds is told without its parent', async () => {
    await using held = await openHeldRanges(leaf.path)
    expect(await collect(held.heldRanges())).toEqual([
      { offset: 2 * MiB + 1024, length: 512, content: 'data' },
      { offset: 3 * MiB, length: 2 * MiB, content: 'data' },
      { offset: 6 * MiB, length: MiB, content: 'zeros' },
      { offset: SIZE - 512, length: 512, content: 'data' },
    ])
    expect(held).toMatchObject({ virtualSize: SIZE, parentPaths: ['.\\middle.vhdx'] })
  })

  test('the command: what a child holds, what of it is new, and the ends of the program', async () => {
    const held = await vhdx(['diff', leaf.path])
    expect(held).toMatchObject({ exitCode: 0, stderr: '' })
    expect(held.stdout).toContain('in 3 ranges, and hides 1 MiB of its parent with zeros')
    const content = await vhdx(['diff', leaf.path, '--content', '--json', '--quiet'])
    expect(content).toMatchObject({ exitCode: 3, stderr: '' })
    const found = content.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(found.slice(0, -1).map(({ offset, length }) => ({ offset, length }))).toEqual(
      slowDiff(leaf.disk, middle.disk),
    )
    expect(found.at(-1)).toMatchObject({ image: leaf.path, against: middle.path, same: false })

    expect(await vhdxJson('diff', branch.path, middle.path)).toMatchObject({ same: true, ranges: 0 })
    expect(await vhdx(['diff', base.path])).toMatchObject({ exitCode: 2, stdout: '' })
  })

  test('a child that is longer than its parent, and one that cuts it off and shows what is behind as zeros', async () => {
    const long = await image(dir, 'long.vhdx', { virtualSize: 30 * MiB, blocks: new Map([whole(28)]) }, base)
    const short = await image(dir, 'short.vhdx', { virtualSize: 10 * MiB }, base)
    const again = await image(dir, 'again.vhdx', {}, short)
    const { ranges, report } = await diff(long.path, base.path)
    expect(ranges).toEqual([{ offset: 28 * MiB, length: MiB }])
    expect(report).toMatchObject({ same: false, sizes: [30 * MiB, SIZE] })
    expect((await diff(again.path, base.path)).ranges).toEqual([{ offset: 20 * MiB, length: MiB }])
    const sized = await diff(short.path, again.path)
    expect(sized).toMatchObject({ ranges: [], report: { same: false, ranges: 0 } })
    expect((await vhdx(['diff', short.path, again.path])).stdout).toContain('differ in size alone')
  })
})

test('a VHD child tells what it holds, too', async () => {
  await using dir = await scratch()
  const parent = vhd()
  const child = vhd(parent, { W2ru: '.\\parent.vhd' })
  await writeFile(dir.path('parent.vhd'), parent.file)
  await writeFile(dir.path('child.vhd'), child.file)
  await using held = await openHeldRanges(dir.path('child.vhd'))
  expect(await collect(held.heldRanges())).toEqual([{ offset: 0, length: 512, content: 'data' }])
  expect((await diff(dir.path('parent.vhd'), dir.path('child.vhd'))).ranges).toEqual(slowDiff(parent.disk, child.disk))
})

test('only what has data is read, and every changed sector is found', async () => {
  await using dir = await scratch()
  const blocks = (numbers: readonly number[]) => new Map(numbers.map(whole))
  const a = await image(dir, 'a.vhdx', { blocks: blocks([0, 5, 9, 10]) })
  const b = await image(dir, 'b.vhdx', { seed: 251, blocks: blocks([5, 6, 10]) })
  await writeFile(dir.path('raw'), b.disk)
  const expected = slowDiff(a.disk, b.disk)
  const both = await diff(a.path, b.path)
  expect(both.ranges).toEqual(expected)
  expect(both.report.comparedBytes).toBe(5 * MiB)
  expect((await diff(a.path, dir.path('raw'))).ranges).toEqual(expected)
})

test('buffers are held against each other in units, the last of which may be short', () => {
  const [a, b] = [Buffer.alloc(1300), Buffer.alloc(1300)]
  expect(differentRanges(4096, a, b, 512)).toEqual([])
  b[511] = 1
  expect(differentRanges(4096, a, b, 512)).toEqual([{ offset: 4096, length: 512 }])
  b[1299] = 1
  expect(differentRanges(4096, a, b, 512)).toEqual([
    { offset: 4096, length: 512 },
    { offset: 4096 + 1024, length: 276 },
  ])
  b[600] = 1
  expect(differentRanges(4096, a, b, 512)).toEqual([{ offset: 4096, length: 1300 }])
})

testWith(['qemu-img', 'qemu-io'], 'what qemu wrote and what it reads', async () => {
  await using dir = await scratch()
  const [a, b] = [dir.path('a.vhdx'), dir.path('b.vhdx')]
  await run('qemu-img', ['create', '-f', 'vhdx', '-o', 'block_size=1M', a, '40M'])
  await run('qemu-img', ['create', '-f', 'vhdx', '-o', 'block_size=8M', b, '40M'])
  const write = (path: string, ...writes: readonly string[]) =>
    run('qemu-io', ['-f', 'vhdx', ...writes.flatMap(text => ['-c', `write ${text}`]), path])
  await write(a, '-P 1 0 1M', '-P 2 9M 64k', '-P 3 30M 3M')
  await write(b, '-P 1 0 1M', '-P 2 9M 32k', '-P 3 31M 512', '-P 4 39M 1M')
  const raws = [dir.path('a.raw'), dir.path('b.raw')] as const
  await run('qemu-img', ['convert', '-O', 'raw', a, raws[0]])
  await run('qemu-img', ['convert', '-O', 'raw', b, raws[1]])
  const { stdout } = await run('cmp', ['-l', ...raws], { exitCodes: [1] })
  const sectors = [
    ...new Set(
      stdout
        .trim()
        .split('\n')
        .map(line => Math.floor((Number.parseInt(line, 10) - 1) / 512)),
    ),
  ]
  const expected = normalizeRanges(sectors.map(sector => ({ offset: sector * 512, length: 512 })))
  expect((await diff(a, b)).ranges).toEqual(expected)
  expect((await diff(a, raws[1])).ranges).toEqual(expected)
  expect((await diff(...raws)).ranges).toEqual(expected)
})
