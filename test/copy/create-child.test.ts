/** New differencing images: what they take over from their parent, and how they name it. */
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { GiB, MiB } from '../../lib/binary/size.ts'
import { type CreateChildOptions, createChild, createImage } from '../../lib/copy/create-image.ts'
import { pathsToParent } from '../../lib/copy/parent-paths.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { readChain } from '../../lib/image/open-chain.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import {
  BAT_REGION,
  IS_USER,
  IS_VIRTUAL_DISK,
  PARENT_LOCATOR,
  VIRTUAL_DISK_ID,
  VIRTUAL_DISK_SIZE,
} from '../../lib/vhdx/format.ts'
import { readSoundStructures, type SoundStructures } from '../../lib/vhdx/structures.ts'
import { hashFile } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { hashBy7Zip } from '../helpers/seven-zip.ts'
import { run, testWith } from '../helpers/tools.ts'
import * as images from '../image/chain-images.ts'
import { LOG_GUID, logEntry, putInLog } from '../vhdx/log-entries.ts'
import { TestImage } from '../vhdx/test-image.ts'

const SIZE = 8 * MiB

/** A parent at `path`, changed by `change`, with blocks 0, 3 and 7 of 8. */
async function makeParent(path: string, change: (image: TestImage) => void = () => {}): Promise<string> {
  const image = await TestImage.make({ virtualSize: SIZE, blockSize: MiB }, [0, 3, 7])
  change(image)
  await writeFile(path, image.content)
  return path
}

async function structuresOf(path: string): Promise<SoundStructures> {
  await using file = await FileDevice.open(path)
  return await readSoundStructures(file)
}

async function contentOf(path: string): Promise<Buffer> {
  await using opened = await openDisk(path)
  const content = Buffer.alloc(opened.disk.size)
  await opened.disk.read(0, content)
  return content
}

const inScratch = async (use: (folder: Scratch) => Promise<void>) => {
  await using folder = await scratch()
  await use(folder)
}

