/** The same disk in another form: every byte, what is kept beside it, what is said of the rest, what is refused. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, truncate, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GiB, KiB, MiB } from '../../lib/binary/size.ts'
import { BlockCounter } from '../../lib/copy/block-counter.ts'
import { captureDisk } from '../../lib/copy/capture.ts'
import { type ConvertSummary, convertDisk } from '../../lib/copy/convert.ts'
import { type ConvertOptions, planConversion, refuseHazards } from '../../lib/copy/convert-plan.ts'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import { DenseWriter } from '../../lib/copy/dense-writer.ts'
import { readManifest } from '../../lib/copy/read-manifest.ts'
import { verifyImage } from '../../lib/copy/verify.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { VhdDevice } from '../../lib/vhd/vhd-device.ts'
import { VhdxBuilder } from '../../lib/vhdx/builder.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { type CorpusImage, sha256, sparseSha256, testEachImage } from '../helpers/corpus.ts'
import { buildDisk, hashFile, putBytes } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { attachLoop } from '../helpers/loop.ts'
import { mountNew } from '../helpers/mounted.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'
import { withVhdi } from '../helpers/vhdi.ts'
import * as images from '../image/chain-images.ts'
import { TestImage } from '../vhdx/test-image.ts'

const tool = { name: 'test', version: '1.2.3' }

const convert = (source: string, target: string, options: Partial<ConvertOptions> = {}): Promise<ConvertSummary> =>
  convertDisk({ source, target, tool, ...options })

const inScratch = async (use: (folder: Scratch) => Promise<void>) => {
  await using folder = await scratch()
  await use(folder)
}

const SIZE = 13 * MiB + 512

/** A raw disk with holes, data at odd places, and written zeros. */
async function rawDisk(path: string, size = SIZE): Promise<string> {
  await writeFile(path, '')
  await truncate(path, size)
  const place = { path, offset: 0, length: size, sectorSize: 512 }
  for (const offset of [0, 5 * MiB - 300, size - 700]) await putBytes(offset, pattern(700, offset))(place)
  await putBytes(9 * MiB, Buffer.alloc(2 * MiB))(place)
  return path
}

async function hashOf(path: string): Promise<string> {
  await using opened = await openDisk(path)
  return await sha256(opened.disk)
}

async function manifestIn(path: string) {
  await using opened = await openDisk(path)
  return await readManifest(opened.disk)
}

/** A disk of 8 MiB of which the last 64 KiB cannot be read: what lies behind the end of its file a loop device does not have. */
async function attachFaulty(path: Scratch['path']) {
  await writeFile(path('faulty.raw'), pattern(8 * MiB))
  const loop = await attachLoop(path('faulty.raw'))
  await truncate(path('faulty.raw'), 8 * MiB - 64 * KiB)
  return loop
}

const codesOf = ({ findings }: { readonly findings: readonly { readonly code: string }[] }) =>
  findings.map(({ code }) => code).filter(code => !code.startsWith('HOST_'))

const FORMS: readonly [name: string, options: Partial<ConvertOptions>, qemu: string][] = [
  ['a.vhdx', {}, 'vhdx'],
  ['b.vhdx', { blockSize: 8 * MiB }, 'vhdx'],
  ['c.vhdx', { fixed: true }, 'vhdx'],
  ['d.vhd', {}, 'vpc'],
  ['e.vhd', { blockSize: 512 * KiB }, 'vpc'],
  ['f.vhd', { fixed: true }, 'vpc'],
  ['g.raw', {}, 'raw'],
]

