/** Copying into a folder: what ends up there, and what never may. */
import { existsSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { FormatError, UnsupportedError } from '../../lib/errors.ts'
import { extractFiles } from '../../lib/extract/extract.ts'
import type { ExtractOptions } from '../../lib/extract/extract-options.ts'
import type { ExtractEvent } from '../../lib/extract/extract-report.ts'
import { FileAttribute } from '../../lib/volume/entry.ts'
import { buildDisk, exfat, withExfat } from '../helpers/disks.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run } from '../helpers/run.ts'
import { testWith } from '../helpers/tools.ts'
import { type FakeEntry, FakeFiles } from './fake-files.ts'

let folder: Scratch
let target = ''
beforeEach(async () => {
  folder = await scratch()
  target = folder.path('target')
  await mkdir(target)
})
afterEach(() => folder[Symbol.asyncDispose]())

/** Copies everything, and says what was told meanwhile. */
async function extractAll(entries: readonly FakeEntry[], options: ExtractOptions = {}, into = target) {
  const events: ExtractEvent[] = []
  const onEvent = (event: ExtractEvent) => void events.push(event)
  const report = await extractFiles(new FakeFiles(...entries), ['/'], into, { recursive: true, onEvent, ...options })
  return { report, events, codes: events.map(event => (event.type === 'error' ? event.error.code : event.type)) }
}

/** Everything in the scratch folder: path → content, or where a link leads. */
async function contents(within = folder.path('.')): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const entry of await readdir(within, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(within.length + 1)
    if (entry.isSymbolicLink()) found[name] = `→ ${await readlink(path)}`
    else found[name] = entry.isDirectory() ? '/' : await readFile(path, 'latin1')
  }
  return found
}

describe('hostile names', () => {
  const hostile = [
    '..',
    '.',
    '',
    '../outside',
    '../../outside',
    '/outside',
    'a/../../outside',
    'a/b',
    'x\0y',
    '\ud800',
    '..\\..\\outside',
  ]

  test('as files: each is one file in the target, and told', async () => {
    const { report, events } = await extractAll(hostile.map(name => ({ name, content: name })))
    expect(Object.keys(await contents(target)).sort()).toEqual(
      [
        '%2E%2E',
        '%2E',
        '_',
        '..%2Foutside',
        '..%2F..%2Foutside',
        '%2Foutside',
        'a%2F..%2F..%2Foutside',
        'a%2Fb',
        'x%00y',
        '%uD800',
        '..\\..\\outside',
      ].sort(),
    )
    expect(await readdir(folder.path('.'))).toEqual(['target'])
    expect(report).toMatchObject({ files: hostile.length, renamed: hostile.length - 1, errors: 0 })
    expect(events.every(({ type }) => type === 'renamed')).toBe(true)
  })

  test('as directories, with files and more of them below', async () => {
    const entries = hostile.map(name => ({ name, entries: hostile.map(inner => ({ name: inner, content: 'x' })) }))
    await extractAll(entries)
    const found = Object.entries(await contents(target))
    expect(await readdir(folder.path('.'))).toEqual(['target'])
    expect(found.filter(([, content]) => content === 'x')).toHaveLength(hostile.length ** 2)
  })

  test('twice the same name, or what becomes the same: both are copied', async () => {
    const entries = [
      { name: 'a/b', content: '1' },
      { name: 'a%2Fb', content: '2' },
      { name: 'twin', content: '3' },
      { name: 'twin', content: '4' },
    ]
    for (const onConflict of ['skip', 'overwrite', 'fail', 'rename'] as const) {
      const into = folder.path(onConflict)
      expect((await extractAll(entries, { onConflict }, into)).report.files).toBe(4)
      const [root] = Object.values({ into })
      expect(Object.values(await contents(root!)).sort()).toEqual(['1', '2', '3', '4'])
    }
  })

  test('names that are too long are cut, and paths that are too long are an error of theirs', async () => {
    let deep: FakeEntry = { name: 'bottom', content: 'x' }
    for (let depth = 0; depth < 30; depth++) deep = { name: 'd'.repeat(250), entries: [deep] }
    const { codes } = await extractAll([
      { name: `${'ü'.repeat(200)}.txt`, content: 'x' },
      { name: 'ok', content: 'x' },
      deep,
    ])
    expect(codes).toContain('renamed')
    expect(codes.filter(code => code !== 'renamed').length).toBeGreaterThan(0)
    expect(Object.keys(await contents(target))).toEqual(expect.arrayContaining(['ok', `${'ü'.repeat(125)}.txt`]))
  })
})

