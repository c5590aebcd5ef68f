/** Differencing images that get another parent: the disk stays what it is, whatever the parents hold. */
import { copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import { type RebaseOptions, rebaseImage } from '../../lib/copy/rebase.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { readChain } from '../../lib/image/open-chain.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { relink } from '../../lib/vhdx/relink.ts'
import { hashFile } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { hashBy7Zip } from '../helpers/seven-zip.ts'
import { run, testWith } from '../helpers/tools.ts'
import { type Layer, type LayerBlock, locatorOf, makeLayer } from '../vhdx/differencing-image.ts'

const SIZE = 4 * MiB + 2048

async function contentOf(path: string): Promise<Buffer> {
  await using opened = await openDisk(path)
  const content = Buffer.alloc(opened.disk.size)
  await opened.disk.read(0, content)
  return content
}

async function write(path: string, offset: number, bytes: Buffer): Promise<void> {
  await using opened = await openDisk(path, { writable: true, force: true })
  await opened.disk.write(offset, bytes)
}

async function identityOf(path: string) {
  await using file = await FileDevice.open(path)
  const { header, metadata } = await readVhdxIdentity(file)
  return { ...header, locator: metadata.parentLocator }
}

async function expectClean(path: string): Promise<void> {
  await using file = await FileDevice.open(path)
  expect((await checkVhdx(file)).problems.map(({ code }) => code)).toEqual(['PARENT_NOT_OPENED'])
  expect((await readChain(path)).problem).toBeUndefined()
}

const inScratch = async (use: (folder: Scratch) => Promise<void>) => {
  await using folder = await scratch()
  await use(folder)
}

/** old.vhdx with some blocks, and child.avhdx of it with some sectors of its own; new.vhdx is like old.vhdx, with another id. */
async function makeImages(folder: Scratch) {
  const [old, child, next] = ['old.vhdx', 'child.avhdx', 'new.vhdx'].map(name => folder.path(name)) as [
    string,
    string,
    string,
  ]
  await createImage(old, { virtualSize: SIZE })
  await write(old, 5000, pattern(MiB))
  await copyFile(old, next)
  await write(next, 5000, pattern(MiB))
  await createChild(child, old)
  await write(child, 1536, pattern(700, 3))
  await write(child, 2 * MiB, pattern(MiB, 5))
  return { old, child, next, before: await contentOf(child) }
}

describe('relinking', () => {
  test('to the same parent elsewhere: only its place changes', () =>
    inScratch(async folder => {
      const { old, child, before } = await makeImages(folder)
      await createChild(folder.path('grandchild.avhdx'), child)
      await mkdir(folder.path('elsewhere'))
      await rename(old, folder.path('elsewhere/base.vhdx'))
      const [first, parent] = [await identityOf(child), folder.path('elsewhere/base.vhdx')]
      const report = await rebaseImage(child, parent)
      expect(report).toMatchObject({ sameParent: true, comparedBytes: 0, copiedBytes: 0, findings: [], dryRun: false })
      const second = await identityOf(child)
      expect([...second.locator!.entries]).toEqual([
        ['parent_linkage', `{${report.parentId}}`],
        ['relative_path', '.\\elsewhere\\base.vhdx'],
      ])
      expect(second.dataWriteGuid).toBe(first.dataWriteGuid)
      expect(second.fileWriteGuid).not.toBe(first.fileWriteGuid)
      expect((await contentOf(folder.path('grandchild.avhdx'))).equals(before)).toBe(true)
      await expectClean(child)
    }))

  test('through a link to the child, by the folder it really lies in', () =>
    inScratch(async folder => {
      const { child, old } = await makeImages(folder)
      await mkdir(folder.path('links'))
      await symlink(child, folder.path('links/child.avhdx'))
      expect((await rebaseImage(folder.path('links/child.avhdx'), old)).paths).toEqual({ relative_path: '.\\old.vhdx' })
    }))

  test('keeps both ids while a merge is under way, and what else the locator says', () =>
    inScratch(async folder => {
      const { child, old } = await makeImages(folder)
      const [{ dataWriteGuid }, second] = [await identityOf(old), '00000000-0000-0000-0000-000000000002']
      const entries = new Map([
        ['parent_linkage', `{${dataWriteGuid}}`],
        ['parent_linkage2', `{${second}}`],
        ['absolute_win32_path', '\\\\?\\C:\\gone.vhdx'],
        ['of another program', 'kept'],
      ])
      {
        await using file = await FileDevice.open(child, { mode: 'write' })
        await relink(file, entries)
      }
      await rebaseImage(child, old)
      expect((await identityOf(child)).locator!.entries).toEqual(
        new Map([
          ['parent_linkage', `{${dataWriteGuid}}`],
          ['parent_linkage2', `{${second}}`],
          ['of another program', 'kept'],
          ['relative_path', '.\\old.vhdx'],
        ]),
      )
    }))

  test('to another parent that holds the same: both are compared', () =>
    inScratch(async folder => {
      const { child, next, before } = await makeImages(folder)
      await createChild(folder.path('grandchild.avhdx'), child)
      const report = await rebaseImage(child, next)
      expect(report).toMatchObject({ sameParent: false, copiedBytes: 0 })
      expect(report.comparedBytes).toBeGreaterThan(MiB)
      expect(report.parentId).toBe((await identityOf(next)).dataWriteGuid)
      expect((await contentOf(folder.path('grandchild.avhdx'))).equals(before)).toBe(true)
      await expectClean(child)
    }))

  test('to one that differs where the child has its own, or not; nothing is changed where it is refused', () =>
    inScratch(async folder => {
      const { child, next, before } = await makeImages(folder)
      await write(next, 2 * MiB + 7, pattern(MiB - 7, 9))
      await write(next, 2000, pattern(10, 11))
      const bytes = await hashFile(child)
      await rebaseImage(child, next, { dryRun: true })
      expect(await hashFile(child)).toBe(bytes)
      await write(next, 3 * MiB, pattern(1))
      await expect(rebaseImage(child, next)).rejects.toMatchObject({
        code: 'PARENT_DIFFERS',
        details: { offset: 3 * MiB },
      })
      expect(await hashFile(child)).toBe(bytes)
      await write(next, 3 * MiB, Buffer.alloc(1))
      await rebaseImage(child, next)
      expect((await contentOf(child)).equals(before)).toBe(true)
    }))

  test('unseen: the disk changes, so it has another id, and children keep it from being done', () =>
    inScratch(async folder => {
      const { child, next, old } = await makeImages(folder)
      await createChild(folder.path('grandchild.avhdx'), child)
      await write(next, 3 * MiB, pattern(1))
      await rename(old, folder.path('kept'))
      await copyFile(next, old)
      await expect(rebaseImage(child, next)).rejects.toMatchObject({
        code: 'PARENT_CHANGED',
        message: expect.stringMatching(/made anew since.*vhdx relink --unsafe takes/s),
      })
      await rm(old)
      await expect(rebaseImage(child, next)).rejects.toMatchObject({
        code: 'PARENT_NOT_FOUND',
        message: expect.stringMatching(/^the parent that the image has now is needed.*vhdx relink --unsafe takes/s),
      })
      await expect(rebaseImage(child, next, { unsafe: true })).rejects.toMatchObject({ code: 'HAS_CHILDREN' })
      const before = await identityOf(child)
      await rebaseImage(child, next, { unsafe: true, force: true })
      expect((await identityOf(child)).dataWriteGuid).not.toBe(before.dataWriteGuid)
      expect((await contentOf(child))[3 * MiB]).toBe(1)
      expect((await readChain(folder.path('grandchild.avhdx'))).problem).toMatchObject({ code: 'PARENT_CHANGED' })
    }))
})

describe('refused', () => {
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      error => error.code,
    )

  test('what is no child, no parent, or both', () =>
    inScratch(async folder => {
      const { child, old } = await makeImages(folder)
      await createChild(folder.path('grandchild.avhdx'), child)
      await createImage(folder.path('4k.vhdx'), { virtualSize: 8 * MiB, logicalSectorSize: 4096 })
      await writeFile(folder.path('raw'), Buffer.alloc(MiB, 1))
      const options: RebaseOptions = { copy: true }
      expect(await codeOf(rebaseImage(old, child, options))).toBe('CHAIN_CYCLE')
      expect(await codeOf(rebaseImage(child, child, options))).toBe('CHAIN_CYCLE')
      expect(await codeOf(rebaseImage(child, folder.path('grandchild.avhdx'), options))).toBe('CHAIN_CYCLE')
      expect(await codeOf(rebaseImage(old, folder.path('4k.vhdx'), options))).toBe('NOT_A_CHILD')
      expect(await codeOf(rebaseImage(child, folder.path('4k.vhdx'), options))).toBe('UNLIKE_PARENT')
      expect(await codeOf(rebaseImage(child, folder.path('raw'), options))).toBe('PARENT_NOT_VHDX')
      expect(await codeOf(rebaseImage(folder.path('raw'), old, options))).toBe('IDENTIFIER_SIGNATURE')
    }))
})