describe('every form', () => {
  testWith(
    ['qemu-img', 'vhdimount', 'fuse'],
    'of a raw disk is the same disk, dense and clean, as qemu and libvhdi see it too, and a source like any other',
    () =>
      inScratch(async folder => {
        const disk = await rawDisk(folder.path('disk.raw'))
        const expected = await hashOf(disk)
        for (const [name, options, format] of FORMS) {
          const path = folder.path(name)
          const { image, bytesWritten } = await convert(disk, path, options)
          expect(image.virtualSize).toBe(SIZE)
          await using file = await FileDevice.open(path)
          expect([file.size, await file.isSparse()]).toEqual([bytesWritten, false])
          if (format === 'vhdx') expect((await checkVhdx(file)).problems).toEqual([])
          await run('qemu-img', ['compare', '-f', 'raw', '-F', format, disk, path])
          if (format === 'vpc') expect(await withVhdi(path, hashFile)).toBe(expected)
          await convert(path, folder.path('back.raw'), { force: true })
          expect(await hashFile(folder.path('back.raw'))).toBe(expected)
        }
      }),
  )

  test('a dynamic image has no blocks of zeros, and what is a hole is not read', () =>
    inScratch(async folder => {
      const disk = await rawDisk(folder.path('disk.raw'))
      const vhdx = await convert(disk, folder.path('a.vhdx'))
      // MiB 0, 4, 5, 12 and 13. Read were these and the zeros that are written in the file.
      expect(vhdx).toMatchObject({ blocks: 5, bytesWritten: 9 * MiB, image: { blockSize: MiB, type: 'dynamic' } })
      expect(vhdx.bytesRead).toBeLessThan(3 * MiB)
      const vhd = await convert(folder.path('a.vhdx'), folder.path('a.vhd'))
      expect(vhd).toMatchObject({ blocks: 3, bytesRead: 5 * MiB - (MiB - 512), image: { blockSize: 2 * MiB } })
      const plan = await planConversion({ source: disk, target: folder.path('b.vhdx'), tool })
      // The written zeros, two blocks, are not known to be zeros.
      expect(plan).toMatchObject({ expectedSize: 11 * MiB, image: { format: 'vhdx', type: 'dynamic' }, hazards: [] })
      expect(existsSync(folder.path('b.vhdx'))).toBe(false)
    }))

  test('a VHDX keeps its block size and its sectors where it becomes one', () =>
    inScratch(async folder => {
      const [source, target] = [folder.path('a.vhdx'), folder.path('b.vhdx')]
      await createImage(source, { virtualSize: 8 * MiB, blockSize: 4 * MiB, logicalSectorSize: 4096 })
      expect((await convert(source, target, { fixed: true })).image.blockSize).toBe(4 * MiB)
      await using opened = await openDisk(target)
      expect([opened.disk.sectorSize, opened.disk.physicalSectorSize]).toEqual([4096, 4096])
    }))
})

testWith(['loop', 'sgdisk'], 'the sectors of a raw disk are those that its partition table counts in', () =>
  inScratch(async folder => {
    const disk = folder.path('disk.raw')
    const partitions = [{ type: '0700' }]
    await buildDisk(disk, { size: 4 * MiB, table: 'gpt', sectorSize: 4096, partitions })
    await convert(disk, folder.path('a.vhdx'))
    await using opened = await openDisk(folder.path('a.vhdx'))
    expect([opened.disk.sectorSize, opened.disk.physicalSectorSize]).toEqual([4096, 4096])
    await expect(convert(disk, folder.path('a.vhd'))).rejects.toMatchObject({ code: 'VHD_SECTOR_SIZE' })
    // Where the table is damaged, the bytes are copied all the same.
    await putBytes(4096 + 100, Buffer.alloc(4))({ path: disk, offset: 0, length: 4 * MiB, sectorSize: 512 })
    await putBytes(4 * MiB - 4096, Buffer.alloc(4096))({ path: disk, offset: 0, length: 4 * MiB, sectorSize: 512 })
    await convert(disk, folder.path('b.vhdx'))
    expect(await hashOf(folder.path('b.vhdx'))).toBe(await hashOf(disk))
  }),
)

/** Disks of up to this size are written as raw and fixed images too. */
const SMALL = 64 * MiB

for (const folder of ['vhd', 'vhdx']) testEachImage(folder, convertInTurn)

