/** Archives, as other people's programs read them. */
import { lstat, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FormatError } from '../../lib/errors.ts'
import { type ArchiveOptions, archiveFiles, archiveToFile } from '../../lib/extract/archive-files.ts'
import type { ExtractEvent } from '../../lib/extract/extract-report.ts'
import { TarArchive } from '../../lib/extract/tar-archive.ts'
import { FileAttribute } from '../../lib/volume/entry.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run } from '../helpers/run.ts'
import { testWith } from '../helpers/tools.ts'
import { type FakeEntry, FakeFiles } from './fake-files.ts'

let folder: Scratch
beforeEach(async () => {
  folder = await scratch()
})
afterEach(() => folder[Symbol.asyncDispose]())

const long = 'n'.repeat(120)
const entries: FakeEntry[] = [
  { name: 'empty', content: '' },
  { name: 'Größe und 大小 😀.txt', content: 'unicode' },
  { name: long, entries: [{ name: `${long}.bin`, content: pattern(70_000, 1) }] },
  { name: 'large.bin', content: pattern(5 * MiB + 7, 2), attributes: FileAttribute.readOnly },
  {
    name: 'dir',
    entries: [
      { name: 'link', kind: 'link', target: '..\\empty' },
      { name: 'out', kind: 'link', target: '/etc' },
    ],
  },
  { name: 'empty dir', entries: [] },
  { name: 'one', content: 'twin', record: 50, links: 2 },
  { name: 'two', content: 'twin', record: 50, links: 2 },
  { name: '..', content: 'up' },
  { name: 'a\\..\\b', content: 'separators' },
  { name: 'damaged', error: new FormatError('DAMAGED', 'it is damaged') },
]
const safe: Record<string, Buffer | string> = {
  empty: '',
  'Größe und 大小 😀.txt': 'unicode',
  [`${long}/${long}.bin`]: pattern(70_000, 1),
  'large.bin': pattern(5 * MiB + 7, 2),
  one: 'twin',
  two: 'twin',
  '%2E%2E': 'up',
  'a%5C..%5Cb': 'separators',
}

async function write(path: string, options: ArchiveOptions, from = entries) {
  const events: ExtractEvent[] = []
  const onEvent = (event: ExtractEvent) => void events.push(event)
  const report = await archiveToFile(new FakeFiles(...from), ['/'], path, { recursive: true, onEvent, ...options })
  return { report, events }
}

async function expectFiles(within: string): Promise<void> {
  for (const [name, content] of Object.entries(safe)) {
    expect((await readFile(join(within, name))).equals(Buffer.from(content as Buffer)), name).toBe(true)
  }
  expect(await readlink(join(within, 'dir/link'))).toBe('../empty')
  expect((await readdir(within)).sort()).toEqual(
    [...Object.keys(safe).filter(name => !name.includes('/')), long, 'dir', 'empty dir'].sort(),
  )
  expect(await readdir(join(within, 'dir'))).toEqual(['link'])
}

describe('tar', () => {
  testWith(['tar'], 'is what GNU tar makes of it', async () => {
    const { report } = await write(folder.path('a.tar'), { format: 'tar' })
    expect(report).toMatchObject({
      files: 7,
      hardLinks: 1,
      links: 1,
      directories: 4,
      skipped: 1,
      errors: 1,
      renamed: 2,
    })
    await mkdir(folder.path('out'))
    const { stderr } = await run('tar', ['-x', '-p', '-f', folder.path('a.tar'), '-C', folder.path('out')])
    expect(stderr).toBe('')
    await expectFiles(folder.path('out'))
    const stats = async (name: string) => lstat(join(folder.path('out'), name))
    for (const name of [...Object.keys(safe), 'dir', 'empty dir', long]) {
      expect((await stats(name)).mtime, name).toEqual(new Date('2020-02-02T20:20:20.2Z'))
    }
    expect((await stats('one')).ino).toBe((await stats('two')).ino)
    expect((await stats('large.bin')).mode & 0o222).toBe(0)
  })

  testWith(['7zz'], 'is what 7-Zip makes of it', async () => {
    await write(folder.path('a.tar'), { format: 'tar' })
    const { stdout } = await run('7zz', ['t', folder.path('a.tar')])
    expect(stdout).toContain('Everything is Ok')
  })

  test('has the true size of a file above 8 GiB', async () => {
    const chunks: Buffer[] = []
    const stop = new Error('seen enough')
    const archive = new TarArchive({ write: async bytes => void chunks.push(bytes) })
    const none = (async function* () {
      yield Buffer.alloc(512)
      throw stop
    })()
    const member = { path: 'huge', modified: -5, accessed: undefined, readOnly: false }
    await expect(archive.file(member, 9 * 1024 ** 3, none)).rejects.toBe(stop)
    expect(Buffer.concat(chunks).toString('latin1')).toContain(' size=9663676416\n')
  })
})