/** Some sectors of some blocks of a disk of four blocks and a bit. */
const block: fc.Arbitrary<LayerBlock> = fc.oneof(
  fc.constantFrom(0, 1, 2, 3).map(state => ({ state })),
  fc.constant({ state: 6 }),
  fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 6 }).map(sectors => ({
    state: 7,
    written: sectors.map(sector => ({ offset: sector * 512, length: 512 })),
  })),
)

/** Blocks 0 to 4, of which the last has four sectors. */
const blocks = fc.tuple(block, block, block, block, fc.constantFrom({ state: 0 }, { state: 2 }, { state: 6 })).map(
  states =>
    new Map(
      states.map(({ state, written = [] }: LayerBlock, number) => {
        const start = number * MiB
        const whole = [{ offset: start, length: Math.min(MiB, SIZE - start) }]
        const own = written.map(({ offset, length }) => ({ offset: start + offset, length }))
        return [number, { state, written: state === 6 ? whole : own }]
      }),
    ),
)

const withoutParent = (blocks: Layer['blocks']): Layer['blocks'] =>
  new Map(
    [...blocks].map(([number, { state, written }]) => [number, { state: state === 7 ? 6 : state, written: written! }]),
  )

async function makeFile(path: string, layer: Omit<Layer, 'locator' | 'virtualSize'>, parent?: string, size = SIZE) {
  const file = new MemoryDevice(0, { growable: true })
  const plan = { virtualSize: size, blockSize: MiB, ...layer }
  if (parent === undefined) await makeLayer(file, { ...plan, blocks: withoutParent(layer.blocks) })
  else {
    await using below = await FileDevice.open(parent)
    await makeLayer(file, {
      ...plan,
      locator: await locatorOf(below, { relative_path: `.\\${parent.split('/').at(-1)}` }),
    })
  }
  await writeFile(path, file.content)
}

