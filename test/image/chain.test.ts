import { mkdir, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FormatError, NotFoundError } from '../../lib/errors.ts'
import { MAX_CHAIN_LENGTH } from '../../lib/image/chain.ts'
import { readChain } from '../../lib/image/open-chain.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { type OpenedImage, openImageIn } from '../../lib/image/open-image.ts'
import { EPOCH } from '../../lib/vhd/format.ts'
import type { Entry } from '../../lib/volume/entry.ts'
import type { Files } from '../../lib/volume/files.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { testWith } from '../helpers/tools.ts'
import { TestImage } from '../vhdx/test-image.ts'
import { type Made, type Paths, SIZE, vhd, vhdx } from './chain-images.ts'

/** A volume that holds `contents` by their paths, whatever the case. Lists which paths were looked at. */
class FakeFiles {
  readonly asked: string[] = []
  readonly #contents: Map<string, Buffer>

  constructor(contents: Readonly<Record<string, Buffer>>) {
    this.#contents = new Map(Object.entries(contents).map(([path, content]) => [path.toLowerCase(), content]))
  }

  async stat(path: string): Promise<Entry> {
    this.asked.push(path)
    if (!this.#contents.has(path.toLowerCase())) throw new NotFoundError('NO_SUCH_FILE', `no ${path}`)
    return { path, kind: 'file', record: undefined, modified: 133_000_000_000_000_000n } as Entry
  }

  async open({ path }: Entry): Promise<MemoryDevice> {
    return new MemoryDevice(this.#contents.get(path.toLowerCase())!, { readOnly: true })
  }
}

const filesOf = (contents: Readonly<Record<string, Buffer>>) => {
  const files = new FakeFiles(contents)
  return { asked: files.asked, files: files as unknown as Files }
}

async function contentOf({ disk }: OpenedImage): Promise<Buffer> {
  const content = Buffer.alloc(disk.size)
  await disk.read(0, content)
  return content
}

/** Opens `path`, and compares the disk with what it has to be. */
async function expectDisk(opening: Promise<OpenedImage>, { disk }: Made, parents: readonly string[]): Promise<void> {
  await using opened = await opening
  expect((await contentOf(opened)).equals(disk)).toBe(true)
  expect(opened.chain.slice(1).map(({ path }) => path)).toEqual(parents)
}

const VOLUME = '\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\by volume\\p.vhdx'

describe('the order in which a parent is looked for', async () => {
  const parent = await vhdx()
  const other = await vhdx()
  const child = await vhdx(parent, {
    absolute_win32_path: '\\\\?\\d:\\absolute\\p.vhdx',
    volume_path: VOLUME,
    relative_path: '..\\relative\\p.vhdx',
  })

  test.each([
    ['relative', ['/VMs/relative/p.vhdx', '/by volume/p.vhdx', '/absolute/p.vhdx'], 1],
    ['by volume', ['/by volume/p.vhdx', '/absolute/p.vhdx'], 2],
    ['absolute', ['/absolute/p.vhdx', '/VMs/leaf/p.vhdx'], 3],
    ['beside the child', ['/VMs/leaf/p.vhdx', '/VMs/p.vhdx'], undefined],
    ['moved together with its folder', ['/VMs/leaf/by volume/p.vhdx', '/VMs/p.vhdx'], undefined],
    ['a folder above', ['/VMs/p.vhdx'], undefined],
    ['from the root', ['/relative/p.vhdx', '/p.vhdx'], undefined],
    ['in another case', ['/vms/RELATIVE/P.VHDX'], 1],
  ])('%s', async (_, places, tries) => {
    const contents = Object.fromEntries(places.map(place => [place, parent.file]))
    const { files, asked } = filesOf({ ...contents, '/VMs/leaf/child.vhdx': child.file })
    await using opened = await openImageIn(files, '/VMs/leaf/child.vhdx')
    expect(opened.chain[1]!.path.toLowerCase()).toBe(places[0]!.toLowerCase())
    expect((await contentOf(opened)).equals(child.disk)).toBe(true)
    // The child, each place once, and the one that was found again to open it.
    if (tries !== undefined) expect(asked).toHaveLength(1 + tries + 1)
  })

  test('another image of that name is passed over', async () => {
    const { files } = filesOf({
      '/VMs/leaf/child.vhdx': child.file,
      '/VMs/relative/p.vhdx': other.file,
      '/by volume/p.vhdx': Buffer.from('no image at all'),
      '/absolute/p.vhdx': Buffer.alloc(0),
      '/p.vhdx': parent.file,
    })
    await expectDisk(openImageIn(files, '/VMs/leaf/child.vhdx'), child, ['/p.vhdx'])
  })

  test('a damaged folder on the way hides no other place, and is told when nothing else is found', async () => {
    const contents = { '/VMs/leaf/child.vhdx': child.file }
    const damaged = (contents: Readonly<Record<string, Buffer>>) => {
      const { files } = filesOf(contents)
      const stat = files.stat.bind(files)
      files.stat = async path => {
        if (path.startsWith('/VMs/relative')) throw new FormatError('BAD_FOLDER', 'the folder is damaged')
        return stat(path)
      }
      return files
    }
    const opening = openImageIn(damaged({ ...contents, '/p.vhdx': parent.file }), '/VMs/leaf/child.vhdx')
    await expectDisk(opening, child, ['/p.vhdx'])
    await expect(openImageIn(damaged(contents), '/VMs/leaf/child.vhdx')).rejects.toMatchObject({
      code: 'PARENT_DAMAGED',
      message: expect.stringContaining('cannot be read in /VMs/relative/p.vhdx: the folder is damaged'),
    })
  })

  test('a file of that name that is no image is told', async () => {
    const { files } = filesOf({ '/child.vhdx': child.file, '/p.vhdx': Buffer.from('no image at all') })
    await expect(openImageIn(files, '/child.vhdx', { parent: '/p.vhdx' })).rejects.toMatchObject({
      code: 'PARENT_NOT_FOUND',
      message: expect.stringContaining("Looked at '/p.vhdx'; '/p.vhdx' is no VHDX and no VHD"),
    })
  })

  test('no place is looked at twice, and all are told', async () => {
    const { files, asked } = filesOf({ '/VMs/leaf/child.vhdx': child.file })
    const error = await openImageIn(files, '/VMs/leaf/child.vhdx').catch(error => error)
    expect(error).toMatchObject({ name: 'NotFoundError', code: 'PARENT_NOT_FOUND' })
    expect(error.details).toMatchObject({ child: '/VMs/leaf/child.vhdx', expected: [parent.id], tried: asked.slice(1) })
    expect(new Set(asked).size).toBe(asked.length)
    expect(asked.slice(1, 4)).toEqual(['/VMs/relative/p.vhdx', '/by volume/p.vhdx', '/absolute/p.vhdx'])
    for (const part of ["'..\\relative\\p.vhdx'", parent.id, "'/absolute/p.vhdx'", 'more places', '--search']) {
      expect(error.message).toContain(part)
    }
  })

  test('an image of another volume names no folder of this one', async () => {
    const { files, asked } = filesOf({ '/child.vhdx': child.file })
    await expect(openImageIn(files, '/child.vhdx')).rejects.toMatchObject({ code: 'PARENT_NOT_FOUND' })
    expect(asked.every(path => path.startsWith('/') && !path.includes('..'))).toBe(true)
  })
})

describe('chains of three', () => {
  const paths = (name: string): Paths => ({ relative_path: `.\\${name}.vhdx` })
  test('VHDX', async () => {
    const base = await vhdx()
    const middle = await vhdx(base, paths('base'))
    const leaf = await vhdx(middle, paths('middle'), { seed: 3 })
    const { files } = filesOf({ '/base.vhdx': base.file, '/middle.vhdx': middle.file, '/leaf.vhdx': leaf.file })
    await expectDisk(openImageIn(files, '/leaf.vhdx'), leaf, ['/middle.vhdx', '/base.vhdx'])
  })

  test('VHD', async () => {
    const base = vhd()
    const middle = vhd(base, { W2ru: '.\\base.vhd' })
    const leaf = vhd(middle, { MacX: 'file://./middle.vhd' })
    const { files } = filesOf({ '/base.vhd': base.file, '/middle.vhd': middle.file, '/leaf.vhd': leaf.file })
    await expectDisk(openImageIn(files, '/leaf.vhd'), leaf, ['/middle.vhd', '/base.vhd'])
  })

  test('parent_linkage2 serves while a merge is under way', async () => {
    const base = await vhdx()
    const merged = { ...base, id: '11111111-2222-4333-8444-555555555555' }
    const child = await vhdx(merged, { ...paths('base'), parent_linkage2: `{${base.id.toUpperCase()}}` })
    const { files } = filesOf({ '/base.vhdx': base.file, '/leaf.vhdx': child.file })
    await using opened = await openImageIn(files, '/leaf.vhdx')
    expect((await contentOf(opened)).equals(child.disk)).toBe(true)
    expect(opened.findings.map(({ code }) => code)).toContain('PARENT_LINKAGE2')
  })
})

describe('what is refused', () => {
  test('a parent that was written to since, with both ids', async () => {
    const parent = await vhdx()
    const child = await vhdx(parent, { relative_path: 'p.vhdx' })
    const written = new TestImage(Buffer.from(parent.file))
    written.editHeaders({ dataWriteGuid: '11111111-2222-4333-8444-555555555555' })
    const { files } = filesOf({ '/p.vhdx': written.content, '/c.vhdx': child.file })
    const error = await openImageIn(files, '/c.vhdx').catch(error => error)
    expect(error).toMatchObject({ name: 'FormatError', code: 'PARENT_CHANGED' })
    expect(error.details).toMatchObject({ path: '/p.vhdx', expected: [parent.id], tried: ['/p.vhdx'] })
    expect(error.message).toContain(parent.id)
    expect(error.message).toContain('11111111-2222-4333-8444-555555555555')
  })

  test('a damaged parent, with the cause', async () => {
    const parent = await vhdx()
    const child = await vhdx(parent, { relative_path: 'p.vhdx' })
    const damaged = Buffer.from(parent.file).fill(0, 64 * 1024, 256 * 1024)
    const { files } = filesOf({ '/p.vhdx': damaged, '/c.vhdx': child.file })
    const error = await openImageIn(files, '/c.vhdx').catch(error => error)
    expect(error).toMatchObject({ name: 'FormatError', code: 'PARENT_DAMAGED', cause: { code: 'HEADER_NONE' } })
    expect(error.message).toContain(error.cause.message)
    const cutShort = filesOf({ '/p.vhdx': parent.file.subarray(0, 100_000), '/c.vhdx': child.file })
    await expect(openImageIn(cutShort.files, '/c.vhdx')).rejects.toMatchObject({ code: 'PARENT_DAMAGED' })
  })

  test('an image that is its own parent, and two that are each others', async () => {
    const twin = await vhdx()
    const self = await vhdx(twin, { relative_path: 'c.vhdx' })
    const circle = filesOf({ '/c.vhdx': self.file })
    await expect(openImageIn(circle.files, '/c.vhdx')).rejects.toMatchObject({
      name: 'FormatError',
      code: 'CHAIN_CYCLE',
      details: { path: '/c.vhdx' },
    })
    // Two VHDs whose ids say so: nothing but the files themselves gives it away.
    const a = { ...vhd(), id: '00000000-0000-4000-8000-00000000aaaa' }
    const b = vhd(a, { W2ru: 'a.vhd' })
    const id = Buffer.from(a.id.replaceAll('-', ''), 'hex')
    const back = vhd(b, { W2ru: 'b.vhd' }).file
    for (const at of [0, back.length - 512]) rewriteId(back, at, id)
    const both = filesOf({ '/a.vhd': back, '/b.vhd': b.file })
    await expect(openImageIn(both.files, '/b.vhd')).rejects.toMatchObject({ code: 'CHAIN_CYCLE' })
  })

  test('more images than a chain may have', async () => {
    const contents: Record<string, Buffer> = {}
    let image = vhd()
    contents['/0.vhd'] = image.file
    for (let i = 1; i <= MAX_CHAIN_LENGTH; i++) {
      image = vhd(image, { W2ru: `${i - 1}.vhd` })
      contents[`/${i}.vhd`] = image.file
    }
    const { files } = filesOf(contents)
    const last = await openImageIn(files, `/${MAX_CHAIN_LENGTH - 1}.vhd`)
    expect(last.chain).toHaveLength(MAX_CHAIN_LENGTH)
    await expect(openImageIn(files, `/${MAX_CHAIN_LENGTH}.vhd`)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'CHAIN_TOO_DEEP',
    })
  })

  test('other sectors; another size is a finding in VHDX and an error in VHD', async () => {
    const large = await vhdx(undefined, {}, { logicalSectorSize: 4096, physicalSectorSize: 4096 })
    const child = await vhdx(large, { relative_path: 'p.vhdx' })
    const sectors = filesOf({ '/p.vhdx': large.file, '/c.vhdx': child.file })
    await expect(openImageIn(sectors.files, '/c.vhdx')).rejects.toMatchObject({ code: 'PARENT_SECTOR_SIZE' })

    const small = await vhdx()
    const grown = await vhdx(small, { relative_path: 'p.vhdx' }, { virtualSize: SIZE * 2 })
    const sizes = filesOf({ '/p.vhdx': small.file, '/c.vhdx': grown.file })
    await using opened = await openImageIn(sizes.files, '/c.vhdx')
    expect(opened.findings.map(({ code }) => code)).toEqual(['PARENT_SIZE'])
    expect((await contentOf(opened)).equals(grown.disk)).toBe(true)

    const base = vhd()
    const other = vhd(base, { W2ru: 'p.vhd' }, 0, SIZE * 2)
    const vhds = filesOf({ '/p.vhd': base.file, '/c.vhd': other.file })
    await expect(openImageIn(vhds.files, '/c.vhd')).rejects.toMatchObject({ name: 'FormatError', code: 'PARENT_SIZE' })
  })

  test('a raw disk and a VHDX are no parents of a VHD', async () => {
    const parent = vhd()
    const child = vhd(parent, { W2ru: 'p.vhd' })
    for (const file of [Buffer.alloc(SIZE, 1), (await vhdx()).file]) {
      const { files } = filesOf({ '/p.vhd': file, '/c.vhd': child.file })
      const error = await openImageIn(files, '/c.vhd').catch(error => error)
      expect(['PARENT_NOT_FOUND', 'PARENT_CHANGED']).toContain(error.code)
    }
  })
})

/** Gives the footer at `at` another id, with its checksum made good. */
function rewriteId(file: Buffer, at: number, id: Buffer): void {
  const [idAt, checksumAt] = [at + 68, at + 64]
  const sum = (bytes: Buffer) => bytes.reduce((total, byte) => total + byte, 0)
  const change = sum(id) - sum(file.subarray(idAt, idAt + 16))
  id.copy(file, idAt)
  file.writeUInt32BE(file.readUInt32BE(checksumAt) - change, checksumAt)
}

describe('on this system', () => {
  const write = async (folder: Scratch, path: string, { file }: Made) => {
    await mkdir(dirname(folder.path(path)), { recursive: true })
    await writeFile(folder.path(path), file)
    return folder.path(path)
  }
  const openFiles = async () => (await readdir('/proc/self/fd').catch(() => [])).length

  test('moved, renamed and gone: found, found when told, refused', async () => {
    await using folder = await scratch()
    const parent = await vhdx()
    const child = await vhdx(parent, {
      relative_path: '.\\base\\p.vhdx',
      absolute_win32_path: '\\\\?\\C:\\VMs\\base\\p.vhdx',
    })
    const before = await openFiles()
    const leaf = await write(folder, 'VMs/c.avhdx', child)
    const place = await write(folder, 'VMs/base/p.vhdx', parent)
    await expectDisk(openDisk(leaf), child, [place])

    await mkdir(folder.path('elsewhere/base'), { recursive: true })
    await rename(place, folder.path('elsewhere/base/P.VHDX'))
    const missing = await openDisk(leaf).catch(error => error)
    expect(missing).toMatchObject({ code: 'PARENT_NOT_FOUND' })
    expect(missing.message).toContain(place)
    expect(await openFiles()).toBe(before)
    for (const search of ['elsewhere', 'elsewhere/base']) {
      await expectDisk(openDisk(leaf, { search: [folder.path('VMs'), folder.path(search)] }), child, [
        folder.path('elsewhere/base/P.VHDX'),
      ])
    }

    await rename(folder.path('elsewhere/base/P.VHDX'), folder.path('renamed'))
    await expect(openDisk(leaf, { search: [folder.path('')] })).rejects.toMatchObject({ code: 'PARENT_NOT_FOUND' })
    await expectDisk(openDisk(leaf, { parent: folder.path('renamed') }), child, [folder.path('renamed')])
    await expect(openDisk(leaf, { parent: folder.path('nothing') })).rejects.toMatchObject({ name: 'NotFoundError' })
    await expect(openDisk(leaf, { parent: leaf })).rejects.toMatchObject({ code: 'CHAIN_CYCLE' })

    await rm(folder.path('renamed'))
    await write(folder, 'VMs/base/p.vhdx', await vhdx())
    await expect(openDisk(leaf)).rejects.toMatchObject({ code: 'PARENT_CHANGED' })
    expect(await openFiles()).toBe(before)
  })

  test('a child opened through a link: its own folder counts too', async () => {
    await using folder = await scratch()
    const parent = vhd()
    const child = vhd(parent, { W2ru: '.\\p.vhd' })
    const leaf = await write(folder, 'deep/images/c.vhd', child)
    const place = await write(folder, 'deep/images/p.vhd', parent)
    await symlink(leaf, folder.path('link.vhd'))
    await expectDisk(openDisk(folder.path('link.vhd')), child, [place])
  })

  test('the parent is only read, and is locked against writing', async () => {
    await using folder = await scratch()
    const parent = await vhdx()
    const child = await vhdx(parent, { relative_path: 'p.vhdx' })
    const [leaf, place] = [await write(folder, 'c.vhdx', child), await write(folder, 'p.vhdx', parent)]
    const opened = await openDisk(leaf)
    const again = await openDisk(leaf)
    await expect(FileDevice.open(place, { mode: 'write' })).rejects.toMatchObject({ name: 'BusyError' })
    await opened.close()
    await again.close()
    const writer = await FileDevice.open(place, { mode: 'write' })
    await expect(openDisk(leaf)).rejects.toMatchObject({ name: 'BusyError', code: 'IN_USE' })
    await writer.close()
    await (await openDisk(leaf)).close()
  })

  test('a VHD whose parent was changed at another time: a warning', async () => {
    await using folder = await scratch()
    const when = Date.UTC(2020, 5, 1, 12, 0, 0)
    const parent = vhd()
    const child = vhd(parent, { W2ru: 'p.vhd' }, (when - EPOCH) / 1000)
    const [leaf, place] = [await write(folder, 'c.vhd', child), await write(folder, 'p.vhd', parent)]
    const codes = async () => {
      await using opened = await openDisk(leaf)
      return opened.findings.map(({ code }) => code)
    }
    expect(await codes()).toEqual(['PARENT_TIMESTAMP'])
    await utimes(place, new Date(when), new Date(when + 1000))
    expect(await codes()).toEqual([])
    await utimes(place, new Date(when), new Date(when + 3_600_000))
    expect(await codes()).toEqual(['PARENT_TIMESTAMP'])
  })

  test('a finding about a parent names it', async () => {
    await using folder = await scratch()
    const parent = vhd()
    const child = vhd(parent, { W2ru: 'p.vhd' })
    parent.file.fill(0, 0, 8)
    const [leaf, place] = [await write(folder, 'c.vhd', child), await write(folder, 'p.vhd', parent)]
    await using opened = await openDisk(leaf)
    expect(opened.findings).toMatchObject([
      { code: 'VHD_FOOTER_COPY_BAD', message: expect.stringContaining(place), details: { path: place } },
    ])
    expect((await contentOf(opened)).equals(child.disk)).toBe(true)
  })

  test('readChain tells of a chain that cannot be opened, and throws for what is no image', async () => {
    await using folder = await scratch()
    const parent = await vhdx()
    const child = await vhdx(parent, { relative_path: 'p.vhdx' })
    const leaf = await write(folder, 'c.vhdx', child)
    const before = await openFiles()
    const broken = await readChain(leaf)
    expect(broken.images.map(({ path, type, id }) => ({ path, type, id }))).toEqual([
      { path: leaf, type: 'differencing', id: child.id },
    ])
    expect(broken.problem).toMatchObject({ code: 'PARENT_NOT_FOUND' })
    await write(folder, 'p.vhdx', parent)
    const whole = await readChain(leaf)
    expect(whole).toMatchObject({ problem: undefined, findings: [], images: [{ format: 'vhdx' }, { id: parent.id }] })
    expect(await openFiles()).toBe(before)
    await writeFile(folder.path('raw'), Buffer.alloc(4096, 1))
    await expect(readChain(folder.path('raw'))).rejects.toMatchObject({ name: 'UnsupportedError', code: 'NO_IMAGE' })
  })

  testWith(['corpus'], "Windows' own differencing VHD: its parent is missing, and is named", async () => {
    const path = await corpusImage('vhd/dfvfs/fat-differential.vhd').unpack()
    const error = await openDisk(path).catch(error => error)
    expect(error).toMatchObject({
      code: 'PARENT_NOT_FOUND',
      details: { expected: ['5fa21a55-f394-aa4d-9958-1951a67d5540'] },
    })
    expect(error.details.tried[0]).toBe(path.replace('fat-differential.vhd', 'fat-parent.vhd'))
    expect(error.message).toContain("'C:\\Projects\\dfvfs\\test_data\\fat-parent.vhd'")
  })
})