/** From form to form, each from the one before. */
async function convertInTurn(image: CorpusImage): Promise<void> {
  // Its parent is not to be had.
  if (image.name.endsWith('fat-differential.vhd')) return
  const { size, sparseSha256: hash } = image.expected().virtualDisk
  await using folder = await scratch()
  const targets = ['1.vhd', '2.vhdx', '3.vhd', ...(size <= SMALL ? ['4.raw', '5.vhdx'] : [])]
  let source = await image.unpack()
  for (const name of targets) {
    const target = folder.path(name)
    const fixed = size <= SMALL && name === '3.vhd'
    expect((await convert(source, target, { fixed })).image.virtualSize).toBe(size)
    await using opened = await openDisk(target)
    expect([opened.disk.size, await sparseSha256(opened.disk)]).toEqual([size, hash])
    source = target
  }
}

for (const type of ['btrfs', 'xfs'] as const) {
  testWith([type], `on ${type} the content is shared with the source, whatever the forms`, async () => {
    await using mounted = await mountNew(type)
    const [disk, child] = [mounted.path('disk.raw'), mounted.path('child.vhdx')]
    await writeFile(disk, Buffer.concat([pattern(5 * MiB), Buffer.alloc(3 * MiB), pattern(2 * MiB)]))
    for (const [source, name, fixed, shared] of [
      ['disk.raw', 'a.vhdx', false, 7],
      ['a.vhdx', 'b.vhdx', true, 7],
      // Of blocks of 2 MiB, in which is a MiB of zeros here and there.
      ['b.vhdx', 'c.vhd', false, 8],
      ['c.vhd', 'd.raw', true, 8],
      ['disk.raw', 'e.vhd', true, 10],
    ] as const) {
      const { sharedBytes } = await convert(mounted.path(source), mounted.path(name), { fixed })
      expect([name, sharedBytes / MiB]).toEqual([name, shared])
      expect(await hashOf(mounted.path(name))).toBe(await hashOf(disk))
      await using file = await FileDevice.open(mounted.path(name))
      expect(await file.isSparse()).toBe(false)
    }
    await createChild(child, mounted.path('a.vhdx'))
    const flat = await convert(child, mounted.path('flat.vhdx'))
    expect([flat.sharedBytes, await hashOf(mounted.path('flat.vhdx'))]).toEqual([7 * MiB, await hashOf(disk)])
  })
}

describe('a chain', () => {
  test.each(['vhdx', 'vhd'] as const)('of %s becomes one image that needs no parent', format =>
    inScratch(async folder => {
      const parts: images.Made[] = []
      for (const name of ['base', 'middle', 'child']) {
        const parent = parts.at(-1)
        const before = folder
          .path(`${['base', 'middle'][parts.length - 1]}.${format}`)
          .split('/')
          .at(-1)!
        const paths = format === 'vhdx' ? { relative_path: `.\\${before}` } : { W2ru: `.\\${before}` }
        const made = format === 'vhdx' ? await images.vhdx(parent, paths) : images.vhd(parent, paths)
        parts.push(made)
        await writeFile(folder.path(`${name}.${format}`), made.file)
      }
      for (const target of ['flat.vhdx', 'flat.vhd', 'flat.raw', 'fixed.vhdx']) {
        await convert(folder.path(`child.${format}`), folder.path(target), { fixed: target === 'fixed.vhdx' })
        await using opened = await openDisk(folder.path(target))
        expect(opened.chain.length).toBeLessThan(2)
        const content = Buffer.alloc(opened.disk.size)
        await opened.disk.read(0, content)
        expect(content.equals(parts.at(-1)!.disk)).toBe(true)
      }
      await rename(folder.path(`base.${format}`), folder.path('elsewhere'))
      const lost = convert(folder.path(`child.${format}`), folder.path('again.vhdx'))
      await expect(lost).rejects.toMatchObject({ code: 'PARENT_NOT_FOUND' })
    }),
  )

  test('what is wrong with a parent is told', () =>
    inScratch(async folder => {
      const base = images.vhd()
      const child = images.vhd(base, { W2ru: '.\\base.vhd' }, 1)
      await writeFile(folder.path('base.vhd'), base.file)
      await writeFile(folder.path('child.vhd'), child.file)
      const summary = await convert(folder.path('child.vhd'), folder.path('flat.vhdx'))
      expect(codesOf(summary)).toEqual(['PARENT_TIMESTAMP'])
    }))
})