describe('a child', () => {
  test('has the disk of its parent, keeps every rule, and its parent stays as it was', () =>
    inScratch(async folder => {
      const [parent, child] = [await makeParent(folder.path('parent.vhdx')), folder.path('child.vhdx')]
      const before = await hashFile(parent)
      const created = await createChild(child, parent)
      expect(created).toMatchObject({ path: child, virtualSize: SIZE, blockSize: MiB, hasParent: true, findings: [] })
      expect(created.fileSize).toBe((await stat(child)).size)
      expect(await hashFile(parent)).toBe(before)
      expect((await contentOf(child)).equals(await contentOf(parent))).toBe(true)
      const { problem, findings, images } = await readChain(child)
      expect([problem, findings, images.map(({ path }) => path)]).toEqual([undefined, [], [child, parent]])
      await using file = await FileDevice.open(child)
      expect((await checkVhdx(file)).problems).toMatchObject([{ code: 'PARENT_NOT_OPENED' }])
    }))

  testWith(['7zz', 'vhdiinfo'], 'is the same disk to 7-Zip, three deep, and libvhdi knows its parent', () =>
    inScratch(async folder => {
      const parent = await makeParent(folder.path('0.vhdx'))
      const whole = await hashBy7Zip(parent)
      for (const n of [1, 2]) {
        const created = await createChild(folder.path(`${n}.avhdx`), n === 1 ? parent : folder.path('1.avhdx'))
        expect(await hashBy7Zip(folder.path(`${n}.avhdx`))).toBe(whole)
        const { stdout } = await run('vhdiinfo', [folder.path(`${n}.avhdx`)])
        expect(stdout).toContain('Differential')
        expect(stdout).toMatch(new RegExp(`Parent identifier\\s*: ${created.parent!.image.dataWriteGuid}`))
      }
    }),
  )

  test('names its parent as Windows does, byte by byte', () =>
    inScratch(async folder => {
      await mkdir(folder.path('sub'))
      const [parent, child] = [await makeParent(folder.path('Größe.vhdx')), folder.path('sub/child.vhdx')]
      await createChild(child, parent)
      const { headers, metadataRegion } = await structuresOf(child)
      const id = (await structuresOf(parent)).headers.current.header.dataWriteGuid
      expect(headers.current.header.dataWriteGuid).not.toBe(id)
      const entries = [...metadataRegion.metadata.parentLocator!.entries]
      expect(entries).toEqual([
        ['parent_linkage', `{${id}}`],
        ['relative_path', '..\\Größe.vhdx'],
      ])
      const item = metadataRegion.items.find(({ itemId }) => itemId === PARENT_LOCATOR)!
      expect(item).toMatchObject({ isUser: false, isVirtualDisk: false, isRequired: true })
      const bytes = (await readFile(child)).subarray(item.offset, item.offset + item.length)
      const text = entries.flat().join('')
      const head = 'b7ef4ab09ed1814ab78925b8e9445913' + '0000' + '0200'
      const lengths = (at: number, key: string, value: string) => {
        const entry = Buffer.alloc(12)
        entry.writeUInt32LE(at, 0)
        entry.writeUInt32LE(at + 2 * key.length, 4)
        entry.writeUInt16LE(2 * key.length, 8)
        entry.writeUInt16LE(2 * value.length, 10)
        return entry.toString('hex')
      }
      const [[key, value], second] = entries as [[string, string], [string, string]]
      const at = 20 + 2 * 12
      expect(bytes.toString('hex')).toBe(
        head +
          lengths(at, key, value) +
          lengths(at + 2 * (key + value).length, ...second) +
          Buffer.from(text, 'utf16le').toString('hex'),
      )
    }))

  test('takes over the items of the disk, and no others', () =>
    inScratch(async folder => {
      const [own, users, files] = ['1', '2', '3'].map(n => `00000000-0000-0000-0000-00000000000${n}`)
      const parent = await makeParent(folder.path('parent.vhdx'), image => {
        image.addItem(own!, Buffer.from('of the disk'), IS_VIRTUAL_DISK)
        image.addItem(users!, Buffer.from('of the user and the disk'), IS_VIRTUAL_DISK + IS_USER)
        image.addItem(files!, Buffer.from('of the file'), IS_USER)
        image.addItem(own!, Buffer.alloc(0), IS_VIRTUAL_DISK + IS_USER)
      })
      const child = folder.path('child.vhdx')
      await createChild(child, parent)
      const [above, below] = [await structuresOf(parent), await structuresOf(child)]
      const bytes = await readFile(child)
      const items = below.metadataRegion.items.slice(6).map(({ itemId, isUser, isVirtualDisk, offset, length }) => ({
        itemId,
        isUser,
        isVirtualDisk,
        text: bytes.toString('latin1', offset, offset + length),
      }))
      expect(items).toEqual([
        { itemId: own, isUser: false, isVirtualDisk: true, text: 'of the disk' },
        { itemId: users, isUser: true, isVirtualDisk: true, text: 'of the user and the disk' },
        { itemId: own, isUser: true, isVirtualDisk: true, text: '' },
      ])
      expect(below.metadataRegion.metadata.virtualDiskId).toBe(above.metadataRegion.metadata.virtualDiskId)
      for (const id of [VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE]) {
        const flags = { isVirtualDisk: true, isRequired: true }
        expect(below.metadataRegion.items.find(({ itemId }) => itemId === id)).toMatchObject(flags)
      }
    }))

  test.each([
    ['blocks of its own', { blockSize: 4 * MiB }, { blockSize: 4 * MiB, virtualSize: SIZE }],
    ['a larger disk', { virtualSize: 11 * MiB }, { blockSize: MiB, virtualSize: 11 * MiB }],
    ['another physical sector', { physicalSectorSize: 512 }, { physicalSectorSize: 512 }],
  ] satisfies [string, CreateChildOptions, object][])('may have %s', (_, options, expected) =>
    inScratch(async folder => {
      const [parent, child] = [await makeParent(folder.path('parent.vhdx')), folder.path('child.vhdx')]
      expect(await createChild(child, parent, options)).toMatchObject(expected)
      expect((await structuresOf(child)).metadataRegion.metadata).toMatchObject(expected)
      const [whole, inherited] = [await contentOf(child), await contentOf(parent)]
      expect(whole.subarray(0, SIZE).equals(inherited)).toBe(true)
      expect(whole.subarray(SIZE).every(byte => byte === 0)).toBe(true)
    }),
  )

  test('has the sectors of its parent, also where the physical ones were smaller', () =>
    inScratch(async folder => {
      const parent = folder.path('parent.vhdx')
      await createImage(parent, { virtualSize: SIZE, logicalSectorSize: 4096 })
      await createChild(folder.path('child.vhdx'), parent)
      expect((await structuresOf(folder.path('child.vhdx'))).metadataRegion.metadata).toMatchObject({
        logicalSectorSize: 4096,
        physicalSectorSize: 4096,
      })
    }))

  test('has a BAT with all its sector bitmaps', () =>
    inScratch(async folder => {
      const [parent, child] = [folder.path('parent.vhdx'), folder.path('child.vhdx')]
      await createImage(parent, { virtualSize: 127 * GiB })
      await createChild(child, parent)
      const lengthOf = async (path: string) =>
        (await structuresOf(path)).regionTables.regions.find(({ guid }) => guid === BAT_REGION)!.length
      expect([await lengthOf(parent), await lengthOf(child)]).toEqual([MiB, 2 * MiB])
      expect((await structuresOf(child)).geometry.batEntryCount).toBe(131_104)
    }))
})