describe('links', () => {
  const links = (target: string): FakeEntry[] => [
    {
      name: 'dir',
      entries: [
        { name: 'file', content: 'inside' },
        { name: 'deep', entries: [{ name: 'link', kind: 'link', target }] },
      ],
    },
  ]

  test.each([
    ['..\\file', '../file'],
    ['../file', '../file'],
    ['.\\..\\.\\file', '../file'],
    ['..', '..'],
    ['..\\deep\\..\\file', '../file'],
    ['..\\..\\dir\\file', '../file'],
    ['nowhere', 'nowhere'],
  ])('to %s leads to %s', async (to, made) => {
    const { report } = await extractAll(links(to))
    expect(await readlink(join(target, 'dir/deep/link'))).toBe(made)
    expect(report.links).toBe(1)
  })

  test.each([
    '/etc/passwd',
    '\\Windows',
    'C:\\Windows',
    'c:file',
    '\\\\server\\share',
    '\\??\\C:\\x',
    '../../../outside',
    '..\\..\\..',
    '../../missing/x',
  ])('to %s is told and not made', async to => {
    const { report, codes } = await extractAll(links(to))
    expect(existsSync(join(target, 'dir/deep/link'))).toBe(false)
    await expect(lstat(join(target, 'dir/deep/link'))).rejects.toThrow('ENOENT')
    expect(report).toMatchObject({ links: 0, skipped: 1, files: 1 })
    expect(codes).toEqual(['skipped'])
  })

  test('one that lies in the target where a folder belongs is not followed', async () => {
    await mkdir(folder.path('outside'))
    await symlink(folder.path('outside'), join(target, 'dir'))
    for (const onConflict of ['fail', 'skip', 'overwrite', 'rename'] as const) {
      const { report, codes } = await extractAll([{ name: 'dir', entries: [{ name: 'file', content: 'x' }] }], {
        onConflict,
      })
      expect(report).toMatchObject({ files: 0, errors: 2 })
      expect(codes).toEqual(['NOT_A_FOLDER', 'NOT_A_FOLDER'])
    }
    expect(await readdir(folder.path('outside'))).toEqual([])
  })

  test('one that lies in the target where a file belongs is replaced, not written through', async () => {
    await writeFile(folder.path('precious'), 'precious')
    for (const size of [10, 3 * MiB]) {
      await symlink(folder.path('precious'), join(target, `${size}`))
      const entries = [{ name: `${size}`, content: Buffer.alloc(size, 'x') }]
      expect((await extractAll(entries)).codes).toEqual(['FILE_EXISTS'])
      expect((await extractAll(entries, { onConflict: 'overwrite' })).codes).toEqual([])
      expect((await lstat(join(target, `${size}`))).isFile()).toBe(true)
    }
    expect(await readFile(folder.path('precious'), 'utf8')).toBe('precious')
  })

  test('a link and a file of the same name: the link does not lead the file anywhere', async () => {
    const entries: FakeEntry[] = [
      { name: 'a', kind: 'link', target: 'dir' },
      { name: 'dir', entries: [{ name: 'f', content: 'real' }] },
      { name: 'a', entries: [{ name: 'f', content: 'other' }] },
    ]
    await extractAll(entries)
    expect(Object.values(await contents(target)).sort()).toEqual(['/', '/', 'other', 'real', '→ dir'].sort())
  })
})