describe('identity', () => {
  const idOf = async (path: string) => {
    await using opened = await openDisk(path)
    const { disk } = opened
    if (disk instanceof VhdDevice) return { id: disk.uniqueId }
    return { id: (disk as VhdxDevice).metadata.virtualDiskId, content: (disk as VhdxDevice).header.dataWriteGuid }
  }

  test('is kept as the same 16 bytes in VHDX and VHD, and children of the source fit the target', () =>
    inScratch(async folder => {
      const path = folder.path
      const virtualDiskId = '788015f0-5e93-4bd2-a5de-b0cd8459db11'
      await createImage(path('a.vhdx'), { virtualSize: 4 * MiB, virtualDiskId })
      await createChild(path('child.vhdx'), path('a.vhdx'))
      await convert(path('a.vhdx'), path('b.vhd'))
      expect(await idOf(path('b.vhd'))).toEqual({ id: 'f0158078-935e-d24b-a5de-b0cd8459db11' })
      const { image } = await convert(path('b.vhd'), path('c.vhdx'))
      expect([image.diskId, (await idOf(path('c.vhdx'))).id]).toEqual([virtualDiskId, virtualDiskId])
      expect((await idOf(path('c.vhdx'))).content).not.toBe((await idOf(path('a.vhdx'))).content)

      await convert(path('a.vhdx'), path('d.vhdx'), { blockSize: 2 * MiB, fixed: true })
      expect(await idOf(path('d.vhdx'))).toEqual(await idOf(path('a.vhdx')))
      await rename(path('d.vhdx'), path('a.vhdx'))
      await using opened = await openDisk(path('child.vhdx'))
      expect(opened.chain.map(({ type }) => type)).toEqual(['differencing', 'fixed'])
    }))

  test('is another one when that is wanted, and for each image of a raw disk', () =>
    inScratch(async folder => {
      const disk = await rawDisk(folder.path('disk.raw'))
      const ids = new Set<string | null>()
      const contents = new Set<string | undefined>()
      for (const [source, target, newId] of [
        ['disk.raw', '1.vhdx', false],
        ['disk.raw', '2.vhdx', false],
        ['1.vhdx', '3.vhdx', true],
        ['1.vhdx', '4.vhd', true],
        ['4.vhd', '5.vhd', true],
      ] as const) {
        ids.add((await convert(folder.path(source), folder.path(target), { newId })).image.diskId)
        if (target.endsWith('x')) contents.add((await idOf(folder.path(target))).content)
      }
      expect([ids.size, contents.size]).toEqual([5, 3])
      expect((await convert(disk, folder.path('6.raw'))).image.diskId).toBe(null)
    }))
})