describe('no child is made', () => {
  const code = async (folder: Scratch, parent: string, options: CreateChildOptions = {}) => {
    const error = await createChild(folder.path('child.vhdx'), parent, options).catch(error => error)
    await expect(stat(folder.path('child.vhdx'))).rejects.toThrow('ENOENT')
    await expect(stat(folder.path('child.vhdx.partial'))).rejects.toThrow('ENOENT')
    return error.code
  }

  test.each([
    [{ virtualSize: MiB }, 'UNLIKE_PARENT'],
    [{ logicalSectorSize: 4096, physicalSectorSize: 4096 }, 'UNLIKE_PARENT'],
    [{ virtualDiskId: '00000000-0000-0000-0000-000000000001' }, 'UNLIKE_PARENT'],
    [{ fixed: true }, 'FIXED_CHILD'],
    [{ blockSize: 3 * MiB }, 'BAD_BLOCK_SIZE'],
  ] satisfies [CreateChildOptions, string][])('with %o', (options, expected) =>
    inScratch(async folder => {
      expect(await code(folder, await makeParent(folder.path('parent.vhdx')), options)).toBe(expected)
    }),
  )

  test('of a dirty image, a VHD, a raw disk, a folder, nothing, or with a backslash in its name', () =>
    inScratch(async folder => {
      const dirty = await makeParent(folder.path('dirty.vhdx'), image => {
        image.editHeaders({ logGuid: LOG_GUID })
        putInLog(image, 0, logEntry({ sequenceNumber: 1n, data: [] }))
      })
      await writeFile(folder.path('old.vhd'), images.vhd().file)
      await writeFile(folder.path('raw'), Buffer.alloc(MiB, 1))
      expect(await code(folder, dirty)).toBe('PARENT_DIRTY')
      expect(await code(folder, folder.path('old.vhd'))).toBe('PARENT_NOT_VHDX')
      expect(await code(folder, folder.path('raw'))).toBe('PARENT_NOT_VHDX')
      expect(await code(folder, folder.folder)).toBe('NOT_A_DISK')
      expect(await code(folder, folder.path('nothing'))).toBe('NOT_FOUND')
      expect(await code(folder, await makeParent(folder.path('a\\b.vhdx')))).toBe('PARENT_NAME')
    }))

  test('of a child whose own parent is missing or changed', () =>
    inScratch(async folder => {
      const [parent, child] = [await makeParent(folder.path('0.vhdx')), folder.path('1.vhdx')]
      await createChild(child, parent)
      await makeParent(parent)
      expect(await code(folder, child)).toBe('PARENT_CHANGED')
      await rm(parent)
      expect(await code(folder, child)).toBe('PARENT_NOT_FOUND')
    }))

  test('over an image of its own chain', () =>
    inScratch(async folder => {
      const [parent, child] = [await makeParent(folder.path('0.vhdx')), folder.path('1.vhdx')]
      await createChild(child, parent)
      for (const own of [parent, child]) {
        await expect(createChild(own, child, { force: true })).rejects.toMatchObject({ code: 'SAME_FILE' })
      }
    }))
})

describe('the paths of a parent', () => {
  test('go through no links of folders, which `..` would not go back through', () =>
    inScratch(async folder => {
      await mkdir(folder.path('a/deep'), { recursive: true })
      await mkdir(folder.path('b'))
      await symlink(folder.path('a/deep'), folder.path('b/link'))
      await makeParent(folder.path('b/parent.vhdx'))
      expect(await pathsToParent(folder.path('b/link/child.vhdx'), folder.path('b/parent.vhdx'))).toEqual({
        relative_path: '..\\..\\b\\parent.vhdx',
      })
      await createChild(folder.path('b/link/child.vhdx'), folder.path('b/parent.vhdx'))
      for (const path of ['b/link/child.vhdx', 'a/deep/child.vhdx']) {
        expect((await readChain(folder.path(path))).problem).toBeUndefined()
      }
    }))

  test('stay with a link that the user names', () =>
    inScratch(async folder => {
      await mkdir(folder.path('store'))
      await makeParent(folder.path('store/parent.vhdx'))
      await symlink(folder.path('store/parent.vhdx'), folder.path('today.vhdx'))
      expect(await pathsToParent(folder.path('child.vhdx'), folder.path('today.vhdx'))).toEqual({
        relative_path: '.\\today.vhdx',
      })
    }))
})