describe('what the target has already', () => {
  const entries = [
    { name: 'small', content: 'new' },
    { name: 'large', content: Buffer.alloc(2 * MiB, 'n') },
    { name: 'link', kind: 'link' as const, target: 'small' },
    { name: 'dir', entries: [{ name: 'inner', content: 'new' }] },
  ]
  beforeEach(async () => {
    for (const name of ['small', 'large', 'link']) await writeFile(join(target, name), 'old')
    await mkdir(join(target, 'dir'))
    await writeFile(join(target, 'dir/other'), 'old')
  })
  const old = { small: 'old', large: 'old', link: 'old' }
  const merged = { dir: '/', 'dir/other': 'old', 'dir/inner': 'new' }

  test('stays, and is an error of its file', async () => {
    const { report, codes } = await extractAll(entries)
    expect(await contents(target)).toEqual({ ...old, ...merged })
    expect(report).toMatchObject({ files: 1, errors: 3, skipped: 0 })
    expect(codes).toEqual(['FILE_EXISTS', 'FILE_EXISTS', 'FILE_EXISTS'])
  })

  test('stays, with --on-conflict skip', async () => {
    const { report } = await extractAll(entries, { onConflict: 'skip' })
    expect(await contents(target)).toEqual({ ...old, ...merged })
    expect(report).toMatchObject({ files: 1, errors: 0, skipped: 3 })
  })

  test('is replaced, with --on-conflict overwrite', async () => {
    const { report } = await extractAll(entries, { onConflict: 'overwrite' })
    expect(await contents(target)).toEqual({ small: 'new', large: 'n'.repeat(2 * MiB), link: '→ small', ...merged })
    expect(report).toMatchObject({ files: 3, links: 1, errors: 0, skipped: 0 })
  })

  test('stays when it is what is being read, whatever --on-conflict says', async () => {
    const sources = ['small', 'large', 'link'].map(name => join(target, name))
    const { report, codes } = await extractAll(entries, { onConflict: 'overwrite', sources })
    expect(await contents(target)).toEqual({ ...old, ...merged })
    expect({ report, codes }).toMatchObject({ report: { files: 1, errors: 3 }, codes: Array(3).fill('SAME_FILE') })
  })

  test('stays beside the new one, with --on-conflict rename', async () => {
    await writeFile(join(target, 'small (2)'), 'old')
    const { report } = await extractAll(entries, { onConflict: 'rename' })
    expect(await contents(target)).toEqual({
      ...old,
      ...merged,
      'small (2)': 'old',
      'small (3)': 'new',
      'large (2)': 'n'.repeat(2 * MiB),
      'link (2)': '→ small',
    })
    expect(report).toMatchObject({ files: 3, links: 1, errors: 0 })
  })

  test('is a folder where a file belongs: it is never replaced', async () => {
    for (const onConflict of ['fail', 'overwrite'] as const) {
      const { report } = await extractAll([{ name: 'dir', content: 'file' }], { onConflict })
      expect(report).toMatchObject({ files: 0, errors: 1 })
    }
    expect(await contents(target)).toEqual({ ...old, dir: '/', 'dir/other': 'old' })
  })
})

