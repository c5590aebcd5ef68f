/** An image becomes smaller and its files stay what they are, as other people's programs see it. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { compactImage } from '../../lib/copy/compact.ts'
import { createChild } from '../../lib/copy/create-image.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import {
  buildDisk,
  countStale,
  diskTools,
  exfat,
  fat,
  fillNtfs,
  hashNtfs,
  hashTree,
  leaveStale,
  ntfs,
  type Place,
  putBytes,
  withExfat,
  withLoop,
  withNtfs,
  writeFiles,
} from '../helpers/disks.ts'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { mountNew } from '../helpers/mounted.ts'
import { pattern } from '../helpers/pattern.ts'
import { hashBy7Zip } from '../helpers/seven-zip.ts'
import { describeWith, run, testWith } from '../helpers/tools.ts'
import { TestImage } from '../vhdx/test-image.ts'

let folder: Scratch
let count = 0
beforeAll(async () => {
  folder = await scratch()
})
afterAll(() => folder[Symbol.asyncDispose]())
const newPath = (name = 'image.vhdx') => folder.path(`${count++}-${name}`)

async function copyOf(path: string): Promise<string> {
  const copy = newPath()
  await copyFile(path, copy)
  return copy
}

const sizeOf = async (path: string) => (await stat(path)).size

async function idsOf(path: string) {
  await using file = await FileDevice.open(path)
  const { header, metadata } = await readVhdxIdentity(file)
  return { fileWriteGuid: header.fileWriteGuid, dataWriteGuid: header.dataWriteGuid, logGuid: header.logGuid, metadata }
}

async function errorsOf(path: string): Promise<string[]> {
  await using file = await FileDevice.open(path)
  return (await checkVhdx(file)).problems.filter(({ severity }) => severity === 'error').map(({ code }) => code)
}

async function contentOf(path: string): Promise<Buffer> {
  await using image = await openDisk(path)
  const content = Buffer.alloc(image.disk.size)
  await image.disk.read(0, content)
  return content
}

/** The raw disk in the image, by qemu. */
async function rawOf(path: string): Promise<string> {
  const raw = newPath('disk.raw')
  await run('qemu-img', ['convert', '-O', 'raw', path, raw])
  return raw
}

/** So small that blocks stay partially present. */
const GRAIN = 64 * 1024

const error = (promise: Promise<unknown>) => promise.then(undefined, (error: unknown) => error as { code: string })

