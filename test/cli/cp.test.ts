/** vhdx cp, on volumes that other people's tools made and read. */
import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import {
  buildDisk,
  diskTools,
  fat,
  fillNtfs,
  hashTree,
  ntfs,
  type Place,
  withNtfs,
  writeFiles,
} from '../helpers/disks.ts'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { describeWith, run, testWith } from '../helpers/tools.ts'

const MiB = 1024 ** 2

const fill = async (folder: string) => {
  await writeFiles(folder)
  await writeFile(join(folder, 'pagefile.sys'), Buffer.alloc(2 * MiB, 'paged out '))
}

describeWith(diskTools, 'vhdx cp', () => {
  let folder: Scratch
  let disk = ''
  let volume: Place
  let expected: Record<string, string> = {}
  beforeAll(async () => {
    folder = await scratch()
    disk = folder.path('disk.raw')
    const files = { 'EFI/Boot/boot.txt': 'boot', 'A long name on FAT.txt': 'long' }
    const places = await buildDisk(disk, {
      size: 128 * MiB,
      table: 'gpt',
      partitions: [
        { size: 40 * MiB, type: 'ef00', content: [fat({ bits: 32, files })] },
        { type: '0700', content: [ntfs({ label: 'Data' }), fillNtfs(fill)] },
      ],
    })
    volume = places[1]!
    expected = await withNtfs(volume, hashTree, true)
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  let target = ''
  beforeEach(async () => {
    target = folder.path('target')
    await rm(target, { recursive: true, force: true })
    await mkdir(target)
  })

  test('the whole volume is what ntfs-3g shows of it', async () => {
    const { exitCode, stderr, stdout } = await vhdx(['cp', '-r', disk, '/', target])
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 })
    expect(stderr).toContain('taking partition 2 (NTFS "Data"')
    expect(stdout).toContain('1 named stream was not copied: see --streams')
    expect(await hashTree(target)).toEqual(expected)
    expect(Object.keys(expected).length).toBeGreaterThan(40)
  })

  test('a folder, a file, a glob and a stream', async () => {
    expect(await vhdxJson('cp', '-r', disk, '/a', join(target, 'b'))).toMatchObject({
      files: 1,
      directories: 4,
      links: 0,
      errors: 0,
    })
    expect(await vhdxJson('cp', disk, '/IN THE RECORD.TXT', target)).toMatchObject({ files: 1, bytes: 300 })
    expect(await vhdxJson('cp', disk, '/small/*/1?.dat', target)).toMatchObject({ files: 10 })
    expect(await vhdxJson('cp', disk, '/with stream.txt:second', target)).toMatchObject({ streams: 1, bytes: 20_000 })
    expect((await readdir(target)).sort()).toEqual(
      [
        'b',
        'in the record.txt',
        'with stream.txt:second',
        ...Array.from({ length: 10 }, (_, i) => `${10 + i}.dat`),
      ].sort(),
    )
  })

  test('from FAT, with --partition', async () => {
    expect(await vhdxJson('cp', disk, '-r', '/', target, '--partition', '1')).toMatchObject({ files: 2, errors: 0 })
    expect(await readFile(join(target, 'EFI/Boot/boot.txt'), 'utf8')).toBe('boot')
    expect(await readFile(join(target, 'A long name on FAT.txt'), 'utf8')).toBe('long')
  })

  test('a file that the capture left out is an error by name, and the rest is copied: exit code 3', async () => {
    const image = folder.path('captured.vhdx')
    await vhdx(['capture', disk, image], { exitCodes: [0] })
    const { exitCode, stderr } = await vhdx(['cp', '-q', image, '/*.sys', '/in the record.txt', target])
    expect(exitCode).toBe(3)
    expect(stderr).toMatch(/^vhdx: \/pagefile\.sys: .*\[LEFT_OUT\]$/m)
    expect(await readdir(target)).toEqual(['in the record.txt'])
    const lines = (await vhdx(['cp', '--json', image, '/pagefile.sys', target])).stdout.trim().split('\n')
    expect(lines.map(line => JSON.parse(line)).filter(({ type }) => type !== 'progress')).toMatchObject([
      { type: 'error', path: '/pagefile.sys', error: { code: 'LEFT_OUT' } },
      { type: 'summary', files: 0, errors: 1 },
    ])
  })

  test('what the target has already is kept, and --on-conflict says otherwise', async () => {
    await writeFile(join(target, 'empty'), 'old')
    const { exitCode, stderr } = await vhdx(['cp', disk, '/empty', target])
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('[FILE_EXISTS]') })
    expect(await readFile(join(target, 'empty'), 'utf8')).toBe('old')
    expect(await vhdx(['cp', disk, '/empty', target, '--on-conflict', 'skip'])).toMatchObject({ exitCode: 0 })
    expect(await vhdx(['cp', disk, '/empty', target, '--on-conflict', 'overwrite'])).toMatchObject({ exitCode: 0 })
    expect(await readFile(join(target, 'empty'), 'utf8')).toBe('')
  })

  test('the image itself is never written over, by whatever name', async () => {
    await rename(disk, join(target, 'empty'))
    await symlink(join(target, 'empty'), disk)
    const overwrite = ['--on-conflict', 'overwrite']
    const copied = await vhdx(['cp', disk, '/empty', target, ...overwrite])
    const archived = await vhdx(['cp', disk, '/empty', '--tar', join(target, 'empty'), ...overwrite])
    await rename(join(target, 'empty'), disk)
    expect(copied).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('[SAME_FILE]') })
    expect(archived).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('[SAME_FILE]') })
    expect((await stat(disk)).size).toBe(128 * MiB)
    expect(await readdir(target)).toEqual([])
  })

  testWith(['tar'], '--tar - streams an archive, and says everything else on stderr', async () => {
    const archive = folder.path('streamed.tar')
    const vhdxTar = [process.execPath, join(repository, 'cli/bin.js'), 'cp', '-r', disk, '/', '--tar', '-']
    await run('sh', ['-c', '"$@" > "$ARCHIVE"', 'sh', ...vhdxTar], { env: { ...process.env, ARCHIVE: archive } })
    await run('tar', ['-x', '-f', archive, '-C', target])
    expect(await hashTree(target)).toEqual(expected)
  })

  testWith(['unzip'], '--zip writes an archive', async () => {
    const archive = folder.path('a.zip')
    expect(await vhdxJson('cp', '-r', disk, '/small', '/Größe und 大小.bin', '--zip', archive)).toMatchObject({
      files: 41,
    })
    await run('unzip', ['-q', archive, '-d', target])
    const wanted = Object.entries(expected).filter(([name]) => /^(small|Größe)/.test(name))
    expect(await hashTree(target)).toEqual(Object.fromEntries(wanted))
  })

  test('wrong usage is said in one line', async () => {
    const cases = [
      [['cp', disk, '/a', target], 'NEEDS_RECURSIVE'],
      [['cp', disk, '/a'], 'say where to copy /a to'],
      [['cp', disk, '/a', '--tar', 'x', '--zip', 'y'], 'not both'],
      [['cp', disk, '/a', ''], 'empty'],
      [['cp', disk, '/a', target, '--partition', '9'], 'NO_SUCH_PARTITION'],
      [['cp', disk, '/missing', target], 'NO_SUCH_FILE'],
    ] as const
    for (const [args, words] of cases) {
      const { exitCode, stderr } = await vhdx(args)
      expect(exitCode).toBeGreaterThan(0)
      expect(stderr).toContain(words)
      expect(stderr).not.toMatch(/\n\s+at /)
    }
    expect(await readdir(target)).toEqual([])
  })
})
