/** What capture refuses, and what it leaves behind when it does not get to its end: nothing. */
import { spawn } from 'node:child_process'
import { copyFile, link, mkdir, open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { buildDisk, diskTools, fillNtfs, ntfs, type Place, withNtfs } from '../helpers/disks.ts'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run, testWith } from '../helpers/tools.ts'

const MiB = 1024 ** 2

const fill = async (folder: string) => {
  await mkdir(join(folder, 'Windows/Temp'), { recursive: true })
  await writeFile(join(folder, 'Windows/Temp/big.tmp'), Buffer.alloc(3 * MiB, 'temporary '))
  await writeFile(join(folder, 'Windows/keep.bin'), pattern(3 * MiB, 5))
  await writeFile(join(folder, 'pagefile.sys'), Buffer.alloc(2 * MiB, 'paged out '))
}

describeWith(diskTools, 'capture', () => {
  let folder: Scratch
  let disk = ''
  let volume: Place
  beforeAll(async () => {
    folder = await scratch()
    disk = folder.path('disk.raw')
    const partitions = [{ type: '0700', content: [ntfs({ label: 'Windows' }), fillNtfs(fill)] }]
    volume = (await buildDisk(disk, { size: 64 * MiB, table: 'gpt', partitions }))[0]!
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  /** A disk of its own, to be spoiled. */
  async function spoiled(name: string, change: (file: Awaited<ReturnType<typeof open>>) => Promise<unknown>) {
    const path = folder.path(name)
    await copyFile(disk, path)
    const file = await open(path, 'r+')
    await change(file).finally(() => file.close())
    return path
  }
  const at = (offset: number, bytes: Buffer) => (file: Awaited<ReturnType<typeof open>>) =>
    file.write(bytes, 0, bytes.length, offset)
  const leftovers = async () => (await readdir(folder.path('.'))).filter(name => name.includes('partial'))

  /** Runs it, and expects this exit code, these words, no stack and nothing half-written. */
  async function refused(args: readonly string[], exitCode: number, words: string) {
    const ended = await vhdx(args)
    expect(ended).toMatchObject({ exitCode, stdout: '' })
    expect(ended.stderr).toContain(words)
    expect(ended.stderr).not.toMatch(/\n\s+at /)
    expect(await leftovers()).toEqual([])
  }

  test('never replaces an image without --force, and replaces it whole with it', async () => {
    const image = folder.path('there.vhdx')
    await writeFile(image, 'precious')
    await refused(['capture', disk, image], 1, 'TARGET_EXISTS')
    expect(await readFile(image, 'utf8')).toBe('precious')
    expect(await vhdx(['capture', disk, image, '--force'])).toMatchObject({ exitCode: 0 })
    expect(await vhdx(['verify', image])).toMatchObject({ exitCode: 0 })
  })

  test('a file that another capture left half-written is explained, and replaced with --force', async () => {
    const image = folder.path('again.vhdx')
    await writeFile(`${image}.partial`, 'half')
    const ended = await vhdx(['capture', disk, image])
    expect(ended).toMatchObject({ exitCode: 1 })
    expect(ended.stderr).toContain('another program is writing it, or one was stopped')
    expect(await vhdx(['capture', disk, image, '--force'])).toMatchObject({ exitCode: 0 })
  })

  test('refuses to write over its source, under any of its names', async () => {
    await refused(['capture', disk, disk, '--force'], 2, 'SAME_FILE')
    await link(disk, folder.path('other-name.vhdx'))
    await refused(['capture', disk, folder.path('other-name.vhdx'), '--force'], 2, 'SAME_FILE')
  })

  test('wrong usage is said in one line', async () => {
    await refused(['capture', disk], 2, 'Not enough non-option arguments')
    await refused(['capture', disk, folder.path('a.vhdx'), '--block-size', '3MiB'], 2, 'block size')
    await refused(['capture', disk, folder.path('a.vhdx'), '--block-size', '0'], 2, 'block size')
    await refused(['capture', disk, folder.path('a.vhdx'), '--block-size', 'huge'], 2, 'huge')
    await refused(['capture', disk, folder.path('a.vhdx'), '--keep', 'everything'], 2, 'everything')
    await refused(['capture', disk, folder.path('a.vhdx'), '--frce'], 2, 'frce')
    await refused(['capture', folder.path('nothing.raw'), folder.path('a.vhdx')], 1, 'NOT_FOUND')
    await refused(['capture', disk, folder.path('no/such/folder.vhdx')], 1, 'NOT_FOUND')
    await refused(['capture', folder.path('.'), folder.path('a.vhdx')], 1, 'NOT_A_DISK')
  })

  test('bad sources get a name', async () => {
    const image = folder.path('bad.vhdx')
    const empty = folder.path('empty.raw')
    await writeFile(empty, '')
    await refused(['capture', empty, image], 4, 'EMPTY_FILE')
    const short = await spoiled('short.raw', file => file.truncate(30 * MiB))
    await refused(['capture', short, image], 4, 'PARTITION_BEYOND_END')
    const noGpt = await spoiled('no-gpt.raw', async file => {
      await at(512, Buffer.alloc(512, 0xff))(file)
      await at(64 * MiB - 512, Buffer.alloc(512, 0xff))(file)
    })
    await refused(['capture', noGpt, image], 4, 'GPT_DAMAGED')
    const badBoot = await spoiled('bad-boot.raw', async file => {
      const mftLcn = Buffer.alloc(8, 0x7f)
      await at(volume.offset + 0x30, mftLcn)(file)
      await at(volume.offset + volume.length - 512 + 0x30, mftLcn)(file)
    })
    await refused(['capture', badBoot, image], 4, 'partition 1')
    expect(await vhdx(['capture', badBoot, image, '--force'])).toMatchObject({ exitCode: 0 })
    expect(await vhdx(['capture', badBoot, folder.path('x.vhdx'), '--dry-run'])).toMatchObject({ exitCode: 3 })
    const { manifest } = await vhdxJson('info', image)
    expect(manifest).toMatchObject({ forced: true, findings: [{ code: 'DAMAGED_FILE_SYSTEM' }] })
  })

  test('a dirty volume is refused; with --force the manifest says so', async () => {
    const path = folder.path('dirty.raw')
    await copyFile(disk, path)
    // $Volume is record 3; ntfs-3g itself clears the flag when it unmounts, so the byte is set by hand.
    const bytes = await readFile(path)
    const record =
      bytes.indexOf(Buffer.from('$Volume', 'utf16le')) - (bytes.indexOf(Buffer.from('$Volume', 'utf16le')) % 1024)
    let attribute = record + bytes.readUInt16LE(record + 0x14)
    while (bytes.readUInt32LE(attribute) !== 0x70) attribute += bytes.readUInt32LE(attribute + 4)
    bytes[attribute + bytes.readUInt16LE(attribute + 0x14) + 10]! |= 1
    await writeFile(path, bytes)
    await refused(['capture', path, folder.path('dirty.vhdx')], 1, 'NTFS_DIRTY')
    expect(await vhdx(['capture', path, folder.path('dirty.vhdx'), '--force'])).toMatchObject({ exitCode: 0 })
    const { manifest } = await vhdxJson('info', folder.path('dirty.vhdx'))
    expect(manifest).toMatchObject({ forced: true, findings: [{ code: 'NTFS_DIRTY' }] })
  })

  test('a source that is mounted for writing is refused', async () => {
    await withNtfs(volume, async () => {
      await refused(['capture', disk, folder.path('mounted.vhdx')], 1, 'MOUNTED_READ_WRITE')
    })
  })

  test('--keep copies what is left out, --exclude leaves out more', async () => {
    const read = async (image: string, text: string) => {
      const raw = folder.path('content.raw')
      await run('qemu-img', ['convert', '-O', 'raw', image, raw])
      return (await readFile(raw)).includes(text)
    }
    await vhdxJson('capture', disk, folder.path('keep.vhdx'), '--keep', 'pagefile')
    expect(await read(folder.path('keep.vhdx'), 'paged out paged out')).toBe(true)
    const { leftOut } = await vhdxJson('capture', disk, folder.path('less.vhdx'), '--exclude', '/windows/temp/*.TMP')
    expect(leftOut).toMatchObject([
      { path: '\\pagefile.sys', reason: 'pagefile', bytes: 2 * MiB },
      { path: '\\Windows\\Temp\\big.tmp', reason: 'excluded', bytes: 3 * MiB },
    ])
    expect(await read(folder.path('less.vhdx'), 'temporary temporary')).toBe(false)
    const { manifest } = await vhdxJson('info', folder.path('less.vhdx'))
    expect(manifest).toMatchObject({ exclude: ['/windows/temp/*.TMP'], leftOut })
    expect(await vhdx(['verify', folder.path('less.vhdx'), '--against', disk])).toMatchObject({ exitCode: 0 })
  })

  test('--dry-run writes nothing and says how large the image can get', async () => {
    const image = folder.path('planned.vhdx')
    const plan = await vhdxJson('capture', disk, image, '--dry-run')
    await expect(stat(image)).rejects.toThrow()
    const { bytesWritten } = await vhdxJson('capture', disk, image)
    expect(plan).toMatchObject({
      type: 'plan',
      virtualSize: 64 * MiB,
      partitions: [{ fileSystem: 'NTFS', label: 'Windows' }],
    })
    expect(bytesWritten).toBeLessThanOrEqual(plan.expectedSize)
    expect(bytesWritten).toBeGreaterThan(plan.expectedSize / 2)
  })

  test('an image streamed through a pipe holds the same disk', async () => {
    const [file, streamed] = [folder.path('file.vhdx'), folder.path('streamed.vhdx')]
    await vhdxJson('capture', disk, file)
    await run('sh', [
      '-c',
      `"${process.execPath}" "${join(repository, 'cli/bin.js')}" capture "${disk}" - | cat > "${streamed}"`,
    ])
    expect(await vhdx(['check', streamed])).toMatchObject({ exitCode: 0 })
    expect(await vhdx(['verify', streamed])).toMatchObject({ exitCode: 0 })
    await run('qemu-img', ['compare', file, streamed])
    const cut = folder.path('cut.vhdx')
    await copyFile(streamed, cut)
    await truncate(cut, (await stat(cut)).size - MiB)
    expect(await vhdx(['info', cut])).toMatchObject({ exitCode: 4 })
  })

  test('verify finds one changed byte', async () => {
    const image = folder.path('changed.vhdx')
    await vhdxJson('capture', disk, image)
    const file = await open(image, 'r+')
    await file.write(Buffer.from([0x5a]), 0, 1, (await stat(image)).size - MiB + 3)
    await file.close()
    const ended = await vhdx(['verify', image, '--json'])
    expect(ended.exitCode).toBe(4)
    expect(JSON.parse(ended.stdout.trim().split('\n').at(-1)!).differences).toHaveLength(1)
    expect(await vhdx(['verify', image, '--against', disk])).toMatchObject({ exitCode: 3 })
  })

  testWith(['loop'], 'a full target costs nothing but the attempt', async () => {
    const place = folder.path('small')
    await mkdir(place)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', place])
    try {
      await refused(['capture', disk, join(place, 'image.vhdx')], 1, 'NO_SPACE')
      expect(await readdir(place)).toEqual([])
      const room = await run(
        'sh',
        ['-c', `"${process.execPath}" "${join(repository, 'cli/bin.js')}" capture "${disk}" - > "${place}/x"`],
        { exitCodes: [1] },
      )
      expect(room.stderr).toContain('standard output cannot be written')
    } finally {
      await run('umount', [place])
    }
  })

  testWith(['loop'], 'unreadable sectors are zeros, listed, and said by the exit code', async () => {
    const backing = folder.path('failing.raw')
    await writeFile(backing, pattern(16 * MiB))
    const { stdout } = await run('losetup', ['-f', '--show', backing])
    const device = stdout.trim()
    try {
      // What lies beyond the end of the file under a loop device cannot be read.
      await truncate(backing, 15 * MiB)
      const image = folder.path('rescued.vhdx')
      const ended = await vhdx(['capture', device, image, '--json'])
      expect(ended.exitCode).toBe(3)
      const summary = JSON.parse(ended.stdout.trim().split('\n').at(-1)!)
      expect(summary.readErrors).toEqual({ bytes: MiB, ranges: [{ offset: 15 * MiB, length: MiB }], truncated: false })
      const { manifest } = await vhdxJson('info', image)
      expect(manifest.readErrors).toEqual(summary.readErrors)
      expect(await vhdx(['verify', image])).toMatchObject({ exitCode: 0 })
      await refused(['capture', device, folder.path('none.vhdx'), '--on-read-error', 'fail'], 1, 'READ_ERROR')
    } finally {
      await run('losetup', ['-d', device])
    }
  })

  test('a device, a folder or a link is never replaced', async () => {
    await refused(['capture', disk, '/dev/null', '--force'], 1, 'TARGET_NOT_A_FILE')
    await refused(['capture', disk, folder.path('.'), '--force'], 1, 'TARGET_NOT_A_FILE')
  })

  test('what was excluded in vain is said', async () => {
    const { warnings } = await vhdxJson('capture', disk, folder.path('vain.vhdx'), '--exclude', 'nothing-like-this')
    expect(warnings).toMatchObject([{ code: 'EXCLUDE_UNMATCHED' }])
    const sized = ['capture', disk, folder.path('sized.vhdx'), '--source-size', '1GiB']
    await refused(sized, 2, 'BAD_SOURCE_SIZE')
  })

  test('Ctrl-C leaves nothing behind', async () => {
    const large = folder.path('large.raw')
    await writeFile(large, pattern(1))
    const file = await open(large, 'r+')
    for (let i = 0; i < 400; i++) await file.write(pattern(MiB, i), 0, MiB, i * MiB)
    await file.close()
    const image = folder.path('stopped.vhdx')
    const child = spawn(process.execPath, [join(repository, 'cli/bin.js'), 'capture', large, image])
    const ended = new Promise<number | null>(resolve => child.on('close', resolve))
    while ((await leftovers()).length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(await leftovers()).toEqual([])
    await expect(stat(image)).rejects.toThrow()
  })
})
