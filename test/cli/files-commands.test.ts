/** partitions, ls, stat, cat, find, tree, du and hash, as users run them once the program is installed. */
import { createHash } from 'node:crypto'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  buildDisk,
  diskTools,
  exfat,
  fat,
  fillNtfs,
  hashNtfs,
  hashTree,
  ntfs,
  type Place,
  putBytes,
  withNtfs,
  writeFiles,
} from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { installInto } from '../helpers/installed.ts'
import { pattern } from '../helpers/pattern.ts'
import { run } from '../helpers/run.ts'
import { describeWith } from '../helpers/tools.ts'

const MiB = 1024 ** 2
const HOSTILE = 'esc\x1b[2J\nback'

const KEYS = ['path', 'kind', 'size', 'allocatedSize', 'modified', 'created', 'accessed', 'changed', 'attributes']
const ALL_KEYS = [...KEYS, 'record', 'links', 'streams', 'target']

describeWith(diskTools, 'commands about files', () => {
  let folder: Scratch
  let bin = ''
  let disk = ''
  let places: Place[] = []

  beforeAll(async () => {
    folder = await scratch()
    bin = await installInto(folder.path('installed'))
    disk = folder.path('disk.raw')
    places = await buildDisk(disk, {
      size: 144 * MiB,
      table: 'gpt',
      partitions: [
        {
          size: 12 * MiB,
          type: 'ef00',
          content: [fat({ bits: 16, files: { 'Long Name.txt': 'fat', 'a/b/c.txt': 'abc' } })],
        },
        { size: 48 * MiB, type: '0700', content: [ntfs({ label: 'Windows' }), fillNtfs(fill)] },
        { size: 60 * MiB, type: '0700', content: [ntfs({ label: 'Larger' })] },
        { size: 4 * MiB, type: '0700', content: [exfat()] },
        { size: MiB, type: '0700', content: [putBytes(3, Buffer.from('-FVE-FS-'))] },
        { size: MiB, type: '0700', content: [putBytes(3, Buffer.from('ReFS\0\0\0\0'))] },
        { size: MiB, type: '8e00', content: [putBytes(536, Buffer.from('LVM2 001'))] },
        { size: MiB, type: '8200', content: [putBytes(4086, Buffer.from('SWAPSPACE2'))] },
        { size: MiB, type: '4201' },
        { size: MiB, type: '4202' },
        { size: MiB, type: '0c01' },
      ],
    })
  }, 120_000)
  afterAll(() => folder[Symbol.asyncDispose]())

  const ANY = Array.from({ length: 256 }, (_, code) => code)
  const vhdx = (...args: readonly string[]) => run(process.execPath, [bin, ...args], { exitCodes: ANY })
  const lines = async (...args: readonly string[]) => (await vhdx(...args)).stdout.trimEnd().split('\n')
  // biome-ignore lint/suspicious/noExplicitAny: each command has a shape of its own, and tests say what they expect of it.
  const json = async (...args: readonly string[]): Promise<any[]> =>
    (await lines(...args, '--json')).map(line => JSON.parse(line))

  async function fill(mountPoint: string): Promise<void> {
    await writeFiles(mountPoint, 5)
    await mkdir(join(mountPoint, 'Windows/System32'), { recursive: true })
    await writeFile(join(mountPoint, HOSTILE), 'hostile')
    await writeFile(join(mountPoint, '\u202etxt.exe'), 'turned')
  }

  test('partitions: what is on each, with names for what cannot be read', async () => {
    const [{ table, partitions }] = await json('partitions', disk)
    expect(table).toBe('gpt')
    expect(
      partitions.map(({ number, fileSystem, label, error }: (typeof partitions)[number]) =>
        [number, fileSystem, label, error?.code ?? null].join(),
      ),
    ).toEqual([
      '1,FAT16,SYSTEM,',
      '2,NTFS,Windows,',
      '3,NTFS,Larger,',
      '4,exFAT,CARD,',
      '5,BitLocker,,FILES_NOT_READ',
      '6,ReFS,,FILES_NOT_READ',
      '7,LVM2,,FILES_NOT_READ',
      '8,Linux swap,,FILES_NOT_READ',
      '9,LDM,,FILES_NOT_READ',
      '10,Storage Spaces,,FILES_NOT_READ',
      '11,none,,FILES_NOT_READ',
    ])
    expect(partitions[1]).toMatchObject({ offset: 13 * MiB, size: 48 * MiB, clusterSize: 4096 })
    const { stdout } = await vhdx('partitions', disk)
    expect(stdout).toMatch(/2 +Microsoft basic data +NTFS +Windows +13631488 +48 MiB/)
    expect(stdout).toMatch(/^partition 5: .*BitLocker.* \[FILES_NOT_READ\]$/m)
  })

  test('the volume with Windows, or the one that is asked for; a line on stderr says which', async () => {
    const { stdout, stderr, exitCode } = await vhdx('ls', disk)
    expect([exitCode, stderr]).toEqual([
      0,
      expect.stringMatching(/^taking partition 2 \(NTFS "Windows", 48 MiB\): it has/),
    ])
    expect(stdout).toContain('Windows/\n')
    expect(JSON.parse((await vhdx('ls', disk, '--json')).stderr)).toMatchObject({ type: 'note', code: 'VOLUME_CHOSEN' })
    expect(await vhdx('ls', disk, '--partition', '1')).toMatchObject({ stdout: 'a/\nLong Name.txt\n', stderr: '' })
    expect((await vhdx('ls', disk, '--partition', '77')).stderr).toContain('[NO_SUCH_PARTITION]')
    expect((await vhdx('ls', disk, '--partition', '5')).stderr).toMatch(/BitLocker.*\[FILES_NOT_READ\]/)
  })

  test('ls -R --json --hash: the keys of the README, and what ntfs-3g finds', async () => {
    const entries = await json('ls', disk, '-R', '--hash')
    for (const entry of entries) expect(Object.keys(entry)).toEqual([...ALL_KEYS, 'sha256'])
    const found = entries.map(({ path, kind, size, sha256 }) => [
      path.slice(1),
      kind === 'file' ? `${size} ${sha256}` : 'folder',
    ])
    const { 'with stream.txt:second': _, ...tree } = await hashNtfs(places[1]!)
    expect(Object.fromEntries(found)).toEqual(tree)
    const [file] = await json('ls', disk, '/with stream.txt')
    expect(Object.keys(file)).toEqual(ALL_KEYS)
    expect(file).toMatchObject({ kind: 'file', size: 10, streams: [{ name: 'second', size: 20_000 }], target: null })
    expect(file.modified).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/)
  })

  test('null for what FAT has not', async () => {
    const [entry] = await json('ls', disk, '--partition', '1', '/LONG NAME.TXT')
    expect(entry).toMatchObject({
      path: '/Long Name.txt',
      changed: null,
      record: null,
      streams: [],
      attributes: ['archive'],
    })
  })

  test('ls as text: sorted, long, with streams, of all that is below', async () => {
    const names = await lines('ls', disk)
    expect(names).toEqual(names.toSorted((a, b) => (a.toUpperCase() < b.toUpperCase() ? -1 : 1)))
    expect(await lines('ls', disk, '-l', '--streams', '/with stream.txt')).toEqual([
      expect.stringMatching(/^-a------ {2}1 {5}10 {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}\/with stream.txt$/),
      expect.stringMatching(/^ +20000 +\/with stream.txt:second$/),
    ])
    expect(await lines('ls', disk, '-R', '/a')).toEqual([
      '/a:',
      'deep/',
      '',
      '/a/deep:',
      'er/',
      '',
      '/a/deep/er:',
      'folder/',
      '',
      '/a/deep/er/folder:',
      'large.bin',
    ])
    expect(await lines('ls', disk, '--system')).toContain('$MFT')
    expect(names).not.toContain('$MFT')
  })

  test('what a name holds cannot do anything to a terminal; JSON has it as it is', async () => {
    for (const command of ['ls', 'find', 'tree']) {
      const { stdout } = await vhdx(command, disk)
      expect(stdout).not.toMatch(/[^\P{Cc}\n]|\u202e/u)
      expect(stdout).toContain('esc\\x1b[2J\\nback')
      expect(stdout).toContain('\\u202etxt.exe')
    }
    expect((await json('ls', disk)).map(({ path }) => path)).toContain(`/${HOSTILE}`)
    const missing = await vhdx('ls', disk, '/not\x1b[2Jthere')
    expect([missing.exitCode, missing.stderr.includes('\x1b')]).toEqual([1, false])
  })

  test('stat: what the volume knows', async () => {
    const [file] = await json('stat', disk, '/a/deep/er/folder/large.bin', '--runs')
    const { details, ...entry } = file
    expect(Object.keys(entry)).toEqual(ALL_KEYS)
    expect(details.sddl).toMatch(/^O:/)
    expect(details.times.map(({ source }: { source: string }) => source)).toContain('$STANDARD_INFORMATION')
    const data = details.attributes.find(({ type }: { type: string }) => type === '$DATA')
    const covered = data.runs.reduce((sum: number, { length }: { length: number }) => sum + length, 0)
    expect([data.size, covered]).toEqual([3 * MiB + 5, 3 * MiB + 4096])
    const { stdout } = await vhdx('stat', disk, '/a', '/with stream.txt')
    expect(stdout).toMatch(/^path: +\/a\n/)
    expect(stdout).toMatch(/\n\npath: +\/with stream.txt\n/)
    expect(stdout).toMatch(/\$DATA +second +20000 +20000 +20480/)
    expect(stdout).not.toContain('at byte')
  })

  test('ls, stat, hash: of several paths one that is missing is told, and the others go on', async () => {
    for (const [command, shown] of [
      ['ls', '/in the record.txt'],
      ['stat', ' /in the record.txt\n'],
      ['hash', 'in the record.txt'],
    ] as const) {
      const told = await vhdx(command, disk, '/nothing', '/in the record.txt', '/a/nothing')
      expect([told.exitCode, told.stdout.includes(shown)]).toEqual([3, true])
      for (const path of ['/nothing', '/a/nothing']) {
        expect(told.stderr).toContain(
          `${path}: there is no 'nothing' in ${path === '/nothing' ? '/' : '/a'} [NO_SUCH_FILE]\n`,
        )
      }
      const json = await vhdx(command, disk, '/nothing', '/in the record.txt', '--json')
      expect([json.exitCode, JSON.parse(json.stdout).path]).toEqual([3, '/in the record.txt'])
      expect(json.stderr).toContain('"code":"NO_SUCH_FILE"')
      const none = await vhdx(command, disk, '/nothing', '/neither')
      expect([none.exitCode, none.stdout]).toEqual([1, ''])
      expect(none.stderr).toContain("there is no 'nothing' in /")
    }
  })

  test('cat: bytes and nothing else; a stream; not a directory', async () => {
    const script = `"${process.execPath}" "${bin}" cat -q "${disk}" /a/deep/er/folder/large.bin`
    const tree = await hashNtfs(places[1]!)
    const { stdout } = await run('sh', ['-c', `${script} | sha256sum`])
    expect(tree['a/deep/er/folder/large.bin']).toBe(`${3 * MiB + 5} ${stdout.slice(0, 64)}`)
    expect((await run('sh', ['-c', `${script} | head -c 3 | wc -c; echo done`])).stdout).toMatch(/^ *3\ndone\n$/)
    const stream = await run('sh', [
      '-c',
      `"${process.execPath}" "${bin}" cat -q "${disk}" "/with stream.txt:second" | sha256sum`,
    ])
    expect(stream.stdout.slice(0, 64)).toBe(createHash('sha256').update(pattern(20_000, 6)).digest('hex'))
    for (const [path, code] of [
      ['/a', 'NOT_A_FILE'],
      ['/nothing', 'NO_SUCH_FILE'],
      ['/empty:nothing', 'NO_SUCH_STREAM'],
    ] as const) {
      const { exitCode, stdout, stderr } = await vhdx('cat', disk, path)
      expect([exitCode, stdout, stderr.includes(`[${code}]`)]).toEqual([1, '', true])
    }
  })

  test('hash: sha256sum checks it in the mount; a stream; directories only with -r', async () => {
    const sums = folder.path('sums')
    const { stdout } = await vhdx('hash', disk, '-r', '/')
    await writeFile(sums, stdout)
    const checked = await withNtfs(places[1]!, cwd => run('sha256sum', ['--check', '--strict', sums], { cwd }), true)
    expect(checked.stdout.trimEnd().split('\n')).toHaveLength(stdout.trimEnd().split('\n').length)
    expect(stdout).toContain('  in the record.txt\n')
    expect(stdout).toContain('  esc\x1b[2J\\nback\n')

    const [stream] = await json('hash', disk, '/with stream.txt:second', '--algorithm', 'md5')
    expect(stream).toEqual({
      path: '/with stream.txt:second',
      algorithm: 'md5',
      hash: expect.stringMatching(/^[0-9a-f]{32}$/),
    })
    expect(
      (await lines('hash', disk, '-r', '--streams', '/')).some(line => line.endsWith('  with stream.txt:second')),
    ).toBe(true)
    expect(await vhdx('hash', disk, '/a')).toMatchObject({ exitCode: 2, stdout: '' })
  })

  test('find: by name, size, type and time', async () => {
    const find = async (...args: readonly string[]) => (await lines('find', disk, ...args)).sort()
    expect(await find('--name', '*.TXT')).toEqual(['/in the record.txt', '/with stream.txt'])
    expect(await find('/a', '--type', 'd')).toEqual(['/a', '/a/deep', '/a/deep/er', '/a/deep/er/folder'])
    expect(await find('--size', '+1M')).toEqual(['/a/deep/er/folder/large.bin', '/sparse.bin'])
    expect(await find('--size', '-300', '--size', '+1', '--name', '*record*')).toEqual(['/in the record.txt'])
    expect(await find('--newer', '2100-01-01')).toEqual([''])
    expect((await find('--older', '2100-01-01T00:00Z', '--type', 'f')).length).toBeGreaterThan(5)
    const [hashed] = await find('--name', 'one cluster', '--hash')
    expect(hashed).toMatch(/^[0-9a-f]{64} {2}\/one cluster$/)
    for (const wrong of [
      ['--size', 'large'],
      ['--newer', 'soon'],
      ['--size', '+2M', '--size', '1M'],
      ['--type', 'x'],
    ]) {
      expect((await vhdx('find', disk, ...wrong)).exitCode).toBe(2)
    }
  })

  test('tree: as a picture, down to a depth', async () => {
    expect(await lines('tree', disk, '/a', '--ascii')).toEqual([
      '/a',
      '`-- deep/',
      '    `-- er/',
      '        `-- folder/',
      '            `-- large.bin',
    ])
    expect(await lines('tree', disk, '/small', '-d', '1', '--ascii')).toEqual([
      '/small',
      '|-- 0/',
      '|-- 1/',
      '|-- 2/',
      '|-- 3/',
      '`-- 4/',
    ])
    expect((await json('tree', disk, '/a')).map(({ path }) => path).at(-1)).toBe('/a/deep/er/folder/large.bin')
  })

  test('du: as much as du counts', async () => {
    const [total] = await json('du', disk, '-d', '0')
    const tree = Object.values(await withNtfs(places[1]!, hashTree, true))
    expect([total.path, total.files]).toEqual(['/', tree.filter(value => value !== 'folder').length])
    const script = "find . -type f -printf '%s\\n' | awk '{ sum += $1 } END { print sum }'"
    const counted = await withNtfs(places[1]!, cwd => run('sh', ['-c', script], { cwd }), true)
    expect(total.size).toBe(Number(counted.stdout))
    expect(await lines('du', disk, '/a', '-b')).toEqual([
      '3145733  3149824  /a/deep/er/folder',
      '3145733  3149824  /a/deep/er',
      '3145733  3149824  /a/deep',
      '3145733  3149824  /a',
    ])
    expect(await lines('du', disk, '/a', '-d', '0')).toEqual(['3 MiB  3 MiB  /a'])
  })

  test('a damaged record is listed as far as it is known, costs nothing else, and ends with 3', async () => {
    const [{ record }] = await json('stat', disk, '/one cluster')
    const [mft] = await json('stat', disk, '/$MFT', '--runs')
    const data = mft.details.attributes.find(({ type }: { type: string }) => type === '$DATA')
    const { position, length } = data.runs[0]
    expect(length).toBeGreaterThan((record + 1) * 1024)
    const damaged = folder.path('damaged.raw')
    await run('cp', ['--sparse=always', disk, damaged])
    const file = await open(damaged, 'r+')
    await file.write(Buffer.from('BAAD'), 0, 4, places[1]!.offset + position + record * 1024)
    await file.close()

    const whole = await json('ls', disk, '-R')
    const { stdout, exitCode } = await vhdx('ls', damaged, '-R', '--json', '--hash')
    const entries = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(exitCode).toBe(3)
    expect(entries.filter(({ error }) => error === undefined)).toHaveLength(whole.length - 1)
    for (const args of [['ls'], ['ls', '-R'], ['find', '--hash'], ['tree'], ['du'], ['hash', '-r']]) {
      const [command = '', ...options] = args
      const ended = await vhdx(command, damaged, ...options, '/')
      expect([command, ended.exitCode]).toEqual([command, 3])
    }
    const { stdout: text } = await vhdx('ls', damaged)
    expect(text).toMatch(/^one cluster {2}! .* \[\w+\]$/m)
    const hash = await vhdx('hash', '-q', damaged, '/one cluster', '/in the record.txt')
    expect([hash.exitCode, hash.stdout.split('\n').length]).toEqual([3, 2])
    expect(hash.stderr).toMatch(/^\/one cluster: .* \[\w+\]\n$/)
    const cat = await vhdx('cat', damaged, '/one cluster')
    expect([cat.exitCode, cat.stdout]).toEqual([4, ''])
    await rm(damaged)
  })
})
