/** What a capture left out or could not read is never given as zeros: not through a child of the image, and not with a bad manifest. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { captureDisk } from '../../lib/copy/capture.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { type OpenedFiles, openFiles } from '../../lib/extract/open-files.ts'
import { PARTIALLY_PRESENT } from '../../lib/vhdx/format.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { buildDisk, diskTools, fillNtfs, ntfs } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith } from '../helpers/tools.ts'
import { layerBytes, locatorOf, makeLayer } from '../vhdx/differencing-image.ts'

const MiB = 1024 ** 2
const SIZE = 24 * MiB
const PAGE_FILE = 64 * 4096

const contents = {
  'pagefile.sys': pattern(PAGE_FILE, 1),
  'gone/a.tmp': pattern(50_000, 2),
  'gone/b.tmp': pattern(5000, 3),
  'kept.bin': pattern(200_000, 4),
  'late.bin': Buffer.concat([Buffer.alloc(150_000), pattern(4096, 5)]),
  'zeros.bin': Buffer.alloc(20_000),
  'small.txt': Buffer.alloc(60),
}
const LEFT_OUT = ['/gone/a.tmp', '/gone/b.tmp', '/pagefile.sys']
const LEFT_OUT_CODES = Object.fromEntries(LEFT_OUT.map(path => [path, 'LEFT_OUT']))

describeWith(diskTools, 'what is not in an image', () => {
  let folder: Scratch
  let image = ''
  let images = 0

  beforeAll(async () => {
    folder = await scratch()
    const fill = async (mountPoint: string) => {
      await mkdir(join(mountPoint, 'gone'))
      for (const [name, content] of Object.entries(contents)) await writeFile(join(mountPoint, name), content)
    }
    const source = folder.path('disk.raw')
    image = folder.path('base.vhdx')
    await buildDisk(source, {
      size: SIZE,
      table: 'gpt',
      partitions: [{ type: '0700', content: [ntfs(), fillNtfs(fill)] }],
    })
    const tool = { name: 'test', version: '1' }
    await captureDisk({ source, target: image, tool, exclude: ['/gone/*'], blockSize: MiB })
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  /** Codes of the errors of all files that cannot be read; the content of all others is as it was written. */
  async function refused(path: string, expected: Readonly<Record<string, Buffer>> = {}) {
    await using opened = await openFiles(path)
    const codes: Record<string, string> = {}
    for await (const entry of allFiles(opened)) {
      try {
        const content = await contentAt(opened, entry.path)
        expect(content.equals(wanted(entry.path, expected)), entry.path).toBe(true)
      } catch (error) {
        if (!(error instanceof DiskImageError)) throw error
        codes[entry.path] = error.code
      }
    }
    return codes
  }
  async function* allFiles({ files }: OpenedFiles) {
    for await (const batch of files.scan()) yield* batch.filter(({ kind }) => kind === 'file')
  }
  const wanted = (path: string, expected: Readonly<Record<string, Buffer>>) =>
    expected[path] ?? contents[path.slice(1) as keyof typeof contents]

  async function contentAt({ files }: OpenedFiles, path: string): Promise<Buffer> {
    const content = await files.open(await files.stat(path))
    const bytes = Buffer.alloc(content.size)
    await content.read(0, bytes)
    return bytes
  }

  /** Where the content of a file lies on the disk, in whole clusters. */
  async function placesOf(path: string): Promise<Range[]> {
    await using opened = await openFiles(image)
    const { files, partition } = opened
    const { attributes } = await files.details(await files.stat(path))
    const { runs } = attributes.find(({ type, name }) => type === '$DATA' && name === '')!
    return runs.map(({ content: { length }, position }) => ({ offset: partition.offset + position!, length }))
  }

  /** A child of the image at `parent` that has written these bytes of the disk. */
  async function childOf(parent: string, written: readonly Range[] = []): Promise<string> {
    const path = folder.path(`child ${images++}.vhdx`)
    await using base = await FileDevice.open(parent)
    const { virtualSize } = (await readVhdxIdentity(base)).metadata
    const blocks = new Map<number, { state: number; written: Range[] }>()
    for (const { offset, length } of written) {
      for (let at = offset; at < offset + length; ) {
        const end = Math.min(offset + length, (Math.floor(at / MiB) + 1) * MiB)
        const known = blocks.get(Math.floor(at / MiB))?.written ?? []
        blocks.set(Math.floor(at / MiB), {
          state: PARTIALLY_PRESENT,
          written: [...known, { offset: at, length: end - at }],
        })
        at = end
      }
    }
    await using file = await FileDevice.open(path, { mode: 'create' })
    const locator = await locatorOf(base, { relative_path: `.\\${parent.slice(parent.lastIndexOf('/') + 1)}` })
    await makeLayer(file, { virtualSize, blockSize: MiB, blocks, locator })
    return path
  }

  /** The image with other bytes in its manifest, of which there are as many. */
  async function withManifest(change: (json: string) => string): Promise<string> {
    const path = folder.path(`changed ${images++}.vhdx`)
    await copyFile(image, path)
    const bytes = await readFile(path)
    const start = bytes.indexOf('{"format":"vhdx-capture"')
    const json = bytes.toString('utf8', start, bytes.indexOf('\0', start))
    const changed = change(json)
    expect(changed).not.toBe(json)
    bytes.write(changed.padEnd(json.length), start)
    await writeFile(path, bytes)
    return path
  }

  test('is refused by name', async () => {
    expect(await refused(image)).toEqual(LEFT_OUT_CODES)
  })

  test('is refused through a child, and a child of that, as the lists say', async () => {
    const child = await childOf(image)
    for (const path of [child, await childOf(child)]) {
      expect(await refused(path)).toEqual(LEFT_OUT_CODES)
      await using opened = await openFiles(path)
      expect((await opened.files.stat('/pagefile.sys')).error?.code).toBe('LEFT_OUT')
    }
  })

  test('is read where a child has written it since', async () => {
    const child = await childOf(await childOf(image, await placesOf('/gone/a.tmp')), await placesOf('/gone/b.tmp'))
    const [[a], [b]] = [await placesOf('/gone/a.tmp'), await placesOf('/gone/b.tmp')]
    const expected = {
      '/gone/a.tmp': layerBytes({}, a!).subarray(0, 50_000),
      '/gone/b.tmp': layerBytes({}, b!).subarray(0, 5000),
    }
    expect(await refused(child, expected)).toEqual({ '/pagefile.sys': 'LEFT_OUT' })
  })

  test('is an error where a child has written only some of it', async () => {
    const [place] = await placesOf('/pagefile.sys')
    const child = await childOf(image, [{ offset: place!.offset, length: 4096 }])
    expect(await refused(child)).toEqual(LEFT_OUT_CODES)
    await using opened = await openFiles(child)
    const content = await opened.files.open(await opened.files.stat('/pagefile.sys'))
    const bytes = Buffer.alloc(4096)
    await content.read(0, bytes)
    expect(bytes).toEqual(layerBytes({}, { offset: place!.offset, length: 4096 }))
    await expect(content.read(8192, bytes)).rejects.toMatchObject({
      code: 'LEFT_OUT',
      message: expect.stringMatching(/content of \\pagefile\.sys, which was left out when .*base\.vhdx was captured/),
    })
  })

  test('is in doubt where its name is not found in the parent: the others are known', async () => {
    const parent = await withManifest(json => json.replace('\\\\gone\\\\a.tmp', '\\\\gone\\\\x.tmp'))
    const codes = { ...LEFT_OUT_CODES, '/gone/a.tmp': 'LEFT_OUT_UNKNOWN', '/zeros.bin': 'LEFT_OUT_UNKNOWN' }
    expect(await refused(await childOf(parent))).toEqual(codes)
  })

  const zeros = { '/zeros.bin': 'LEFT_OUT_UNKNOWN' }
  const unknown = Object.fromEntries([...LEFT_OUT, '/zeros.bin'].map(path => [path, 'LEFT_OUT_UNKNOWN']))

  test.each([
    ['is no JSON', (json: string) => json.replace('{', '?'), unknown, 'BAD_MANIFEST'],
    ['is JSON, but null', () => 'null', unknown, 'BAD_MANIFEST'],
    ['is of a later version', (json: string) => json.replace('sion":1', 'sion":2'), LEFT_OUT_CODES, 'BAD_MANIFEST'],
    [
      'lists a file that it does not name',
      (json: string) => json.replace('"path":"\\\\gone\\\\a', '"pith":"\\\\gone\\\\a'),
      { ...LEFT_OUT_CODES, '/gone/a.tmp': 'LEFT_OUT_UNKNOWN' },
      'BAD_MANIFEST',
    ],
    [
      'has room for some files only',
      (json: string) => json.replace('OutCount":3', 'OutCount":4'),
      LEFT_OUT_CODES,
      'LEFT_OUT_UNNAMED',
    ],
  ] as const)('is refused, with all that reads as zeros, where the manifest %s', async (_, change, codes, finding) => {
    const path = await withManifest(change)
    for (const opened of [path, await childOf(path)]) expect(await refused(opened)).toEqual({ ...codes, ...zeros })
    await using opened = await openFiles(path)
    expect(opened.findings).toMatchObject([{ code: finding }])
    await expect(contentAt(opened, '/zeros.bin')).rejects.toThrow(/it reads as zeros, and whether .* cannot be told: /)
  })

  test('is an error where sectors could not be read, through a child and with a manifest of a later version', async () => {
    const [place] = await placesOf('/kept.bin')
    const ranges = [{ offset: place!.offset + 8192, length: 512 }]
    const path = await withManifest(json => {
      const manifest = JSON.parse(json)
      const readErrors = { bytes: 512, ranges, truncated: false }
      return JSON.stringify({ ...manifest, formatVersion: 2, hashes: null, findings: null, readErrors })
    })
    const codes = { ...LEFT_OUT_CODES, ...zeros, '/kept.bin': 'READ_ERROR' }
    expect(await refused(path)).toEqual(codes)
    expect(await refused(await childOf(path))).toEqual(codes)
  })
})