describeWith([...diskTools, 'mount.exfat-fuse', 'qemu-img', '7zz'], 'a disk with NTFS, FAT and exFAT', () => {
  let places: Place[]
  let original: string
  /** What other programs find on the disk in a raw file. */
  const filesOf = async (path: string) => {
    const [esp, windows, card] = places.map(place => ({ ...place, path })) as [Place, Place, Place]
    return {
      fat: (await run('mcopy', ['-n', '-i', `${path}@@${esp.offset}`, '::efi/boot.txt', '-'])).stdout,
      ntfs: await hashNtfs(windows),
      exfat: await withExfat(card, hashTree),
    }
  }
  let files: Awaited<ReturnType<typeof filesOf>>

  beforeAll(async () => {
    const disk = newPath('disk.raw')
    places = await buildDisk(disk, {
      size: 112 * MiB,
      table: 'gpt',
      partitions: [
        { type: 'ef00', size: 16 * MiB, content: [fat({ bits: 16, files: { 'efi/boot.txt': 'to boot' } })] },
        {
          type: '0700',
          size: 56 * MiB,
          content: [
            ntfs(),
            fillNtfs(async mounted => {
              await writeFiles(mounted)
              await leaveStale(mounted, 24 * MiB)
            }),
          ],
        },
        {
          type: '0700',
          content: [
            exfat(),
            place =>
              withExfat(place, async mounted => {
                await writeFile(join(mounted, 'photo'), pattern(3 * MiB + 77))
                await leaveStale(mounted, 8 * MiB)
              }),
          ],
        },
      ],
    })
    original = newPath()
    // Every block has its place, those of zeros too.
    await run('qemu-img', ['convert', '-S', '0', '-O', 'vhdx', '-o', 'block_size=1M', disk, original])
    files = await filesOf(disk)
    expect(files.fat).toBe('to boot')
  }, 120_000)

  const expectSame = async (image: string) => {
    expect(await errorsOf(image)).toEqual([])
    expect((await run('qemu-img', ['check', image])).stdout).toContain('No errors')
    await run('7zz', ['t', image])
    const raw = await rawOf(image)
    expect(await filesOf(raw)).toEqual(files)
    await withLoop({ ...places[1]!, path: raw }, device => run('ntfsfix', ['--no-action', device]))
    await withLoop({ ...places[2]!, path: raw }, device => run('fsck.exfat', ['-n', device]))
    return raw
  }

  test('in place: what no file uses goes, the files stay, and the dry run has said so', async () => {
    const image = await copyOf(original)
    const before = await idsOf(image)
    const planned = await compactImage(image, { dryRun: true })
    expect([await sizeOf(image), await idsOf(image)]).toEqual([await sizeOf(original), before])

    const report = await compactImage(image)
    expect({ ...report, dryRun: true, seconds: 0 }).toEqual({ ...planned, seconds: 0 })
    expect(report).toMatchObject({
      type: 'dynamic',
      contentChanged: true,
      wholeVolumes: [],
      clearedBytes: 0,
      blocks: 112,
    })
    expect(report.sizeAfter).toBe(await sizeOf(image))
    expect(report.sizeAfter).toBe(8 * MiB + (112 - report.zeroBlocks - report.freeBlocks) * MiB - 4 * MiB)
    expect(report.freeBlocks).toBeGreaterThan(20)
    expect(report.zeroBlocks).toBeGreaterThan(30)
    const after = await idsOf(image)
    expect(after.dataWriteGuid).not.toBe(before.dataWriteGuid)
    expect(after.metadata).toEqual(before.metadata)
    await expectSame(image)

    const modified = (await stat(image)).mtimeMs
    expect(await compactImage(image)).toMatchObject({
      zeroBlocks: 0,
      freeBlocks: 0,
      movedBytes: 0,
      contentChanged: false,
    })
    expect([(await stat(image)).mtimeMs, await idsOf(image)]).toEqual([modified, after])
  }, 60_000)

  test('--zero-free: nothing that was deleted stays', async () => {
    const image = await copyOf(original)
    await compactImage(image)
    const before = await countStale(await rawOf(image))
    expect(before).toBeGreaterThan(100)
    const report = await compactImage(image, { zeroFree: true })
    expect(report).toMatchObject({ freeBlocks: 0, contentChanged: true })
    expect(report.clearedBytes).toBeGreaterThan(MiB)
    // A part of it may lie behind the end of a file in its last cluster.
    expect(await countStale(await expectSame(image))).toBeLessThan(before / 50)
    expect(await compactImage(image, { zeroFree: true })).toMatchObject({ clearedBytes: 0, contentChanged: false })
  }, 60_000)

  test('--to: a packed copy, and the image stays as it is', async () => {
    const before = [await sizeOf(original), (await stat(original)).mtimeMs]
    const to = newPath()
    const planned = await compactImage(original, { to, dryRun: true, zeroFree: true })
    const report = await compactImage(original, { to, zeroFree: true, creator: 'test' })
    expect({ ...report, dryRun: true, seconds: 0, sharedBytes: 0 }).toEqual({ ...planned, seconds: 0 })
    expect([await sizeOf(original), (await stat(original)).mtimeMs]).toEqual(before)
    expect(report.sizeAfter).toBe(await sizeOf(to))
    // It is dense, whatever the image was.
    expect((await stat(to)).blocks * 512).toBeGreaterThanOrEqual(report.sizeAfter)
    const inPlace = await copyOf(original)
    await compactImage(inPlace, { zeroFree: true })
    expect((await contentOf(to)).equals(await contentOf(inPlace))).toBe(true)
    await expectSame(to)
    expect(await error(compactImage(original, { to }))).toMatchObject({ code: 'TARGET_EXISTS' })
    expect(await error(compactImage(original, { to: original, force: true }))).toMatchObject({ code: 'SAME_FILE' })
  }, 60_000)

  test('killed at any moment: the disk has all its files, and it can be done again', async () => {
    const image = await copyOf(original)
    const phases = new Set<string>()
    for (let round = 0; round < 3; round++) {
      await copyFile(original, image)
      const child = spawn(process.execPath, [join(repository, 'cli/bin.js'), 'compact', image, '--zero-free'])
      const ended = once(child, 'exit')
      let said = ''
      child.stderr.on('data', chunk => {
        said += chunk
      })
      const phase = ['clearing', 'moving', 'moving'][round]!
      while (!said.includes(phase) && child.exitCode === null) await sleep(1)
      await sleep((round * 37) % 60)
      child.kill('SIGKILL')
      phases.add(`${(await ended)[1]}`)
      expect(await errorsOf(image)).toEqual([])
      // As qemu repairs it.
      const repaired = await copyOf(image)
      await run('qemu-img', ['check', '-r', 'all', repaired])
      expect(await hashNtfs({ ...places[1]!, path: await rawOf(repaired) })).toEqual(files.ntfs)
      await compactImage(image, { zeroFree: true })
    }
    expect(phases).toContain('SIGKILL')
    await expectSame(image)
  }, 120_000)

  test.each(['reading', 'clearing', 'moving'])('stopped while %s: the image is closed properly', async phase => {
    const image = await copyOf(original)
    const stop = new AbortController()
    const stopped = compactImage(image, {
      zeroFree: true,
      signal: stop.signal,
      onProgress: report => {
        if (report.phase === phase && report.done > 0) stop.abort(new Error('enough'))
      },
    })
    await expect(stopped).rejects.toThrow('enough')
    expect((await idsOf(image)).logGuid).toMatch(/^[0-]+$/)
    expect(await errorsOf(image)).toEqual([])
    expect(await hashNtfs({ ...places[1]!, path: await rawOf(image) })).toEqual(files.ntfs)
  })

  test('Ctrl-C says how the image is', async () => {
    const image = await copyOf(original)
    const child = spawn(process.execPath, [join(repository, 'cli/bin.js'), 'compact', image])
    const ended = once(child, 'exit')
    let said = ''
    child.stderr.on('data', chunk => {
      said += chunk
      if (`${chunk}`.includes('surveying')) child.kill('SIGINT')
    })
    expect((await ended)[0]).toBe(130)
    expect(said).toContain(`stopped by SIGINT; ${image} is whole, and what is left can be done later`)
  })

  test('a full disk, another program, and what is no VHDX: said by name, and nothing has changed', async () => {
    const small = folder.path('small')
    await mkdir(small)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=12M', 'tmpfs', small])
    try {
      expect(await error(compactImage(original, { to: join(small, 'x.vhdx') }))).toMatchObject({ code: 'NO_SPACE' })
      expect(await readdir(small)).toEqual([])
    } finally {
      await run('umount', [small])
    }
    const before = await idsOf(original)
    await using _reader = await FileDevice.open(original)
    expect(await error(compactImage(original))).toMatchObject({ name: 'BusyError', code: 'IN_USE' })
    expect(await idsOf(original)).toEqual(before)
    expect(await compactImage(original, { dryRun: true })).toMatchObject({ dryRun: true })
    expect(await error(compactImage(newPath()))).toMatchObject({ code: 'NOT_FOUND' })
  })

  test('the command line', async () => {
    const image = await copyOf(original)
    const planned = await vhdxJson('compact', image, '--dry-run')
    expect(planned).toMatchObject({ dryRun: true, type: 'dynamic', sizeBefore: await sizeOf(image) })
    const { stdout, exitCode } = await vhdx(['compact', image, '--zero-free', '--quiet'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(
      / has \d+ MiB, \d+ MiB less than before\nblocks: \d+ kept, \d+ of zeros and \d+ that nothing uses dropped\ncleared: .*\nmoved: .*\ntook /,
    )
    expect(await sizeOf(image)).toBe(planned.sizeAfter)
    expect((await vhdx(['compact', places[0]!.path])).exitCode).toBe(4)
  }, 60_000)

  testWith(
    ['btrfs'],
    'on btrfs blocks are shared, in the file and with a copy',
    async () => {
      await using mounted = await mountNew('btrfs')
      const image = mounted.path('image.vhdx')
      // Dense, as a copy of an image is.
      await run('cp', ['--sparse=never', original, image])
      const to = mounted.path('copy.vhdx')
      const copied = await compactImage(image, { to })
      expect(copied.sharedBytes).toBeGreaterThanOrEqual(copied.movedBytes)
      const moved = await compactImage(image)
      expect(moved.sharedBytes).toBe(moved.movedBytes)
      expect(moved.movedBytes).toBeGreaterThan(10 * MiB)
      for (const path of [image, to]) {
        expect(await errorsOf(path)).toEqual([])
        expect((await stat(path)).blocks * 512).toBeGreaterThanOrEqual(await sizeOf(path))
      }
      expect((await contentOf(image)).equals(await contentOf(to))).toBe(true)
      expect(await filesOf(await rawOf(to))).toEqual(files)
    },
    60_000,
  )
})

describeWith([...diskTools, 'qemu-img'], 'volumes that are not sure to tell what they use', () => {
  test('keep all but zeros, and it is said why', async () => {
    const disk = newPath('disk.raw')
    const size = 12 * MiB
    const filled = (fill: (mounted: string) => Promise<void>) => [
      ntfs(),
      fillNtfs(async mounted => {
        await fill(mounted)
        await leaveStale(mounted, 5 * MiB)
      }),
    ]
    const damaged = (place: Place) => putBytes(0x30, Buffer.alloc(16, 0xff))(place)
    const places = await buildDisk(disk, {
      size: 6 * size + 2 * MiB,
      table: 'gpt',
      partitions: [
        {
          type: '0700',
          size,
          content: filled(mounted => writeFile(join(mounted, 'hiberfil.sys'), Buffer.alloc(9000, 'hibr'))),
        },
        {
          type: '0700',
          size,
          content: filled(async mounted => {
            await mkdir(join(mounted, 'System Volume Information'))
            const name = '{3808876b-c176-4e48-b7ae-04046e6cc752}'
            await writeFile(join(mounted, 'System Volume Information', name), pattern(9000))
          }),
        },
        { type: '0700', size, content: [...filled(async () => {}), damaged] },
        { type: '0700', size, content: [putBytes(0, pattern(2 * MiB)), putBytes(3, Buffer.from('-FVE-FS-'))] },
        { type: '0700', content: filled(mounted => writeFile(join(mounted, 'file'), 'kept')) },
      ],
    })
    const image = newPath()
    await run('qemu-img', ['convert', '-S', '0', '-O', 'vhdx', '-o', 'block_size=1M', disk, image])
    const before = await contentOf(image)
    const { wholeVolumes, freeBlocks } = await compactImage(image, { zeroFree: true })
    expect(wholeVolumes.map(({ partition, fileSystem, reason }) => [partition, fileSystem, reason])).toEqual([
      [1, 'NTFS', expect.stringContaining('hibernates')],
      [2, 'NTFS', expect.stringContaining('shadow copies')],
      [3, 'NTFS', expect.stringContaining('its backup in the last sector was used')],
      [4, 'BitLocker', expect.stringContaining('cannot be told')],
    ])
    expect(freeBlocks).toBeGreaterThan(2)
    const end = places[4]!.offset
    expect((await contentOf(image)).subarray(0, end).equals(before.subarray(0, end))).toBe(true)
    await withNtfs({ ...places[4]!, path: await rawOf(image) }, async mounted => {
      expect((await readdir(mounted)).filter(name => name === 'file')).toEqual(['file'])
    })
  }, 60_000)

  test('a disk without a partition table, and one with a table that is damaged', async () => {
    const options = { virtualSize: 8 * MiB, blockSize: MiB }
    const plain = newPath()
    await writeFile(plain, (await TestImage.make(options, [1, 2, 5])).content)
    expect(await compactImage(plain)).toMatchObject({
      wholeVolumes: [{ partition: undefined, fileSystem: 'unknown' }],
      contentChanged: false,
      zeroBlocks: 0,
    })
    const disk = await TestImage.make(options, [0, 1, 7])
    const table = newPath()
    await writeFile(table, disk.content)
    await using opened = await openDisk(table, { writable: true })
    const mbr = Buffer.alloc(512)
    mbr.write('55aa', 510, 'hex')
    mbr.write('00feffffeefeffff01000000ff3f0000', 0x1be, 'hex')
    await opened.disk.write(0, mbr)
    await opened.close()
    const report = await compactImage(table)
    expect(report.wholeVolumes).toMatchObject([{ fileSystem: 'unknown' }])
    expect(report).toMatchObject({ freeBlocks: 0, contentChanged: false })
  })

  test('a fixed image keeps its blocks: only what nothing uses in them is cleared', async () => {
    const disk = newPath('disk.raw')
    await buildDisk(disk, {
      size: 24 * MiB,
      table: 'mbr',
      partitions: [{ type: '07', content: [ntfs(), fillNtfs(mounted => leaveStale(mounted, 6 * MiB))] }],
    })
    const image = newPath()
    await vhdx(['convert', disk, image, '--fixed'], { exitCodes: [0] })
    const size = await sizeOf(image)
    const nothing = await compactImage(image)
    expect(nothing).toMatchObject({ type: 'fixed', sizeAfter: size, contentChanged: false, clearedBytes: 0 })
    expect(nothing.findings.map(({ code }) => code)).toEqual(['FIXED_KEEPS_BLOCKS'])
    const cleared = await compactImage(image, { zeroFree: true })
    expect(cleared).toMatchObject({ sizeAfter: size, contentChanged: true, freeBlocks: 0, zeroBlocks: 0 })
    expect(cleared.clearedBytes).toBeGreaterThan(4 * MiB)
    expect(await errorsOf(image)).toEqual([])
    const to = newPath()
    expect(await compactImage(image, { to })).toMatchObject({ type: 'fixed', sizeAfter: size, contentChanged: false })
    expect((await contentOf(to)).equals(await contentOf(image))).toBe(true)
    expect(await errorsOf(to)).toEqual([])
  }, 60_000)
})

describeWith([...diskTools, '7zz'], 'children and parents', () => {
  /** A base with files, and a child in which some were changed and others deleted. */
  async function family(where: Scratch) {
    const [base, child] = [where.path('base.vhdx'), where.path('child.avhdx')]
    const disk = newPath('disk.raw')
    const [place] = await buildDisk(disk, {
      size: 40 * MiB,
      table: 'none',
      partitions: [{ type: '07', content: [ntfs(), fillNtfs(mounted => writeFiles(mounted))] }],
    })
    await vhdx(['convert', disk, base], { exitCodes: [0] })
    await createChild(child, base, {})
    const files = await filesAfter(place!, mounted => leaveStale(mounted, 8 * MiB))
    const bytes = await readFile(disk)
    await using opened = await openDisk(child, { writable: true })
    for (let offset = 0; offset < bytes.length; offset += GRAIN) {
      const before = Buffer.alloc(GRAIN)
      await opened.disk.read(offset, before)
      const after = bytes.subarray(offset, offset + GRAIN)
      if (!after.equals(before)) await opened.disk.write(offset, after)
    }
    await opened.close()
    return { base, child, files, place: place! }
  }

  async function filesAfter(place: Place, change: (mounted: string) => Promise<void>) {
    await withNtfs(place, change)
    return hashNtfs(place)
  }

  const filesIn = async (image: string, place: Place) => {
    const raw = newPath('disk.raw')
    await vhdx(['convert', image, raw], { exitCodes: [0] })
    return hashNtfs({ ...place, path: raw })
  }

  test('what a child drops does not uncover its parent', async () => {
    await using where = await scratch()
    const { base, child, files, place } = await family(where)
    const before = await idsOf(base)
    const report = await compactImage(child, { zeroFree: true })
    expect(report).toMatchObject({ type: 'differencing', contentChanged: true })
    expect(report.freeBlocks).toBeGreaterThan(2)
    expect(report.sizeAfter).toBeLessThan(report.sizeBefore)
    expect(await errorsOf(child)).toEqual([])
    expect(await filesIn(child, place)).toEqual(files)
    expect(await hashBy7Zip(child)).toBe(
      createHash('sha256')
        .update(await contentOf(child))
        .digest('hex'),
    )
    expect(await idsOf(base)).toEqual(before)

    // A copy in another folder finds its parent from there.
    await mkdir(where.path('deep'))
    const to = where.path('deep/copy.avhdx')
    await compactImage(child, { to })
    expect((await contentOf(to)).equals(await contentOf(child))).toBe(true)
    expect((await idsOf(to)).metadata.parentLocator!.entries.get('relative_path')).toBe('..\\base.vhdx')
    expect((await idsOf(to)).dataWriteGuid).toBe((await idsOf(child)).dataWriteGuid)
  }, 60_000)

  test('a parent may lose zeros, and what its children do not see only by force', async () => {
    await using where = await scratch()
    const { base, child, files, place } = await family(where)
    const before = await idsOf(base)
    // Zeros with a place, as programs leave them, and nothing else.
    const zeros = await compactImage(base)
    expect(zeros.contentChanged).toBe(false)
    expect((await idsOf(base)).dataWriteGuid).toBe(before.dataWriteGuid)
    expect(await filesIn(child, place)).toEqual(files)

    // As a program leaves it that wrote a file and deleted it.
    await using opened = await openDisk(base, { writable: true, force: true, dataWriteGuid: before.dataWriteGuid })
    await opened.disk.write(30 * MiB, pattern(MiB))
    await opened.close()
    const refused = await error(compactImage(base))
    expect(refused).toMatchObject({ name: 'RefusedError', code: 'HAS_CHILDREN' })
    expect(await idsOf(base)).toMatchObject({ dataWriteGuid: before.dataWriteGuid })
    const planned = await compactImage(base, { dryRun: true })
    expect(planned.findings.map(({ code }) => code)).toEqual(['HAS_CHILDREN'])
    expect(await compactImage(base, { force: true })).toMatchObject({ contentChanged: true, freeBlocks: 1 })
    expect((await idsOf(base)).dataWriteGuid).not.toBe(before.dataWriteGuid)
  }, 60_000)
})