describe('what is beside the disk', () => {
  const OTHER = '11111111-2222-4333-8444-555555555555'
  const OF_DISK = '11111111-2222-4333-8444-666666666666'

  test('the items of the user are kept in a VHDX; elsewhere they are named', () =>
    inScratch(async folder => {
      const source = folder.path('a.vhdx')
      {
        await using file = await FileDevice.open(source, { mode: 'create' })
        const builder = await VhdxBuilder.create(file, { virtualSize: 4 * MiB })
        await builder.finish([
          { itemId: OTHER, data: Buffer.from('kept') },
          { itemId: OF_DISK, data: Buffer.alloc(0), isVirtualDisk: true },
        ])
      }
      expect(codesOf(await convert(source, folder.path('b.vhdx'), { fixed: true }))).toEqual([])
      await using opened = await openDisk(folder.path('b.vhdx'))
      expect(await (opened.disk as VhdxDevice).userMetadata(OTHER)).toEqual(Buffer.from('kept'))
      expect(await (opened.disk as VhdxDevice).userMetadata(OF_DISK)).toEqual(Buffer.alloc(0))
      // That it belongs to the disk shows in a child.
      await createChild(folder.path('child.vhdx'), folder.path('b.vhdx'))
      await using child = await openDisk(folder.path('child.vhdx'))
      expect(await (child.disk as VhdxDevice).userMetadata(OF_DISK)).toEqual(Buffer.alloc(0))
      const { findings } = await convert(source, folder.path('b.raw'))
      expect(findings).toMatchObject([{ code: 'METADATA_DROPPED', details: { ids: [OTHER, OF_DISK] } }])
    }))

  test('the manifest of a capture is kept, and still true, in a VHDX; elsewhere it is said to be lost', () =>
    inScratch(async folder => {
      const disk = await rawDisk(folder.path('disk.raw'), 21 * MiB)
      await captureDisk({ source: disk, target: folder.path('a.vhdx'), tool })
      const { findings } = await convert(folder.path('a.vhdx'), folder.path('b.vhdx'), { fixed: true })
      expect(findings).toEqual([])
      expect((await verifyImage({ image: folder.path('b.vhdx') })).differences).toEqual([])
      for (const target of ['c.vhd', 'c.raw']) {
        expect((await convert(folder.path('a.vhdx'), folder.path(target))).findings).toMatchObject([
          { code: 'MANIFEST_DROPPED', details: { leftOut: [], unread: [] } },
        ])
      }
    }))

  testWith(
    ['loop'],
    'a chain keeps what the manifest of a parent says is missing, but not the hashes of what was changed since',
    () =>
      inScratch(async folder => {
        const path = folder.path
        await using base = await attachFaulty(path)
        const [image, child] = [path('a.vhdx'), path('child.vhdx')]
        await captureDisk({ source: base.path, target: image, tool })
        const captured = await manifestIn(image)
        const [unread, written] = [8 * MiB - 64 * KiB, 8 * MiB - 16 * KiB]
        expect(captured?.readErrors.ranges).toEqual([{ offset: unread, length: 64 * KiB }])
        await createChild(child, image)
        // Nothing has changed yet, so all of it holds.
        await convert(child, path('same.vhdx'))
        expect(await manifestIn(path('same.vhdx'))).toEqual(captured)
        const file = await FileDevice.open(child, { mode: 'write' })
        await using parent = await openDisk(image)
        const disk = await VhdxDevice.openForWriting(file, { parent: parent.disk })
        await disk.write(written, pattern(4 * KiB))
        await disk.close()
        const { findings } = await convert(child, path('flat.vhdx'))
        expect(findings).toEqual([])
        const { readErrors, merged, hashes, source } = (await manifestIn(path('flat.vhdx')))!
        expect(readErrors).toMatchObject({
          bytes: 60 * KiB,
          ranges: [
            { offset: unread, length: 48 * KiB },
            { offset: written + 4 * KiB, length: 12 * KiB },
          ],
        })
        expect([source, hashes.digests, merged]).toEqual([captured?.source, '', expect.any(String)])
        const raw = await convert(child, path('flat.raw'))
        expect(raw.findings).toMatchObject([
          { code: 'MANIFEST_DROPPED', message: expect.stringContaining('64 KiB that') },
        ])
      }),
  )
})

describe('what is said', () => {
  test('a size that is no whole number of sectors is rounded up, and told', () =>
    inScratch(async folder => {
      const disk = folder.path('disk.raw')
      await writeFile(disk, pattern(MiB + 100))
      for (const target of ['a.vhdx', 'a.vhd']) {
        const summary = await convert(disk, folder.path(target))
        expect(summary.image.virtualSize).toBe(MiB + 512)
        expect(codesOf(summary)).toContain('SIZE_ROUNDED')
        await convert(folder.path(target), folder.path(`${target}.raw`))
        expect((await hashOf(folder.path(`${target}.raw`))) === (await hashOf(disk))).toBe(false)
      }
      const same = await convert(disk, folder.path('b.raw'))
      expect([same.image.virtualSize, await hashOf(folder.path('b.raw'))]).toEqual([MiB + 100, await hashOf(disk)])
    }))

  test('a name that Windows takes for another format, sectors that a raw disk does not tell', () =>
    inScratch(async folder => {
      await createImage(folder.path('a.vhdx'), { virtualSize: 4 * MiB, logicalSectorSize: 4096 })
      const raw = await convert(folder.path('a.vhdx'), folder.path('b.vhd'), { to: 'raw' })
      expect(codesOf(raw)).toEqual(['NAME_OF_OTHER_FORMAT', 'SECTOR_SIZE_UNSAID'])
      const unnamed = await convert(folder.path('a.vhdx'), folder.path('b'), { to: 'vhdx' })
      expect(codesOf(unnamed)).toEqual(['NAME_OF_OTHER_FORMAT'])
      expect(codesOf(await convert(folder.path('a.vhdx'), folder.path('c'), { to: 'raw' }))).toEqual([
        'SECTOR_SIZE_UNSAID',
      ])
    }))

  test('how far it is, to the last byte', () =>
    inScratch(async folder => {
      const disk = await rawDisk(folder.path('disk.raw'))
      for (const [target, total] of [
        ['a.vhdx', undefined],
        ['a.raw', SIZE],
        ['b.vhdx', 14 * MiB],
      ] as const) {
        const reports: { phase: string; done: number; total: number }[] = []
        const onProgress = (report: (typeof reports)[number]) => reports.push(report)
        await convert(disk, folder.path(target), { fixed: target === 'b.vhdx', onProgress })
        expect(reports.at(-1)).toEqual({ phase: 'flushing', done: 0, total: 0 })
        const last = reports.at(-2)!
        expect([last.phase, last.done]).toEqual(['copying', total ?? last.total])
        expect(last.total).toBe(last.done)
      }
    }))
})

