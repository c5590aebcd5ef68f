/** Other people's programs and ours on the same VHD files. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { VhdDevice } from '../../lib/vhd/vhd-device.ts'
import { sha256 } from '../helpers/corpus.ts'
import { hashFile } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'
import { withVhdi } from '../helpers/vhdi.ts'
import { CHILD_ID, makeDynamic, makeFixed, PARENT_ID } from './make-vhd.ts'

const MiB = 2 ** 20
const BLOCK = 2 * MiB
const SIZE = 9 * MiB

/** Blocks 0 and 2 of 5, of which the last is short. */
const DISK = Buffer.alloc(SIZE)
pattern(BLOCK).copy(DISK)
pattern(BLOCK, 5).copy(DISK, 2 * BLOCK)
pattern(MiB, 9).copy(DISK, 4 * BLOCK)

const shortBlock = Buffer.alloc(BLOCK)
pattern(MiB, 9).copy(shortBlock)

const PARENT = makeDynamic({
  size: SIZE,
  blocks: { 2: { content: pattern(BLOCK, 5) }, 4: { content: shortBlock }, 0: { content: pattern(BLOCK) } },
})

const qemu = { creatorApplication: Buffer.from('qem2') } as const

for (const [subformat, force] of [
  ['fixed', 'on'],
  ['dynamic', 'on'],
  ['fixed', 'off'],
  ['dynamic', 'off'],
] as const) {
  testWith(['qemu-img'], `qemu-img → ours: ${subformat}, force_size=${force}`, async () => {
    await using folder = await scratch()
    const [raw, image] = [folder.path('disk.raw'), folder.path('disk.vhd')]
    await writeFile(raw, DISK)
    await run('qemu-img', [
      ...['convert', '-f', 'raw', '-O', 'vpc', '-o', `subformat=${subformat},force_size=${force}`],
      ...[raw, image],
    ])
    // Without force_size the disk is rounded up to whole cylinders.
    await run('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', image, folder.path('back.raw')])
    await using file = await FileDevice.open(image)
    const disk = await VhdDevice.open(file)
    expect(disk).toMatchObject({ type: subformat, findings: [] })
    if (force === 'on') expect(disk.size).toBe(SIZE)
    else expect(disk.size).toBeGreaterThan(SIZE)
    expect(await sha256(disk)).toBe(await hashFile(folder.path('back.raw')))
    expect((await readFile(folder.path('back.raw'))).subarray(0, SIZE).equals(DISK)).toBe(true)
  })
}

testWith(['qemu-img'], 'made by hand → qemu-img: dynamic and fixed', async () => {
  await using folder = await scratch()
  const dynamic = makeDynamic({
    size: SIZE,
    blocks: { 2: { content: pattern(BLOCK, 5) }, 4: { content: shortBlock }, 0: { content: pattern(BLOCK) } },
    footer: qemu,
  })
  for (const file of [dynamic, makeFixed(DISK, qemu)]) {
    await writeFile(folder.path('image.vhd'), file)
    await run('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', folder.path('image.vhd'), folder.path('back.raw')])
    expect((await readFile(folder.path('back.raw'))).equals(DISK)).toBe(true)
    await using opened = await openDisk(folder.path('image.vhd'))
    expect(await sha256(opened.disk)).toBe(await hashFile(folder.path('back.raw')))
  }
})

/** A child with single sectors, whole blocks and a block of its own that is empty, on PARENT. */
async function writeChain(folder: Scratch): Promise<string> {
  await writeFile(folder.path('parent.vhd'), PARENT)
  const child = makeDynamic({
    size: SIZE,
    blocks: {
      1: { content: pattern(BLOCK, 11) },
      0: { content: pattern(BLOCK, 77), sectors: [0, 1, 9, 100, 4095] },
      2: { content: Buffer.alloc(BLOCK) },
      3: { content: pattern(BLOCK, 3), sectors: [] },
    },
    parent: { uniqueId: PARENT_ID, name: 'parent.vhd', locators: { W2ru: '.\\parent.vhd' } },
  })
  await writeFile(folder.path('child.vhd'), child)
  const grandchild = makeDynamic({
    size: SIZE,
    uniqueId: '00112233-4455-6677-8899-aabbccddeeff',
    blocks: { 4: { content: shortBlock, sectors: [2, 3] }, 0: { content: pattern(BLOCK, 99), sectors: [1] } },
    parent: { uniqueId: CHILD_ID, name: 'child.vhd', locators: { W2ru: '.\\child.vhd' } },
  })
  await writeFile(folder.path('grandchild.vhd'), grandchild)
  return folder.path('grandchild.vhd')
}

testWith(['7zz'], 'made by hand → 7-Zip: a chain of three reads as ours', async () => {
  await using folder = await scratch()
  const image = await writeChain(folder)
  await run('7zz', ['x', '-tVHD', '-y', `-o${folder.path('out')}`, image])
  await using opened = await openDisk(image)
  expect(opened.chain.map(({ path }) => path.split('/').at(-1))).toEqual(['grandchild.vhd', 'child.vhd', 'parent.vhd'])
  expect(await sha256(opened.disk)).toBe(await hashFile(folder.path('out/grandchild.img')))
})

testWith(['vhdimount', 'fuse'], 'made by hand → libvhdi: dynamic', async () => {
  await using folder = await scratch()
  await writeFile(folder.path('image.vhd'), PARENT)
  const hash = await withVhdi(folder.path('image.vhd'), hashFile)
  await using opened = await openDisk(folder.path('image.vhd'))
  expect(await sha256(opened.disk)).toBe(hash)
})

testWith(['vhdiinfo'], 'made by hand → vhdiinfo: who the parent is', async () => {
  await using folder = await scratch()
  await writeChain(folder)
  const { stdout } = await run('vhdiinfo', [folder.path('child.vhd')])
  expect(stdout).toMatch(new RegExp(`Identifier\\s*: ${CHILD_ID}[^]*Parent identifier\\s*: ${PARENT_ID}`))
})
