/** Merging images by their paths, beside 7-Zip and QEMU. */
import { copyFile, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { captureDisk } from '../../lib/copy/capture.ts'
import { readCaptureLosses } from '../../lib/copy/capture-losses.ts'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import { MANIFEST_ITEM, type Manifest } from '../../lib/copy/manifest.ts'
import { mergeImage } from '../../lib/copy/merge.ts'
import { readManifest } from '../../lib/copy/read-manifest.ts'
import { verifyImage } from '../../lib/copy/verify.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { readChain } from '../../lib/image/open-chain.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { IS_USER } from '../../lib/vhdx/format.ts'
import { linkageText, withSecondLinkage } from '../../lib/vhdx/parent-locator.ts'
import { relink } from '../../lib/vhdx/relink.ts'
import { WriteSession } from '../../lib/vhdx/write-session.ts'
import { hashFile } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { hashBy7Zip } from '../helpers/seven-zip.ts'
import { run, testWith } from '../helpers/tools.ts'
import { vhd } from '../image/chain-images.ts'

const SIZE = 9 * MiB

async function write(path: string, ...runs: [offset: number, bytes: Buffer | number][]): Promise<void> {
  await using opened = await openDisk(path, { writable: true, force: true })
  for (const [offset, bytes] of runs) {
    if (typeof bytes === 'number') await opened.disk.zero(offset, bytes)
    else await opened.disk.write(offset, bytes)
  }
}

async function contentOf(path: string): Promise<Buffer> {
  await using opened = await openDisk(path)
  const content = Buffer.alloc(opened.disk.size)
  await opened.disk.read(0, content)
  return content
}

async function expectClean(path: string): Promise<void> {
  await using file = await FileDevice.open(path)
  const { problems } = await checkVhdx(file, { allocatedBytes: await file.allocatedBytes() })
  expect(problems.map(({ code }) => code).filter(code => code !== 'PARENT_NOT_OPENED')).toEqual([])
}

/** base.vhdx, monday.avhdx and tuesday.avhdx, each with something of its own. */
async function makeWeek(folder: Scratch): Promise<[string, string, string]> {
  const paths = ['base.vhdx', 'monday.avhdx', 'tuesday.avhdx'].map(name => folder.path(name)) as [
    string,
    string,
    string,
  ]
  await createImage(paths[0], { virtualSize: SIZE })
  await write(paths[0], [0, pattern(3 * MiB)], [5 * MiB, pattern(4 * MiB)])
  await createChild(paths[1], paths[0])
  await write(
    paths[1],
    [1000, pattern(2000, 3)],
    [2 * MiB, MiB],
    [4 * MiB, pattern(MiB, 5)],
    [6 * MiB - 512, pattern(1024, 6)],
  )
  await createChild(paths[2], paths[1], { blockSize: 2 * MiB })
  await write(paths[2], [1500, pattern(100, 7)], [4 * MiB + 100, pattern(2 * MiB, 8)], [8 * MiB, 512])
  return paths
}

const inScratch = async (use: (folder: Scratch) => Promise<void>) => {
  await using folder = await scratch()
  await use(folder)
}

describe('merging', () => {
  testWith(
    ['7zz', 'qemu-img'],
    'a child into its parent: the disk is the same to 7-Zip and QEMU, before and after',
    () =>
      inScratch(async folder => {
        const [base, monday] = await makeWeek(folder)
        const [before, content] = [await hashBy7Zip(monday), await contentOf(monday)]
        const planned = await mergeImage(monday, { dryRun: true, force: true })
        const reports: { done: number; total: number }[] = []
        const report = await mergeImage(monday, { force: true, onProgress: report => reports.push(report) })
        expect(report).toMatchObject({
          path: monday,
          into: base,
          merged: [monday],
          resumed: false,
          dataBytes: planned.dataBytes,
          zeroBytes: MiB,
          deleted: false,
          findings: [],
        })
        expect(reports.at(-1)).toMatchObject({ phase: 'merging', done: report.dataBytes, total: report.dataBytes })
        expect(await hashBy7Zip(base)).toBe(before)
        expect(await hashBy7Zip(monday)).toBe(before)
        expect((await contentOf(base)).equals(content)).toBe(true)
        await run('qemu-img', ['check', '-f', 'vhdx', base])
        await run('qemu-img', ['convert', '-f', 'vhdx', '-O', 'raw', base, folder.path('raw')])
        expect(await hashFile(folder.path('raw'))).toBe(before)
        for (const path of [base, monday]) await expectClean(path)
        expect((await readChain(monday)).problem).toBeUndefined()
      }),
  )

  testWith(['7zz', 'qemu-img'], 'a chain into its base, which alone is left', () =>
    inScratch(async folder => {
      const [base, monday, tuesday] = await makeWeek(folder)
      const before = await hashBy7Zip(tuesday)
      const report = await mergeImage(tuesday, { into: base, deleteMerged: true })
      expect(report).toMatchObject({ into: base, merged: [tuesday, monday], deleted: true })
      expect(await readdir(folder.folder)).toEqual(['base.vhdx'])
      expect(await hashBy7Zip(base)).toBe(before)
      await run('qemu-img', ['check', '-f', 'vhdx', base])
      await expectClean(base)
    }),
  )

  testWith(['7zz'], 'a child into one that has a parent itself', () =>
    inScratch(async folder => {
      const [base, monday, tuesday] = await makeWeek(folder)
      const [before, bytes] = [await hashBy7Zip(tuesday), await hashFile(base)]
      await mergeImage(tuesday)
      expect(await hashBy7Zip(monday)).toBe(before)
      expect(await hashBy7Zip(tuesday)).toBe(before)
      expect(await hashFile(base)).toBe(bytes)
      for (const path of [monday, tuesday]) await expectClean(path)
      // And the rest of the way.
      await mergeImage(monday, { force: true })
      expect(await hashBy7Zip(base)).toBe(before)
    }),
  )

  test('goes on with the id that was announced', () =>
    inScratch(async folder => {
      const [base, monday] = await makeWeek(folder)
      const content = await contentOf(monday)
      const { images } = await readChain(monday)
      const [announced, id] = ['00000000-0000-4000-8000-000000000001', images[1]!.id]
      {
        await using file = await FileDevice.open(monday, { mode: 'write' })
        const entries = new Map([
          ['parent_linkage', linkageText(id)],
          ['relative_path', '.\\base.vhdx'],
        ])
        await relink(file, withSecondLinkage(entries, announced))
      }
      expect((await readChain(monday)).findings).toMatchObject([{ code: 'PARENT_LINKAGE2' }])
      expect(await mergeImage(monday, { force: true })).toMatchObject({ resumed: true, findings: [] })
      const after = await readChain(monday)
      expect(after).toMatchObject({
        problem: undefined,
        findings: [],
        images: [{ parent: { ids: [announced] } }, { id: announced }],
      })
      expect((await contentOf(base)).equals(content)).toBe(true)
    }))

  test('tried only: nothing changes', () =>
    inScratch(async folder => {
      const paths = await makeWeek(folder)
      const before = await Promise.all(paths.map(hashFile))
      const report = await mergeImage(paths[2], { into: paths[0], dryRun: true, deleteMerged: true })
      expect(report).toMatchObject({ dryRun: true, deleted: false, merged: [paths[2], paths[1]] })
      expect(report.dataBytes).toBeGreaterThan(2 * MiB)
      expect(await Promise.all(paths.map(hashFile))).toEqual(before)
    }))

  testWith(['root'], 'into a parent for which there is no room: nothing changes', () =>
    inScratch(async folder => {
      const [base, monday] = await makeWeek(folder)
      const small = folder.path('small')
      await mkdir(small)
      await run('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', small])
      try {
        const [parent, child] = [`${small}/parent.vhdx`, folder.path('child.avhdx')]
        await copyFile(base, parent)
        await createChild(child, parent)
        await write(child, [3 * MiB, pattern(2 * MiB)])
        const before = [await hashFile(parent), await hashFile(child)]
        const { findings } = await mergeImage(child, { dryRun: true })
        expect(findings).toMatchObject([{ code: 'MAY_NOT_FIT', details: { path: parent, needed: 2 * MiB } }])
        await expect(mergeImage(child)).rejects.toMatchObject({
          code: 'NO_SPACE',
          message: expect.stringMatching(/grows by up to 2 MiB, but only 1 MiB.*Nothing was written/),
        })
        expect([await hashFile(parent), await hashFile(child)]).toEqual(before)
        expect((await stat(monday)).size).toBeGreaterThan(0)
      } finally {
        await run('umount', [small])
      }
    }),
  )

  testWith(['root'], 'what cannot be deleted stays, and the merge is done', () =>
    inScratch(async folder => {
      const [, monday, tuesday] = await makeWeek(folder)
      const expected = await contentOf(tuesday)
      await run('mount', ['--bind', tuesday, tuesday])
      try {
        const report = await mergeImage(tuesday, { deleteMerged: true })
        expect(report).toMatchObject({ deleted: false, findings: [{ code: 'NOT_DELETED' }] })
        expect(report.findings[0]!.message).toMatch(/^the merge is done, but .*tuesday\.avhdx/)
      } finally {
        await run('umount', [tuesday])
      }
      expect((await contentOf(monday)).equals(expected)).toBe(true)
    }),
  )
})