describe('what is refused', () => {
  /** Converts, which has to fail with `code` and leave nothing. */
  async function refused(folder: Scratch, source: string, target: string, code: string, options = {}): Promise<void> {
    const before = await readdir(folder.folder)
    await expect(convert(source, folder.path(target), options)).rejects.toMatchObject({ code })
    expect(await readdir(folder.folder)).toEqual(before)
  }

  test('what a target cannot hold, and options that it does not have', () =>
    inScratch(async folder => {
      const disk = await rawDisk(folder.path('disk.raw'))
      await createImage(folder.path('4k.vhdx'), { virtualSize: 4 * MiB, logicalSectorSize: 4096 })
      await createImage(folder.path('huge.vhdx'), { virtualSize: 2040 * GiB + MiB })
      await refused(folder, folder.path('4k.vhdx'), 'a.vhd', 'VHD_SECTOR_SIZE')
      await refused(folder, folder.path('huge.vhdx'), 'a.vhd', 'BAD_VIRTUAL_SIZE')
      await refused(folder, folder.path('huge.vhdx'), 'a.raw', 'NO_SPACE')
      await refused(folder, disk, 'a.raw', 'BAD_BLOCK_SIZE', { blockSize: MiB })
      await refused(folder, disk, 'a.vhd', 'BAD_BLOCK_SIZE', { blockSize: MiB })
      await refused(folder, disk, 'a.vhdx', 'BAD_BLOCK_SIZE', { blockSize: 3 * MiB })
      await refused(folder, disk, 'a.qcow2', 'FORMAT_UNSAID')
    }))

  test('a target that is there, or that is read from', () =>
    inScratch(async folder => {
      const base = await images.vhdx()
      await writeFile(folder.path('base.vhdx'), base.file)
      const child = await images.vhdx(base, { relative_path: '.\\base.vhdx' })
      await writeFile(folder.path('child.vhdx'), child.file)
      await writeFile(folder.path('there.vhdx'), 'precious')
      const source = folder.path('child.vhdx')
      await refused(folder, source, 'there.vhdx', 'TARGET_EXISTS')
      for (const name of ['child.vhdx', 'base.vhdx']) await refused(folder, source, name, 'SAME_FILE', { force: true })
      await convert(source, folder.path('there.vhdx'), { force: true })
      expect(await hashOf(folder.path('there.vhdx'))).toBe(await hashOf(source))
    }))

  test('content that cannot be read: a block behind the end of the file is an error, and no zeros', () =>
    inScratch(async folder => {
      const image = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
      image.setBat(7, 6, 5000)
      await writeFile(folder.path('a.vhdx'), image.content)
      for (const target of ['b.vhdx', 'b.vhd', 'b.raw']) {
        await refused(folder, folder.path('a.vhdx'), target, 'BAT_BEYOND_END')
      }
    }))

  testWith(['loop'], 'a disk with bad sectors', () =>
    inScratch(async folder => {
      await using loop = await attachFaulty(folder.path)
      for (const target of ['a.vhdx', 'a.raw']) await refused(folder, loop.path, target, 'READ_ERROR')
    }),
  )

  test('a source that somebody may write to', () => {
    expect(() => refuseHazards([])).not.toThrow()
    const hazard = { code: 'MOUNTED_READ_WRITE', message: 'it is mounted' }
    expect(() => refuseHazards([hazard])).toThrow(expect.objectContaining({ code: 'MOUNTED_READ_WRITE' }))
  })

  testWith(['root'], 'a target that is too small, once it is known that zeros do not save it', () =>
    inScratch(async folder => {
      // All of it may be data for all the file system says, and one block of two MiB is.
      const disk = folder.path('disk.raw')
      await writeFile(disk, Buffer.concat([pattern(MiB), Buffer.alloc(31 * MiB)]))
      await mkdir(folder.path('small'))
      await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'small', folder.path('small')])
      try {
        const phases = new Set<string>()
        const onProgress = ({ phase }: { phase: string }) => phases.add(phase)
        const { blocks } = await convert(disk, folder.path('small/a.vhdx'), { onProgress })
        expect([blocks, [...phases]]).toEqual([1, ['measuring', 'copying', 'flushing']])
        await putBytes(16 * MiB, pattern(8 * MiB))({ path: disk, offset: 0, length: 32 * MiB, sectorSize: 512 })
        await refused(folder, disk, 'small/b.vhd', 'NO_SPACE')
        for (const target of [folder.path('small/b.vhd'), folder.path('small/b.raw')]) {
          const { findings } = await planConversion({ source: disk, target, tool })
          expect(findings.map(({ code }) => code)).toEqual(['MAY_NOT_FIT'])
        }
        expect(await readdir(folder.path('small'))).toEqual(['a.vhdx'])
      } finally {
        await run('umount', [folder.path('small')])
      }
    }),
  )

  test('when it is stopped, nothing is left', () =>
    inScratch(async folder => {
      const disk = await rawDisk(folder.path('disk.raw'), 64 * MiB)
      for (const target of ['a.vhdx', 'a.raw']) {
        const controller = new AbortController()
        const onProgress = ({ done }: { done: number }) => {
          if (done > 0) controller.abort(new Error('enough'))
        }
        const stopped = convert(disk, folder.path(target), { signal: controller.signal, onProgress })
        await expect(stopped).rejects.toThrow('enough')
        expect(await readdir(folder.folder)).toEqual(['disk.raw'])
      }
    }))
})