describe('rebasing', () => {
  testWith(['7zz'], 'onto any parent: the disk is the same, to 7-Zip too', () =>
    inScratch(async folder => {
      const [old, child, next] = ['old.vhdx', 'child.avhdx', 'new.vhdx'].map(name => folder.path(name)) as [
        string,
        string,
        string,
      ]
      const seeds = fc.tuple(fc.nat(3), fc.nat(3))
      const sizes = fc.constantFrom(SIZE, SIZE - 1024, 2 * MiB, 6 * MiB)
      await fc.assert(
        fc.asyncProperty(blocks, blocks, blocks, seeds, sizes, async (ofOld, ofChild, ofNext, [a, b], size) => {
          await makeFile(old, { blocks: ofOld, seed: a })
          await makeFile(child, { blocks: ofChild, seed: 50 }, old)
          const fits = new Map([...ofNext].filter(([number]) => (number + 1) * MiB <= size))
          await makeFile(next, { blocks: fits, seed: b }, undefined, size)
          const before = await contentOf(child)
          const planned = await rebaseImage(child, next, { copy: true, dryRun: true })
          const done = await rebaseImage(child, next, { copy: true })
          expect(done.copiedBytes).toBe(planned.copiedBytes)
          await rm(old)
          expect((await contentOf(child)).equals(before)).toBe(true)
          await expectClean(child)
          await writeFile(folder.path('expected'), before)
          // 7-Zip refuses chains of disks of several sizes.
          if (size === SIZE) expect(await hashBy7Zip(child)).toBe(await hashFile(folder.path('expected')))
        }),
        { numRuns: 8 },
      )
    }),
  )

  test('onto the parent of the parent: what lies between is taken over', () =>
    inScratch(async folder => {
      const { old, child, before } = await makeImages(folder)
      const leaf = folder.path('leaf.avhdx')
      await createChild(leaf, child)
      await write(leaf, 2 * MiB + 100, pattern(3))
      pattern(3).copy(before, 2 * MiB + 100)
      const report = await rebaseImage(leaf, old, { copy: true })
      // The sectors that the image between holds, but for the one that the leaf has.
      expect(report).toMatchObject({ copiedBytes: 1024 + MiB - 512 })
      await rm(child)
      expect((await contentOf(leaf)).equals(before)).toBe(true)
    }))

  testWith(['root'], 'leaves the old parent in place when there is no room', () =>
    inScratch(async folder => {
      const { old, next, before } = await makeImages(folder)
      await write(next, 2 * MiB, pattern(2 * MiB, 8))
      const small = folder.path('small')
      await mkdir(small)
      await run('mount', ['-t', 'tmpfs', '-o', 'size=7m', 'tmpfs', small])
      try {
        const child = `${small}/child.avhdx`
        await copyFile(folder.path('child.avhdx'), child)
        await rebaseImage(child, old)
        await write(next, 0, pattern(MiB, 99))
        await expect(rebaseImage(child, next, { copy: true })).rejects.toMatchObject({ code: 'NO_SPACE' })
        expect((await contentOf(child)).equals(before)).toBe(true)
        expect((await readChain(child)).images[1]!.path).toBe(old)
      } finally {
        await run('umount', [small])
      }
    }),
  )

  test('leaves the old parent in place when it is stopped', () =>
    inScratch(async folder => {
      const { old, child, next, before } = await makeImages(folder)
      await write(next, 5000, pattern(MiB, 77))
      const controller = new AbortController()
      const stopped = rebaseImage(child, next, {
        copy: true,
        signal: controller.signal,
        onProgress: () => controller.abort(new Error('stopped')),
      })
      await expect(stopped).rejects.toThrow('stopped')
      expect((await readChain(child)).images[1]!.path).toBe(old)
      expect((await contentOf(child)).equals(before)).toBe(true)
      await expectClean(child)
      await rebaseImage(child, next, { copy: true })
      expect((await contentOf(child)).equals(before)).toBe(true)
      expect((await readFile(child)).length % MiB).toBe(0)
    }))
})