describe('refused', () => {
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      error => error.code,
    )

  test('where others are children of what changes, or of what would be deleted', () =>
    inScratch(async folder => {
      const [base, monday, tuesday] = await makeWeek(folder)
      const before = await Promise.all([base, monday, tuesday].map(hashFile))
      expect(await codeOf(mergeImage(tuesday))).toBe('done')
      await copyFile(monday, folder.path('copy.avhdx'))
      await createChild(folder.path('other of base.avhdx'), base)
      expect(await codeOf(mergeImage(monday))).toBe('HAS_CHILDREN')
      expect(await hashFile(base)).toBe(before[0])
      expect(await codeOf(mergeImage(tuesday, { into: base }))).toBe('HAS_CHILDREN')
      expect(await codeOf(mergeImage(monday, { force: true }))).toBe('done')
    }))

  test('where the child that would be deleted has children', () =>
    inScratch(async folder => {
      const [, monday, tuesday] = await makeWeek(folder)
      await createChild(folder.path('wednesday.avhdx'), tuesday)
      expect(await codeOf(mergeImage(tuesday, { deleteMerged: true }))).toBe('HAS_CHILDREN')
      expect(await mergeImage(tuesday)).toMatchObject({ children: [folder.path('wednesday.avhdx')] })
      expect((await readChain(folder.path('wednesday.avhdx'))).problem).toBeUndefined()
      expect((await contentOf(folder.path('wednesday.avhdx'))).equals(await contentOf(monday))).toBe(true)
    }))

  test('what is no child, no ancestor, a VHD, or in use', () =>
    inScratch(async folder => {
      const [base, monday, tuesday] = await makeWeek(folder)
      expect(await codeOf(mergeImage(base))).toBe('NOT_A_CHILD')
      expect(await codeOf(mergeImage(monday, { into: tuesday }))).toBe('NOT_AN_ANCESTOR')
      expect(await codeOf(mergeImage(monday, { into: monday }))).toBe('NOT_AN_ANCESTOR')
      expect(await codeOf(mergeImage(monday, { into: folder.path('nothing') }))).toBe('NOT_AN_ANCESTOR')
      {
        await using _ = await openDisk(base)
        expect(await codeOf(mergeImage(tuesday, { into: base }))).toBe('IN_USE')
      }
      const parent = vhd()
      await writeFile(folder.path('parent.vhd'), parent.file)
      await writeFile(folder.path('child.vhd'), vhd(parent, { W2ru: '.\\parent.vhd' }).file)
      expect(await codeOf(mergeImage(folder.path('child.vhd')))).toBe('MERGE_VHD')
    }))
})