test('blocks that are not zeros are counted as they would be written', async () => {
  const size = 12 * KiB
  const windows = fc.array(fc.record({ at: fc.nat(size - 1), length: fc.integer({ min: 1, max: 3 * KiB }) }))
  await fc.assert(
    fc.asyncProperty(windows, fc.constantFrom(512, KiB, 4 * KiB, 16 * KiB), async (data, blockSize) => {
      const disk = Buffer.alloc(size)
      for (const { at, length } of data) disk.fill(1, at, Math.min(at + length, size))
      const counter = new BlockCounter(blockSize)
      for (let at = 0; at < size; at += 2 * KiB) await counter.write(at, disk.subarray(at, at + 2 * KiB))
      const starts = Array.from({ length: Math.ceil(size / blockSize) }, (_, i) => i * blockSize)
      expect(counter.blocks).toBe(starts.filter(at => disk.subarray(at, at + blockSize).includes(1)).length)
    }),
  )
})

test('a dense file gets every byte once, in order', async () => {
  const file = new MemoryDevice(0, { growable: true })
  let written = 0
  const onWritten = (bytes: number) => {
    written += bytes
  }
  const writer = new DenseWriter(file, { offset: 100, length: 9 * MiB }, { onWritten })
  for (const offset of [0, 5 * MiB + 1]) await (await writer.write(offset, pattern(700, offset))).done
  await writer.finish()
  expect([file.size, written]).toEqual([9 * MiB + 100, 9 * MiB])
  const expected = Buffer.alloc(9 * MiB + 100)
  for (const offset of [0, 5 * MiB + 1]) pattern(700, offset).copy(expected, 100 + offset)
  expect(file.content.equals(expected)).toBe(true)
})