describe('zip', () => {
  testWith(['unzip', '7zz'], 'is what unzip makes of it, and 7-Zip agrees', async () => {
    const { report } = await write(folder.path('a.zip'), { format: 'zip' })
    expect(report).toMatchObject({
      files: 8,
      hardLinks: 0,
      links: 1,
      directories: 4,
      skipped: 1,
      errors: 1,
      renamed: 2,
    })
    await run('unzip', ['-q', folder.path('a.zip'), '-d', folder.path('out')])
    expect((await run('7zz', ['t', folder.path('a.zip')])).stdout).toContain('Everything is Ok')
    await expectFiles(folder.path('out'))
  })

  testWith(
    ['unzip', '7zz'],
    'takes a file above 4 GiB, and another behind it',
    async () => {
      class Zeros extends MemoryDevice {
        override get size(): number {
          return 4 * 1024 * MiB + 5
        }
        protected override async readBytes(_: number, target: Buffer): Promise<void> {
          target.fill(0)
        }
      }
      const from = [
        { name: 'huge', content: new Zeros(0) },
        { name: 'behind', content: 'it' },
      ]
      await write(folder.path('a.zip'), { format: 'zip' }, from)
      const listed = await run('unzip', ['-lq', folder.path('a.zip')])
      expect(listed.stdout).toMatch(/4294967301 .* huge\n +2 .* behind\n/)
      expect((await run('unzip', ['-p', folder.path('a.zip'), 'behind'])).stdout).toBe('it')
      expect((await run('7zz', ['l', '-slt', folder.path('a.zip')])).stdout).toContain('Size = 4294967301')
    },
    120_000,
  )

  test('is smaller than what is in it', async () => {
    await write(folder.path('a.zip'), { format: 'zip' }, [{ name: 'zeros', content: Buffer.alloc(3 * MiB) }])
    expect((await lstat(folder.path('a.zip'))).size).toBeLessThan(20_000)
  })
})

describe.each(['tar', 'zip'] as const)('%s', format => {
  test('a path without anything in it is an archive all the same', async () => {
    const { report } = await write(folder.path('a'), { format }, [])
    expect(report).toMatchObject({ files: 0, errors: 0 })
    expect((await readFile(folder.path('a'))).length).toBeGreaterThan(20)
  })

  test('streams are in it when they are asked for', async () => {
    const from = [{ name: 'f', content: 'x', streamContents: { s: 'y' } }]
    expect((await write(folder.path('a'), { format }, from)).report).toMatchObject({ streams: 0, streamsNotKept: 1 })
    expect((await write(folder.path('b'), { format, streams: true }, from)).report).toMatchObject({ streams: 1 })
    expect((await readFile(folder.path('b'), 'latin1')).includes(format === 'tar' ? 'f:s' : 'f%3As')).toBe(true)
  })

  test('a file that is unreadable half-way makes it an error, and leaves nothing', async () => {
    const content = new FaultyDevice(new MemoryDevice(4 * MiB), { unreadable: [{ offset: 3 * MiB, length: 512 }] })
    await expect(write(folder.path('a'), { format }, [{ name: 'f', content }])).rejects.toMatchObject({
      code: 'ARCHIVE_BROKEN',
    })
    expect(await readdir(folder.path('.'))).toEqual([])
  })

  test('one that is packed in the image is read before, and only its own error', async () => {
    const content = new FaultyDevice(new MemoryDevice(4 * MiB), { unreadable: [{ offset: 3 * MiB, length: 512 }] })
    const from = [
      { name: 'f', content, attributes: FileAttribute.compressed },
      { name: 'g', content: 'good' },
    ]
    const { report, events } = await write(folder.path('a'), { format }, from)
    expect(report).toMatchObject({ files: 1, errors: 1 })
    expect(events).toMatchObject([{ type: 'error', path: '/f' }])
  })

  test('a sink that fails ends it with its own error', async () => {
    const full = new Error('full')
    const sink = { write: async () => Promise.reject(full) }
    await expect(archiveFiles(new FakeFiles(...entries), ['/'], sink, { format, recursive: true })).rejects.toBe(full)
  })

  test('stopping ends it, and leaves nothing', async () => {
    const controller = new AbortController()
    const stopped = new Error('stopped')
    const onProgress = ({ done }: { done: number }) => void (done > 0 && controller.abort(stopped))
    await expect(write(folder.path('a'), { format, signal: controller.signal, onProgress })).rejects.toBe(stopped)
    expect(await readdir(folder.path('.'))).toEqual([])
  })

  test('never replaces a file unless it is told to', async () => {
    await writeFile(folder.path('a'), 'precious')
    await expect(write(folder.path('a'), { format })).rejects.toMatchObject({ code: 'TARGET_EXISTS' })
    expect(await readFile(folder.path('a'), 'utf8')).toBe('precious')
    const options = { format, recursive: true, onConflict: 'overwrite' } as const
    await archiveToFile(new FakeFiles(...entries), ['/'], folder.path('a'), options)
    expect((await lstat(folder.path('a'))).size).toBeGreaterThan(1000)
  })

  test('never replaces what is being read', async () => {
    for (const name of ['a', 'a.partial']) {
      await writeFile(folder.path(name), 'precious')
      const options = { format, onConflict: 'overwrite', sources: [folder.path(name)] } as const
      await expect(archiveToFile(new FakeFiles(...entries), ['/'], folder.path('a'), options)).rejects.toMatchObject({
        code: 'SAME_FILE',
      })
      expect(await readFile(folder.path(name), 'utf8')).toBe('precious')
    }
  })

  test('a reader that is slow is waited for', async () => {
    let [waiting, most] = [0, 0]
    const sink = {
      async write(bytes: Buffer) {
        waiting += bytes.length
        most = Math.max(most, waiting)
        await new Promise(resolve => setTimeout(resolve, 1))
        waiting -= bytes.length
      },
    }
    await archiveFiles(new FakeFiles({ name: 'f', content: pattern(30 * MiB, 3) }), ['/f'], sink, { format })
    expect(most).toBeLessThan(2 * MiB)
  })
})