describe('the manifest of a capture', () => {
  /** base.vhdx, captured, and a child of it. */
  async function makeCapture(folder: Scratch): Promise<[base: string, child: string]> {
    const [base, child] = [folder.path('base.vhdx'), folder.path('child.avhdx')]
    await writeFile(folder.path('disk.raw'), pattern(4 * MiB))
    await captureDisk({ source: folder.path('disk.raw'), target: base, tool: { name: 'a test', version: '1' } })
    await createChild(child, base)
    return [base, child]
  }

  async function manifestOf(path: string): Promise<Manifest | undefined> {
    await using opened = await openDisk(path)
    return await readManifest(opened.disk)
  }

  async function setManifest(path: string, manifest: Manifest): Promise<void> {
    await using file = await FileDevice.open(path, { mode: 'write' })
    const session = await WriteSession.open(file)
    await session.setItems([{ itemId: MANIFEST_ITEM, flags: IS_USER, data: Buffer.from(JSON.stringify(manifest)) }])
    await session.close()
  }

  test('says that the image is no longer what was captured', () =>
    inScratch(async folder => {
      const [base, child] = await makeCapture(folder)
      const captured = (await manifestOf(base))!
      const leftOut = { partition: 1, path: '\\pagefile.sys', reason: 'pagefile', bytes: 512, clusters: 1 } as const
      const readErrors = {
        bytes: 2048,
        ranges: [
          { offset: 0, length: 1024 },
          { offset: 2048, length: 1024 },
        ],
        truncated: false,
      }
      await setManifest(base, { ...captured, leftOut: [leftOut], leftOutCount: 1, readErrors })
      await write(child, [512, pattern(1024, 9)])
      await mergeImage(child)
      const merged = (await manifestOf(base))!
      expect(merged.merged).toMatch(/^\d{4}-\d\d-\d\dT/)
      expect(merged).toMatchObject({
        finished: captured.finished,
        leftOut: [leftOut],
        hashes: { stretches: [], digests: '' },
      })
      // What the child wrote, from byte 512 to 1536, can be read again.
      const ranges = [
        { offset: 0, length: 512 },
        { offset: 2048, length: 1024 },
      ]
      expect(merged.readErrors).toEqual({ bytes: 1536, ranges, truncated: false })
      await expect(verifyImage({ image: base })).rejects.toMatchObject({ code: 'CHANGED_BY_MERGE' })
      await using opened = await openDisk(base)
      expect(await readCaptureLosses(opened.disk)).toMatchObject({
        leftOut: [],
        unread: merged.readErrors.ranges,
        doubt: expect.stringContaining('merged into the image'),
      })
    }))

  test('stays when nothing was merged, and verifies', () =>
    inScratch(async folder => {
      const [base, child] = await makeCapture(folder)
      const captured = await manifestOf(base)
      await mergeImage(child)
      expect(await manifestOf(base)).toEqual(captured)
      expect(await verifyImage({ image: base })).toMatchObject({ bytesChecked: 4 * MiB, differences: [] })
    }))

  test('of the child takes the place of that of the parent', () =>
    inScratch(async folder => {
      const [base, child] = await makeCapture(folder)
      const own = { ...(await manifestOf(base))!, finished: '2026-01-01T00:00:00.000Z' }
      await setManifest(child, own)
      await write(child, [512, pattern(1024, 9)])
      await mergeImage(child)
      expect(await manifestOf(base)).toEqual(own)
      expect(await manifestOf(child)).toEqual(own)
    }))
})
