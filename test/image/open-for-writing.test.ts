import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import { readChain } from '../../lib/image/open-chain.ts'
import { findChildren } from '../../lib/image/open-children.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { hashFile } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { hashBy7Zip } from '../helpers/seven-zip.ts'
import { testWith } from '../helpers/tools.ts'
import { vhd } from './chain-images.ts'

const MiB = 2 ** 20

/** base.vhdx, of which 0.avhdx is a child, and so on. */
async function makeChain(folder: Scratch, children: number): Promise<string[]> {
  const paths = [folder.path('base.vhdx')]
  await createImage(paths[0]!, { virtualSize: 8 * MiB })
  for (let n = 0; n < children; n++) {
    paths.push(folder.path(`${n}.avhdx`))
    await createChild(paths.at(-1)!, paths.at(-2)!)
  }
  return paths
}

async function write(path: string, offset: number, bytes: Buffer, force = false): Promise<void> {
  await using opened = await openDisk(path, { writable: true, force })
  await opened.disk.write(offset, bytes)
}

async function read(path: string, offset: number, length: number): Promise<Buffer> {
  await using opened = await openDisk(path)
  const bytes = Buffer.alloc(length)
  await opened.disk.read(offset, bytes)
  return bytes
}

test('a raw file', async () => {
  await using folder = await scratch()
  await writeFile(folder.path('disk'), Buffer.alloc(4096))
  await write(folder.path('disk'), 1000, pattern(100))
  expect((await readFile(folder.path('disk'))).subarray(1000, 1100)).toEqual(pattern(100))
})

testWith(['7zz'], 'the last child of a chain, whose parents stay as they are', async () => {
  await using folder = await scratch()
  const [base, middle, leaf] = (await makeChain(folder, 2)) as [string, string, string]
  await write(base, 0, pattern(3 * MiB), true)
  await rm(middle)
  await rm(leaf)
  await createChild(middle, base)
  await createChild(leaf, middle)
  const before = [await hashFile(base), await hashFile(middle)]
  await write(leaf, MiB - 256, pattern(1024, 7))
  await write(leaf, 5 * MiB, pattern(MiB, 9))
  const disk = Buffer.alloc(8 * MiB)
  pattern(3 * MiB).copy(disk)
  pattern(1024, 7).copy(disk, MiB - 256)
  pattern(MiB, 9).copy(disk, 5 * MiB)
  expect((await read(leaf, 0, disk.length)).equals(disk)).toBe(true)
  await writeFile(folder.path('expected'), disk)
  expect(await hashBy7Zip(leaf)).toBe(await hashFile(folder.path('expected')))
  expect([await hashFile(base), await hashFile(middle)]).toEqual(before)
  expect((await readChain(leaf)).problem).toBeUndefined()
})

describe('an image with children', () => {
  test('is not opened, its children are named, and nothing of it changes; --force opens it', async () => {
    await using folder = await scratch()
    const [base, child] = (await makeChain(folder, 1)) as [string, string]
    await createChild(folder.path('another.vhdx'), base)
    await createChild(folder.path('grandchild.vhdx'), child)
    const before = await hashFile(base)
    const error = await openDisk(base, { writable: true }).catch(error => error)
    expect(error).toMatchObject({
      name: 'RefusedError',
      code: 'HAS_CHILDREN',
      details: { path: base, children: [child, folder.path('another.vhdx')] },
      message: expect.stringContaining('they would not fit it any more'),
    })
    // Opened and closed without a change, it is still their parent.
    await (await openDisk(base, { writable: true, force: true })).close()
    expect(await hashFile(base)).toBe(before)
    await write(base, 0, pattern(512), true)
    expect((await readChain(child)).problem).toMatchObject({ code: 'PARENT_CHANGED' })
    await write(base, 512, pattern(512))
  })

  test('in the folder of a link, and in that of the file; not in others, nor by another ending', async () => {
    await using folder = await scratch()
    const [base, child] = (await makeChain(folder, 1)) as [string, string]
    await mkdir(folder.path('links'))
    const link = folder.path('links/today.vhdx')
    await symlink(base, link)
    await createChild(folder.path('links/of-link.vhdx'), link)
    const parent = { path: link, identity: '', id: (await readChain(base)).images[0]!.id }
    expect((await findChildren(parent)).paths).toEqual([folder.path('links/of-link.vhdx'), child])
    expect((await findChildren({ ...parent, path: base })).paths).toEqual([child])
    await rename(child, folder.path('0.bin'))
    expect((await findChildren({ ...parent, path: base })).paths).toEqual([])
  })

  test('among files that cannot be read or are no images', async () => {
    await using folder = await scratch()
    const [base, child] = (await makeChain(folder, 1)) as [string, string]
    await writeFile(folder.path('damaged.vhdx'), (await readFile(child)).fill(0, 0x10000, 0x30000))
    await writeFile(folder.path('empty.vhdx'), '')
    await writeFile(folder.path('other.vhd'), vhd().file)
    await mkdir(folder.path('folder.vhdx'))
    await symlink('nowhere', folder.path('link.vhdx'))
    await expect(openDisk(base, { writable: true })).rejects.toMatchObject({ details: { children: [child] } })
  })

  test('more than are looked at: which is said', async () => {
    await using folder = await scratch()
    const [base] = (await makeChain(folder, 0)) as [string]
    for (let n = 0; n < 1000; n++) await writeFile(folder.path(`0${n}.vhdx`), '')
    await using opened = await openDisk(base, { writable: true })
    expect(opened.findings).toMatchObject([{ code: 'CHILDREN_NOT_ALL_SOUGHT', details: { count: 1001 } }])
  })
})

test('a VHD is only read', async () => {
  await using folder = await scratch()
  await writeFile(folder.path('a.vhd'), vhd().file)
  await expect(openDisk(folder.path('a.vhd'), { writable: true })).rejects.toMatchObject({ code: 'VHD_READ_ONLY' })
})

test('what another has open is in use, and a child without its parent is not opened', async () => {
  await using folder = await scratch()
  const [base, child] = (await makeChain(folder, 1)) as [string, string]
  {
    await using _ = await openDisk(child)
    await expect(openDisk(child, { writable: true })).rejects.toMatchObject({ code: 'IN_USE' })
    await expect(openDisk(base, { writable: true, force: true })).rejects.toMatchObject({ code: 'IN_USE' })
  }
  await rm(base)
  await expect(openDisk(child, { writable: true })).rejects.toMatchObject({ code: 'PARENT_NOT_FOUND' })
})