describe('where copies go', () => {
  const entries: FakeEntry[] = [
    { name: 'a.txt', content: 'a' },
    { name: 'b.txt', content: 'b' },
    {
      name: 'dir',
      entries: [
        { name: 'c.txt', content: 'c' },
        { name: 'sub', entries: [{ name: 'd.TXT', content: 'd' }] },
      ],
    },
    { name: 'odd[1].txt', content: 'odd' },
  ]
  const copy = (paths: readonly string[], to: string, recursive = true) =>
    extractFiles(new FakeFiles(...entries), paths, folder.path(to), { recursive })

  test.each([
    ['a file into a folder', ['/a.txt'], 'target', { 'target/a.txt': 'a' }],
    ['a file to a new name', ['/a.txt'], 'target/new.txt', { 'target/new.txt': 'a' }],
    ['a folder into a folder', ['/dir/sub'], 'target', { 'target/sub': '/', 'target/sub/d.TXT': 'd' }],
    ['a folder to a new name', ['/dir/sub'], 'new', { new: '/', 'new/d.TXT': 'd' }],
    ['a file to a name with a slash, which makes a folder', ['/a.txt'], 'new/', { new: '/', 'new/a.txt': 'a' }],
    ['several into a new folder', ['/a.txt', '/dir/c.txt'], 'new', { new: '/', 'new/a.txt': 'a', 'new/c.txt': 'c' }],
    ['a glob', ['/*.txt'], 'new', { new: '/', 'new/a.txt': 'a', 'new/b.txt': 'b', 'new/odd[1].txt': 'odd' }],
    [
      'a glob, whatever the case, below directories',
      ['/dir/**/*.txt'],
      'new',
      { new: '/', 'new/c.txt': 'c', 'new/d.TXT': 'd' },
    ],
    ['a glob for directories', ['/d*/s*/*'], 'new', { new: '/', 'new/d.TXT': 'd' }],
    ['a name that looks like a glob', ['/odd[1].txt'], 'new', { new: 'odd' }],
    ['the root, to a new name', ['/'], 'new', { 'new/a.txt': 'a', 'new/dir/sub/d.TXT': 'd' }],
  ])('%s', async (_, paths, to, expected) => {
    await copy(paths, to)
    expect(await contents()).toMatchObject(expected)
  })

  test('two files of one name from two places are both copied', async () => {
    await extractFiles(
      new FakeFiles({ name: 'x', entries: [{ name: 'f', content: '1' }] }, { name: 'f', content: '2' }),
      ['/f', '/x/f'],
      target,
    )
    expect(await contents(target)).toEqual({ f: '2', 'f (2)': '1' })
  })

  test('a directory needs --recursive; one that a glob matches is passed over', async () => {
    await expect(copy(['/dir'], 'target', false)).rejects.toMatchObject({ code: 'NEEDS_RECURSIVE' })
    expect(await copy(['/*'], 'target', false)).toMatchObject({ files: 3, skipped: 1 })
  })

  test('what of several is not there is told, and the others are copied', async () => {
    expect(await copy(['/nothing', '/a.txt', '/*.nothing'], 'new')).toMatchObject({ files: 1, errors: 2 })
    expect(await contents()).toMatchObject({ new: '/', 'new/a.txt': 'a' })
  })

  test('what is not there, and what cannot be a target, is said at once', async () => {
    await expect(copy(['/nothing'], 'target')).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
    await expect(copy(['/*.nothing'], 'target')).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
    await expect(copy(['/nothing', '/*.nothing'], 'target')).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
    await expect(copy(['/a.txt'], 'no/such/folder')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await writeFile(folder.path('file'), '')
    await expect(copy(['/dir'], 'file')).rejects.toMatchObject({ code: 'TARGET_NOT_A_FOLDER' })
    await expect(copy(['/a.txt', '/b.txt'], 'file')).rejects.toMatchObject({ code: 'TARGET_NOT_A_FOLDER' })
    expect(await readdir(target)).toEqual([])
  })
})

testWith(
  ['mkfs.exfat', 'mount.exfat-fuse', 'loop', 'fuse'],
  'a target that takes only names of Windows, and no links',
  async () => {
    const [place] = await buildDisk(folder.path('stick'), {
      size: 8 * MiB,
      table: 'none',
      partitions: [{ type: '', content: [exfat()] }],
    })
    await withExfat(place!, async stick => {
      const { report, codes } = await extractAll(
        [
          { name: 'a:b?', content: 'x' },
          { name: 'One', content: 'twin', record: 40, links: 2 },
          { name: 'ONE', content: 'twin', record: 40, links: 2 },
          { name: 'large', content: pattern(2 * MiB) },
          { name: 'link', kind: 'link', target: 'large' },
        ],
        {},
        stick,
      )
      expect(await contents(stick)).toEqual({
        'a%3Ab%3F': 'x',
        One: 'twin',
        'ONE (2)': 'twin',
        large: pattern(2 * MiB).toString('latin1'),
      })
      expect({ report, codes }).toMatchObject({
        report: { files: 4, errors: 1 },
        codes: ['renamed', 'renamed', 'NO_LINKS'],
      })
    })
  },
)

describe('what is kept', () => {
  test('times of files, folders and links, and whether a file is read-only', async () => {
    await extractAll([
      {
        name: 'dir',
        entries: [
          { name: 'f', content: 'x', attributes: FileAttribute.readOnly },
          { name: 'big', content: Buffer.alloc(2 * MiB) },
          { name: 'l', kind: 'link', target: 'f' },
        ],
      },
    ])
    const time = new Date('2020-02-02T20:20:20.2Z')
    for (const name of ['dir', 'dir/f', 'dir/big', 'dir/l']) {
      const { mtime, atime } = await lstat(join(target, name))
      expect({ name, mtime }).toEqual({ name, mtime: time })
      if (name !== 'dir' && name !== 'dir/l') expect(atime).toEqual(time)
    }
    expect((await stat(join(target, 'dir/f'))).mode & 0o222).toBe(0)
    expect((await stat(join(target, 'dir/big'))).mode & 0o200).toBe(0o200)
  })

  test('times that cannot be do no harm', async () => {
    const entries = [0n, 1n, 2n ** 63n, 2n ** 64n - 1n].map((modified, i) => ({
      name: `${i}`,
      content: 'x',
      modified,
      accessed: undefined,
    }))
    expect((await extractAll(entries)).report).toMatchObject({ files: 4, errors: 0 })
  })

  test('hard links, in whatever order and folder they come', async () => {
    const twin = { content: 'twin', record: 40, links: 3 }
    const large = { content: Buffer.alloc(2 * MiB, 'l'), record: 41, links: 2 }
    const { report } = await extractAll([
      { name: 'a', ...twin },
      {
        name: 'dir',
        entries: [
          { name: 'b', ...twin },
          { name: 'c', ...twin },
          { name: 'l2', ...large },
        ],
      },
      { name: 'l1', ...large },
    ])
    expect(report).toMatchObject({ files: 2, hardLinks: 3, bytes: 4 + 2 * MiB })
    expect((await stat(join(target, 'a'))).nlink).toBe(3)
    expect((await stat(join(target, 'dir/c'))).ino).toBe((await stat(join(target, 'a'))).ino)
    expect((await stat(join(target, 'l1'))).nlink).toBe(2)
  })

  test('named streams, when they are asked for, beside their files', async () => {
    const entries: FakeEntry[] = [
      { name: 'f', content: 'x', streamContents: { 'Zone.Identifier': 'zone', '../evil': 'evil' } },
      { name: 'dir', entries: [], streamContents: { s: 'of a folder' } },
    ]
    expect((await extractAll(entries)).report).toMatchObject({ files: 1, streams: 0, streamsNotKept: 3 })
    const into = folder.path('with')
    expect((await extractAll(entries, { streams: true }, into)).report).toMatchObject({ streams: 3, streamsNotKept: 0 })
    expect(await contents(into)).toEqual({
      f: 'x',
      'f:Zone.Identifier': 'zone',
      'f:..%2Fevil': 'evil',
      dir: '/',
      'dir:s': 'of a folder',
    })
  })

  test('a stream by itself', async () => {
    const files = new FakeFiles({ name: 'f', content: 'x', streamContents: { s: 'stream' } })
    expect(await extractFiles(files, ['/f:s'], target)).toMatchObject({ files: 0, streams: 1 })
    expect(await contents(target)).toEqual({ 'f:s': 'stream' })
  })

  test('holes', async () => {
    class Holes extends MemoryDevice {
      protected override async *dataRangesWithin(): AsyncIterable<Range> {
        yield { offset: 8 * MiB, length: 9 * MiB }
      }
    }
    const content = new Holes(Buffer.concat([Buffer.alloc(8 * MiB), pattern(9 * MiB, 1), Buffer.alloc(8 * MiB)]))
    await extractAll([{ name: 'sparse', content }])
    const { size, blocks } = await stat(join(target, 'sparse'))
    expect(size).toBe(25 * MiB)
    expect(blocks * 512).toBeLessThan(10 * MiB)
    expect((await readFile(join(target, 'sparse'))).equals(content.content)).toBe(true)
  })

  test('many files, small and large, all whole', async () => {
    const entries = Array.from({ length: 700 }, (_, i) => ({
      name: `${i}`,
      content: pattern(i % 97 === 0 ? 5 * MiB + i : (i * 977) % 30_000, i),
      position: (i * 7919) % 700,
    }))
    const done: number[] = []
    const { report } = await extractAll(entries, { onProgress: progress => void done.push(progress.done) })
    const bytes = entries.reduce((sum, { content }) => sum + content.length, 0)
    expect(report).toMatchObject({ files: 700, bytes, errors: 0 })
    expect(done.at(-1)).toBe(bytes)
    for (const { name, content } of entries) expect((await readFile(join(target, name))).equals(content)).toBe(true)
  })
})

describe('what goes wrong', () => {
  const damaged = new FormatError('DAMAGED', 'the record is damaged')

  test('with one file is told by its name, and the rest goes on', async () => {
    const unreadable = [{ offset: 3 * MiB, length: 512 }]
    const { report, events } = await extractAll([
      { name: 'listed', error: damaged },
      { name: 'dir', error: damaged, entries: [{ name: 'in it', content: 'x' }] },
      { name: 'opens not', content: new UnsupportedError('ENCRYPTED', 'it is encrypted') },
      {
        name: 'small',
        content: new FaultyDevice(new MemoryDevice(5000), { unreadable: [{ offset: 0, length: 512 }] }),
      },
      { name: 'large', content: new FaultyDevice(new MemoryDevice(6 * MiB), { unreadable }) },
      { name: 'other', kind: 'other' },
      { name: 'good', content: 'x' },
    ])
    expect(
      Object.fromEntries(events.map(event => [event.path, event.type === 'error' ? event.error.code : event.type])),
    ).toEqual({
      '/listed': 'DAMAGED',
      '/dir': 'DAMAGED',
      '/opens not': 'ENCRYPTED',
      '/small': 'READ_ERROR',
      '/large': 'READ_ERROR',
      '/other': 'skipped',
    })
    expect(await contents(target)).toEqual({ dir: '/', 'dir/in it': 'x', good: 'x' })
    expect(report).toMatchObject({ files: 2, errors: 5, skipped: 1 })
  })

  test('a file that is not as large as its entry says is copied as it is', async () => {
    await extractAll([
      { name: 'f', content: 'content', size: 3 },
      { name: 'g', content: Buffer.alloc(10), size: 5 * MiB },
    ])
    expect(await contents(target)).toEqual({ f: 'content', g: '\0'.repeat(10) })
  })

  test('a disk that is gone ends it', async () => {
    const content = new FaultyDevice(new MemoryDevice(5000), { requests: 0 })
    await expect(extractAll([{ name: 'f', content }])).rejects.toMatchObject({ code: 'DEVICE_GONE' })
    expect(await readdir(target)).toEqual([])
  })

  test('stopping leaves no half-written file', async () => {
    const controller = new AbortController()
    const stopped = new Error('stopped')
    class Slow extends BlockDevice {
      readonly size = 64 * MiB
      protected override async readBytes(offset: number): Promise<void> {
        if (offset >= 16 * MiB) controller.abort(stopped)
      }
      protected override async writeBytes(): Promise<void> {}
      override async close(): Promise<void> {}
    }
    const entries = [
      { name: 'before', content: 'x' },
      { name: 'large', content: new Slow() },
    ]
    await expect(extractAll(entries, { signal: controller.signal })).rejects.toBe(stopped)
    expect(await contents(target)).toEqual({ before: 'x' })
  })

  test('no room for it all is said before anything is written', async () => {
    const content = new MemoryDevice(10)
    await expect(extractAll([{ name: 'f', content, size: 2 ** 60 }])).rejects.toMatchObject({ code: 'NO_SPACE' })
    expect(await readdir(target)).toEqual([])
  })

  testWith(['root'], 'a target that is full ends it and keeps no part of a file', async () => {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', target])
    try {
      const sparse = { attributes: FileAttribute.sparse, allocatedSize: 0 }
      const entries = [{ name: 'f', content: pattern(6 * MiB, 1), ...sparse }]
      await expect(extractAll(entries)).rejects.toMatchObject({ code: 'NO_SPACE' })
      const small = Array.from({ length: 9 }, (_, i) => ({ name: `${i}`, content: pattern(600_000, i), ...sparse }))
      await expect(extractAll(small)).rejects.toMatchObject({ code: 'NO_SPACE' })
      for (const content of Object.values(await contents(target))) expect(content.length).toBe(600_000)
    } finally {
      await run('umount', [target])
    }
  })

  testWith(['root'], 'a target that is read-only is said at once', async () => {
    await run('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', target])
    try {
      await expect(extractAll([{ name: 'f', content: 'x' }])).rejects.toMatchObject({ code: 'READ_ONLY_MEDIUM' })
    } finally {
      await run('umount', [target])
    }
  })
})
