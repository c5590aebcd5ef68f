/** The files of FAT volumes: as other tools see them, and as hostile hands leave them. */
import { mkdir, readdir, truncate, utimes, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import type { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { AllocationTable } from '../../lib/fat/allocation-table.ts'
import { type FatBootSector, readBootSector } from '../../lib/fat/boot-sector.ts'
import { FatFiles } from '../../lib/fat/fat-files.ts'
import { FatVolume } from '../../lib/fat/fat-volume.ts'
import { ClusterLinks } from '../../lib/volume/cluster-links.ts'
import type { Entry } from '../../lib/volume/entry.ts'
import type { Files } from '../../lib/volume/files.ts'
import { collect } from '../helpers/collect.ts'
import { type CorpusImage, corpusImages } from '../helpers/corpus.ts'
import { hashTree, putBytes } from '../helpers/disks.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { hashContent, hashFiles, listed, readFile, scanned } from '../helpers/file-tree.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { expectedTree, fls } from '../helpers/sleuthkit.ts'
import { describeWith, run } from '../helpers/tools.ts'
import { checksumOf, END, entries, longParts, type MadeFat, makeFat } from './make-fat.ts'

const MiB = 2 ** 20
const FILETIME_OF_1970 = 11_644_473_600n
const DIRECTORY = 0x10

const openFiles = async (made: MadeFat) => (await FatVolume.open(made.disk)).openFiles()
const seconds = (time: bigint | undefined) => (time === undefined ? 0 : Number(time / 10_000_000n - FILETIME_OF_1970))
const codes = (files: Files) => files.findings.map(({ code }) => code)

/** What holds in every volume: scan and lists agree, and every path leads to its entry. */
async function checkPaths(files: Files): Promise<Map<string, Entry>> {
  const found = await scanned(files)
  expect(await listed(files)).toEqual(found)
  for (const [path, entry] of [...found].slice(0, 200)) expect(await files.stat(path)).toEqual(entry)
  return found
}

/** The sleuthkit reads on behind the entry that ends a directory, and there finds a directory that Windows does not. */
const BEHIND_THE_END = /^test_dir\/n40\/4\/T1/

const filesOn = (device: BlockDevice, boot: FatBootSector) =>
  new FatFiles(device, boot, new ClusterLinks(new AllocationTable(device, boot.layout)))

describeWith(['corpus', 'tar', 'xz', 'fls'], 'by Windows and others', () => {
  const isFat = (image: CorpusImage) => image.expected().partitions[0]!.fs!.startsWith('FAT')
  test.each(corpusImages('fat-exfat-refs').filter(isFat))('$name', async image => {
    const path = await image.unpack()
    await using device = await FileDevice.open(path)
    const files = await (await FatVolume.open(device)).openFiles()
    const tree = Object.entries(expectedTree(image.expected().partitions[0]!))
    expect(await hashFiles(files)).toEqual(Object.fromEntries(tree.filter(([name]) => !BEHIND_THE_END.test(name))))
    const known = await fls(path)
    for (const [name, entry] of await checkPaths(files)) {
      const { modified, created, accessed } = known.get(name.slice(1))!
      expect(seconds(entry.modified)).toBe(modified)
      expect(Math.floor(seconds(entry.created) / 2) * 2).toBe(created)
      expect(seconds(entry.accessed)).toBe(accessed)
    }
    expect(files.findings).toEqual([])
  })
})

/** A volume made by mkfs.fat in `volume`, filled by mtools with what is in `source`, in pieces between what was deleted. */
async function makeVolume(folder: Scratch, size: number, clusterSize: number, args: readonly string[]) {
  const [path, source] = [folder.path('volume'), folder.path('source')]
  await writeFile(path, '', { flag: 'wx' })
  await truncate(path, size)
  await run('mkfs.fat', [...args, path])
  await mkdir(`${source}/a/b/Größe und 大小/c`, { recursive: true })
  const add = (name: string, bytes: number) => writeFile(`${source}/${name}`, pattern(bytes, name.length))
  await add('a/b/Größe und 大小/c/ein ausführlicher Name.txt', 3 * clusterSize)
  for (const name of ['README.TXT', 'readme.md', 'Mixed.Txt', 'noext', '.hidden', 'two.dots.txt', 'Ω≈ç√'])
    await add(name, 100)
  for (const i of [1, 2, 3, 11, 12, 13]) await add(`a/a long name that is cut off ${i}.document`, i)
  for (const [i, bytes] of [0, 1, clusterSize - 1, clusterSize, clusterSize + 1].entries())
    await add(`a/size ${i}`, bytes)
  await add('n'.repeat(255), 7)
  const mtools = { env: { MTOOLS_SKIP_CHECK: '1', LC_ALL: 'C.UTF-8', TZ: 'UTC' } }
  const copy = (...names: readonly string[]) =>
    run('mcopy', ['-i', path, '-s', '-m', ...names.map(name => `${source}/${name}`), '::'], mtools)
  await mkdir(folder.path('gaps'))
  const gaps = Array.from({ length: 24 }, (_, i) => folder.path(`gaps/gap ${i}`))
  for (const gap of gaps) await writeFile(gap, Buffer.alloc(clusterSize, 'deleted'))
  await run('mcopy', ['-i', path, ...gaps, '::'], mtools)
  await run('mdel', ['-i', path, ...gaps.map((_, i) => `::gap ${i}`).filter((_, i) => i % 2 === 0)], mtools)
  // On FAT32 mtools goes on behind what it wrote last, unless FSInfo does not say where that was.
  if (args.includes('32'))
    await putBytes(512 + 492, Buffer.alloc(4, 0xff))({ path, offset: 0, length: size, sectorSize: 512 })
  await add('in pieces', 20 * clusterSize + 5)
  await utimes(`${source}/in pieces`, 1_000_000_000, 1_234_567_890)
  await copy('in pieces')
  await run('mdel', ['-i', path, ...gaps.map((_, i) => `::gap ${i}`).filter((_, i) => i % 2 === 1)], mtools)
  await copy(...(await readdir(source)).filter(name => name !== 'in pieces'))
  return { path, source }
}

describeWith(['mkfs.fat', 'mcopy', 'mdel', 'fls', 'istat', '7zz'], 'made by mkfs.fat, filled by mtools', () => {
  test.each<[string, number, number, readonly string[]]>([
    ['a floppy', 1440 * 1024, 512, ['-F', '12']],
    ['FAT12, one copy', 8 * MiB, 4096, ['-F', '12', '-s', '8', '-f', '1']],
    ['FAT16', 32 * MiB, 2048, ['-F', '16', '-s', '4']],
    ['FAT16, clusters of 32 KiB', 200 * MiB, 32_768, ['-F', '16', '-s', '64']],
    ['FAT32', 40 * MiB, 512, ['-F', '32', '-s', '1']],
    ['FAT32, clusters of 8 KiB', 600 * MiB, 8192, ['-F', '32', '-s', '16']],
    ['sectors of 4096 bytes', 64 * MiB, 4096, ['-F', '16', '-S', '4096', '-s', '1']],
  ])('%s', async (_, size, clusterSize, args) => {
    await using folder = await scratch()
    const { path, source } = await makeVolume(folder, size, clusterSize, args)
    await using device = await FileDevice.open(path)
    const files = await (await FatVolume.open(device)).openFiles()
    const tree = await hashTree(source)
    expect(await hashFiles(files)).toEqual(tree)
    const found = await checkPaths(files)
    expect(files.findings).toEqual([])

    for (const [name, { modified, isDirectory, size }] of await fls(path)) {
      if (name.startsWith('nnn')) continue // The sleuthkit cuts it off.
      const entry = found.get(`/${name}`)!
      expect([entry.kind === 'directory', seconds(entry.modified)], name).toEqual([isDirectory, modified])
      if (!isDirectory) expect(entry.size).toBe(size)
    }
    expect(seconds(found.get('/in pieces')!.modified)).toBe(1_234_567_890)

    const details = await files.details(found.get('/in pieces')!)
    const [content] = details.attributes
    expect(content!.runs.length).toBeGreaterThan(5)
    expect(content!.allocatedSize).toBe(21 * clusterSize)
    expect(content!.runs.reduce((sum, run) => sum + run.content.length, 0)).toBe(21 * clusterSize)
    const { stdout } = await run('7zz', ['l', '-slt', path], { env: { LC_ALL: 'C.UTF-8' } })
    const short = /^Path = in pieces\n(?:.*\n)*?Short Name = (.*)\n/m.exec(stdout)![1]!
    expect(await files.stat(`/${short.toLowerCase()}`)).toEqual(found.get('/in pieces'))
    expect(details.names).toEqual([
      { name: 'in pieces', namespace: 'long', parent: undefined },
      { name: short, namespace: 'short', parent: undefined },
    ])
  })
})

/** The root of FAT12 and FAT16 is full after 512 entries; that of FAT32 here is a cluster of 32. */
const writeRoot = (made: MadeFat, ...items: readonly Buffer[]) => {
  const bytes = Buffer.concat(items)
  made.disk.content.fill(0, made.rootOffset, made.rootOffset + made.clusterSize)
  bytes.copy(made.disk.content, made.rootOffset)
}

/** A volume with a file in clusters 10, 12 and 11, in this order, and a folder in cluster 3, which is empty. */
function makeChain(width: 12 | 16 | 32, size = 2500) {
  const made = makeFat(width)
  const content = pattern(3 * made.clusterSize, 5)
  for (const [i, cluster] of [10, 12, 11].entries()) {
    content.copy(made.disk.content, made.clusterOffset(cluster), i * made.clusterSize, (i + 1) * made.clusterSize)
    made.set(cluster, [12, 11, END[width]][i]!)
  }
  writeRoot(
    made,
    entries({ short: 'FILE    BIN', cluster: 10, size }),
    entries({ short: 'SUB        ', attributes: DIRECTORY, cluster: 3 }),
  )
  return { made, content: content.subarray(0, size) }
}

describeWith(['7zz'], 'names', () => {
  const NAMES: readonly [string, Buffer][] = [
    ['😀 surrogates 𐐷.txt', entries({ short: 'SURROG~1TXT', long: '😀 surrogates 𐐷.txt' })],
    ['n'.repeat(255), entries({ short: 'NNNNNN~1   ', long: 'n'.repeat(255) })],
    ['thirteen unit', entries({ short: 'THIRTE~1   ', long: 'thirteen unit' })],
    ['READ.ME', entries({ short: 'READ    ME ' })],
    ['small.txt', entries({ short: 'SMALL   TXT', caseFlags: 0x18 })],
    ['BIG.txt', entries({ short: 'BIG     TXT', caseFlags: 0x10 })],
    ['little.DOC', entries({ short: 'LITTLE  DOC', caseFlags: 0x08 })],
    ['σ5', entries({ short: '\x055         ' })],
    ['ÄÖÜ', entries({ short: '\x8e\x99\x9a        ' })],
  ]

  test.each([12, 16] as const)('FAT%i: as 7-Zip reads them', async width => {
    await using folder = await scratch()
    const made = makeFat(width)
    for (const pair of [0, 1, 2]) {
      writeRoot(made, ...NAMES.slice(pair * 3, pair * 3 + 3).map(([, bytes]) => bytes))
      const files = await openFiles(made)
      const expected = NAMES.slice(pair * 3, pair * 3 + 3).map(([name]) => name)
      expect([...(await checkPaths(files)).values()].map(({ name }) => name)).toEqual(expected)
      const path = folder.path(`${pair}.img`)
      await writeFile(path, made.disk.content)
      const { stdout } = await run('7zz', ['l', '-ba', '-slt', path], { env: { LC_ALL: 'C.UTF-8' } })
      const seen = [...stdout.matchAll(/^Path = (.*)$/gm)].map(([, name]) => name)
      // 7-Zip takes 0x05 for what it is, and bytes above ASCII for another code page.
      if (pair < 2) expect(seen).toEqual(expected)
      else expect(seen).toHaveLength(3)
    }
  })
})

describe('names', () => {
  const namesOf = async (...items: readonly Buffer[]) => {
    const made = makeFat(16)
    writeRoot(made, ...items)
    const files = await openFiles(made)
    const found: string[] = []
    for await (const { name } of files.list(await files.stat('/'))) found.push(name)
    return { found, findings: files.findings.map(({ code }) => code), files }
  }
  const short = Buffer.from('FILE    TXT')
  const parts = longParts('a long name of three parts: a b c', checksumOf(short))
  const file = entries({ short: 'FILE    TXT' })

  test('long or short, in any case, as they were asked for first', async () => {
    const { files } = await namesOf(
      entries({ short: 'LONGNA~1TXT', long: 'Long näme.txt' }),
      entries({ short: 'CASE       ', long: 'case' }),
      entries({ short: 'CASE~1     ', long: 'CASE' }),
    )
    for (const path of ['/Long näme.txt', 'LONG NÄME.TXT', '//./longna~1.txt/', '\\longna~1.TXT']) {
      expect((await files.stat(path)).name).toBe('Long näme.txt')
    }
    expect(await files.stat('/case')).toMatchObject({ name: 'case', shortName: 'CASE' })
    expect(await files.stat('/CASE')).toMatchObject({ name: 'CASE', shortName: 'CASE~1' })
    expect((await files.stat('/Case')).name).toBe('case')
    expect(await files.stat('/')).toMatchObject({ path: '/', name: '', kind: 'directory' })
    await expect(files.stat('/Case/x')).rejects.toMatchObject({ name: 'NotFoundError', code: 'NOT_A_DIRECTORY' })
    await expect(files.stat('/none')).rejects.toMatchObject({ name: 'NotFoundError', code: 'NO_SUCH_FILE' })
  })

  test.each<[string, readonly Buffer[]]>([
    ['without the first', parts.slice(1)],
    ['without the last', parts.slice(0, 2)],
    ['without one between', [parts[0]!, parts[2]!]],
    ['in another order', [parts[0]!, parts[2]!, parts[1]!]],
    ['twice', [parts[0]!, parts[1]!, parts[1]!, parts[2]!]],
    ['deleted in part', [parts[0]!, Buffer.concat([Buffer.from([0xe5]), parts[1]!.subarray(1)]), parts[2]!]],
    ['of another file', longParts('a long name of three parts: a b c', 77)],
    ['with a file between', [...parts, entries({ short: 'OTHER      ' })]],
    ['of none', [Buffer.concat([Buffer.from([0x40]), parts[2]!.subarray(1)])]],
    ['of 21', [Buffer.concat([Buffer.from([0x40 + 21]), parts[2]!.subarray(1)])]],
    ['without a letter', longParts('\0', checksumOf(short))],
    ['of more than 255 units', longParts('x'.repeat(256), checksumOf(short))],
  ])('parts of a long name %s are passed over', async (_, bytes) => {
    const { found, findings } = await namesOf(...bytes, file)
    expect(found.at(-1)).toBe('FILE.TXT')
    expect(findings).toEqual([])
  })

  test('a name begun again is that of the second beginning', async () => {
    expect((await namesOf(...parts.slice(0, 2), ...parts, file)).found).toEqual(['a long name of three parts: a b c'])
  })

  test('a file that is called as the directory itself is listed by another name, and found by it', async () => {
    const made = makeFat(16)
    writeRoot(made, entries({ short: '.          ' }), entries({ short: 'B          ', long: '.' }), file)
    const files = await openFiles(made)
    const [dot, , other] = await collect(files.list(await files.stat('/')))
    expect([dot!.path, other!.path]).toEqual(['/\ufffd', '/FILE.TXT'])
    expect(await files.stat('/\ufffd')).toEqual(dot)
    expect((await files.stat('/.')).path).toBe('/')
  })

  test('unpaired surrogates stay, a slash does not', async () => {
    const { found } = await namesOf(
      entries({ short: 'LONE~1     ', long: 'lone \ud83d' }),
      entries({ short: 'SLASH~1    ', long: '../../etc/passwd' }),
    )
    expect(found).toEqual(['lone \ud83d', '..\ufffd..\ufffdetc\ufffdpasswd'])
  })

  test('labels, deleted entries, . and .. are no files, nor is what is behind the end', async () => {
    const { found } = await namesOf(
      entries({ short: 'LABEL      ', attributes: 0x08 }),
      entries({ short: '.          ', attributes: DIRECTORY }),
      entries({ short: '..         ', attributes: DIRECTORY }),
      entries({ short: '\xe5ELETED    ' }),
      file,
      Buffer.alloc(32),
      entries({ short: 'STALE      ' }),
    )
    expect(found).toEqual(['FILE.TXT'])
  })

  test('a short name that is none: passed over with a finding, unless there is a long one', async () => {
    const { found, findings } = await namesOf(
      entries({ short: ' BAD       ' }),
      entries({ short: 'BAD\x01       ' }),
      entries({ short: 'BAD     \0\0\0' }),
      entries({ short: ' \0\x01\x02\x03      ', long: 'good' }),
      file,
    )
    expect(found).toEqual(['good', 'FILE.TXT'])
    expect(findings).toEqual(['FAT_ENTRY_BAD', 'FAT_ENTRY_BAD', 'FAT_ENTRY_BAD'])
  })

  test('a long name across pieces of 64 KiB', async () => {
    const made = makeFat(32)
    const many = Buffer.concat([
      ...Array.from({ length: 2046 }, (_, i) => entries({ short: `${i}`.padEnd(11) })),
      entries({ short: 'ACROSS~1   ', long: 'across the end of a piece that is read' }),
      entries({ short: 'LAST       ' }),
    ])
    const count = Math.ceil(many.length / made.clusterSize)
    for (let i = 0; i < count; i++) {
      const [cluster, next] = [100 + i * 2, i === count - 1 ? END[32] : 102 + i * 2]
      many.copy(made.disk.content, made.clusterOffset(cluster), i * made.clusterSize, (i + 1) * made.clusterSize)
      made.set(cluster, next)
    }
    writeRoot(made, entries({ short: 'MANY       ', attributes: DIRECTORY, cluster: 100 }))
    const found = [...(await checkPaths(await openFiles(made))).keys()]
    expect(found).toHaveLength(2049)
    expect(found.slice(-2)).toEqual(['/MANY/across the end of a piece that is read', '/MANY/LAST'])
  })
})

test('times: created to 10 ms, the last change to 2 s, none where there is none', async () => {
  const made = makeFat(16)
  const date = (year: number, month: number, day: number) => (year - 1980) * 512 + month * 32 + day
  const time = (hours: number, minutes: number, secs: number) => hours * 2048 + minutes * 32 + secs / 2
  const at = (short: string, day: number, clock: number, hundredths = 0) =>
    entries({ short, created: [day, clock, hundredths], modified: [day, clock] })
  writeRoot(
    made,
    at('GOOD       ', date(2107, 12, 31), time(23, 59, 58), 199),
    at('LEAP       ', date(2024, 2, 29), 0),
    at('NONE       ', 0, 0),
    at('NOLEAP     ', date(2023, 2, 29), 0),
    at('MONTH13    ', date(2023, 13, 1), 0),
    at('HOUR24     ', date(2023, 1, 1), time(24, 0, 0)),
    at('MINUTE60   ', date(2023, 1, 1), time(0, 60, 0)),
    at('SECOND60   ', date(2023, 1, 1), time(0, 0, 60)),
    at('TENTHS     ', date(2023, 1, 1), 0, 200),
  )
  const files = await openFiles(made)
  const ms = (ticks: bigint | undefined) =>
    ticks === undefined ? undefined : Number(ticks / 10_000n) - 11_644_473_600_000
  expect(ms((await files.stat('GOOD')).created)).toBe(Date.UTC(2107, 11, 31, 23, 59, 59, 990))
  expect(ms((await files.stat('GOOD')).modified)).toBe(Date.UTC(2107, 11, 31, 23, 59, 58))
  expect(ms((await files.stat('LEAP')).created)).toBe(Date.UTC(2024, 1, 29))
  for (const name of ['NONE', 'NOLEAP', 'MONTH13', 'HOUR24', 'MINUTE60', 'SECOND60']) {
    expect(await files.stat(name)).toMatchObject({ created: undefined, modified: undefined, accessed: undefined })
  }
  expect((await files.stat('TENTHS')).created).toBeUndefined()
})

describe.each([12, 16, 32] as const)('FAT%i: chains', width => {
  const BAD = { 12: 0xff7, 16: 0xfff7, 32: 0x0ffffff7 } as const
  const open = async (files: Files, path = '/FILE.BIN') => files.open(await files.stat(path))

  test('clusters in any order; from any place', async () => {
    const { made, content } = makeChain(width)
    const device = await open(await openFiles(made))
    expect(device).toMatchObject({ size: 2500, readOnly: true })
    await fc.assert(
      fc.asyncProperty(fc.nat(2500), fc.nat(2500), async (from, length) => {
        const target = Buffer.alloc(Math.min(length, 2500 - from))
        await device.read(from, target)
        expect(target.equals(content.subarray(from, from + target.length))).toBe(true)
      }),
      { numRuns: 50 },
    )
    expect(await collect(device.dataRanges())).toEqual([{ offset: 0, length: 2500 }])
    await expect(device.read(2400, Buffer.alloc(101))).rejects.toMatchObject({ code: 'OUT_OF_RANGE' })
    await expect(device.write(0, Buffer.alloc(1))).rejects.toMatchObject({ code: 'READ_ONLY' })
  })

  test.each<[string, (made: MadeFat) => void, RegExp]>([
    ['ends too soon', made => made.set(12, END[width]), /ends after 2 clusters/],
    ['leads to a free cluster', made => made.set(11, 0), /leads to a free cluster after 3 clusters/],
    ['leads to cluster 1', made => made.set(12, 1), /leads to cluster 1, which does not exist after 2/],
    ['leads to a bad cluster', made => made.set(10, BAD[width]), /which does not exist after 1/],
    ['leads out of the volume', made => made.set(12, made.clusterCount + 2), /which does not exist after 2/],
    ['points to itself', made => made.set(12, 12), /runs in a circle of 1 clusters after 2/],
    ['runs in a circle', made => made.set(11, 10), /runs in a circle of 3 clusters after 3/],
    ['runs into a circle', made => made.set(11, 12), /runs in a circle of 2 clusters after 3/],
  ])('that %s', async (_, damage, message) => {
    const { made } = makeChain(width, 4 * 1024)
    damage(made)
    const files = await openFiles(made)
    await expect(open(files)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'CLUSTER_CHAIN_BROKEN',
      message: expect.stringMatching(message),
    })
    // What can be told of it is told, and nothing of it is lost to a scan.
    expect((await files.details(await files.stat('/FILE.BIN'))).attributes[0]!.runs.length).toBeGreaterThan(0)
    expect(codes(files)).toEqual(['CLUSTER_CHAIN_BROKEN'])
    expect([...(await checkPaths(files)).keys()]).toEqual(['/FILE.BIN', '/SUB'])
  })

  test('that are longer than the file, or run in a circle behind it, hold all of it', async () => {
    for (const last of [END[width], 12]) {
      const { made, content } = makeChain(width, 1500)
      made.set(11, last)
      expect(await readFile(await openFiles(made), 'file.bin')).toEqual(content)
    }
  })

  test('that share clusters: both files are read', async () => {
    const { made, content } = makeChain(width)
    writeRoot(
      made,
      entries({ short: 'FIRST      ', cluster: 10, size: 2500 }),
      entries({ short: 'SECOND     ', cluster: 12, size: 1024 }),
    )
    const files = await openFiles(made)
    expect(await readFile(files, 'FIRST')).toEqual(content)
    expect(await readFile(files, 'SECOND')).toEqual(content.subarray(1024, 2048))
  })

  test('files without a place, or larger than the volume, are listed with an error', async () => {
    const { made } = makeChain(width)
    writeRoot(
      made,
      entries({ short: 'EMPTY      ' }),
      entries({ short: 'NOWHERE    ', size: 1 }),
      entries({ short: 'OUTSIDE    ', cluster: made.clusterCount + 2, size: 1 }),
      entries({ short: 'LARGE      ', cluster: 10, size: 0xffffffff }),
      entries({ short: 'FOLDER     ', cluster: 0, attributes: DIRECTORY }),
      entries({ short: 'SUB        ', cluster: 3, attributes: DIRECTORY }),
    )
    const files = await openFiles(made)
    const found = await checkPaths(files)
    const codeOf = (path: string) => found.get(path)!.error?.code
    expect([...found.keys()].map(codeOf)).toEqual([
      undefined,
      'NO_SUCH_CLUSTER',
      'NO_SUCH_CLUSTER',
      'FILE_TOO_LARGE',
      'NO_SUCH_CLUSTER',
      undefined,
    ])
    const { position } = found.get('/OUTSIDE')!.error!.details
    expect(position).toBe(made.rootOffset + 2 * 32 + 26)
    expect((await open(files, '/EMPTY')).size).toBe(0)
    for (const path of ['/NOWHERE', '/OUTSIDE', '/LARGE']) {
      await expect(open(files, path)).rejects.toMatchObject({ name: 'FormatError', code: codeOf(path) })
    }
    await expect(collect(files.list(found.get('/FOLDER')!))).rejects.toMatchObject({ code: 'NO_SUCH_CLUSTER' })
    await expect(open(files, '/SUB')).rejects.toMatchObject({ name: 'NotFoundError', code: 'NOT_A_FILE' })
    await expect(files.open(found.get('/EMPTY')!, 'ads')).rejects.toMatchObject({ code: 'NO_SUCH_STREAM' })
    await expect(collect(files.list(found.get('/EMPTY')!))).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
  })

  test('unreadable sectors: of one copy of the FAT, of both, of content', async () => {
    const { made, content } = makeChain(width)
    const fat = (copy: 0 | 1) => ({ offset: made.fats[copy], length: 512 })
    const boot = readBootSector(made.disk.content.subarray(0, 512), made.disk.size)
    const reading = (...unreadable: readonly Range[]) =>
      readFile(filesOn(new FaultyDevice(made.disk, { unreadable }), boot), '/FILE.BIN')
    expect(await reading(fat(0))).toEqual(content)
    expect(await reading(fat(1))).toEqual(content)
    await expect(reading(fat(0), fat(1))).rejects.toMatchObject({
      code: 'CLUSTER_CHAIN_BROKEN',
      message: expect.stringMatching(/leads through a part of the FAT that cannot be read/),
    })
    await expect(reading({ offset: made.clusterOffset(12), length: 512 })).rejects.toMatchObject({ code: 'READ_ERROR' })
  })
})

describe('directories', () => {
  /** A volume whose folder in cluster `100 + i` has the entries `folders[i]`. */
  function makeFolders(...folders: readonly (readonly Buffer[])[]): MadeFat {
    const made = makeFat(32)
    for (const [i, items] of folders.entries()) {
      const offset = made.clusterOffset(100 + i)
      Buffer.concat([...items]).copy(made.disk.content, offset)
      made.set(100 + i, END[32])
    }
    writeRoot(made, folder('A', 100))
    return made
  }
  const folder = (name: string, cluster: number) => entries({ short: name.padEnd(11), attributes: DIRECTORY, cluster })

  test('that contain themselves, each other or the root are entered once', async () => {
    const made = makeFolders(
      [folder('SELF', 100), folder('B', 101), folder('ROOT', 2), entries({ short: 'FILE       ' })],
      [folder('A', 100), folder('C', 102)],
      [folder('B', 101)],
    )
    const files = await openFiles(made)
    expect([...(await scanned(files)).keys()]).toEqual([
      '/A',
      '/A/SELF',
      '/A/B',
      '/A/ROOT',
      '/A/FILE',
      '/A/B/A',
      '/A/B/C',
      '/A/B/C/B',
    ])
    expect(files.findings.map(({ code, details }) => [code, details!.path])).toEqual([
      ['DIRECTORY_TWICE', '/A/SELF'],
      ['DIRECTORY_TWICE', '/A/ROOT'],
      ['DIRECTORY_TWICE', '/A/B/A'],
      ['DIRECTORY_TWICE', '/A/B/C/B'],
    ])
    expect((await files.stat('/A/B/C/B/A/SELF/ROOT/A/FILE')).kind).toBe('file')
    await scanned(files)
    expect(files.findings).toHaveLength(4)
  })

  test('a scan below a directory, which is not in it', async () => {
    const made = makeFolders([folder('B', 101)], [entries({ short: 'FILE       ' })])
    const files = await openFiles(made)
    const batches = await collect(files.scan(await files.stat('/a')))
    expect(batches.flat().map(({ path }) => path)).toEqual(['/A/B', '/A/B/FILE'])
  })

  test('whose chain runs in a circle or breaks off: what is there is listed once', async () => {
    for (const next of [100, 0, 5002]) {
      const made = makeFolders(Array.from({ length: 32 }, (_, i) => entries({ short: `${i}`.padEnd(11) })))
      made.set(100, next)
      const files = await openFiles(made)
      expect((await checkPaths(files)).size).toBe(33)
      expect(codes(files)).toEqual(['CLUSTER_CHAIN_BROKEN'])
    }
  })

  test('with more than 65,536 entries end there', async () => {
    const made = makeFat(32)
    const bytes = entries({ short: 'ONE        ' })
    for (let cluster = 100; cluster < 100 + 2049; cluster++) {
      for (let at = 0; at < 1024; at += 32) bytes.copy(made.disk.content, made.clusterOffset(cluster) + at)
      made.set(cluster, cluster === 2148 ? END[32] : cluster + 1)
    }
    writeRoot(made, folder('A', 100))
    const files = await openFiles(made)
    const started = performance.now()
    expect((await collect(files.list(await files.stat('/A')))).length).toBe(65_536)
    expect(performance.now() - started).toBeLessThan(10_000)
    expect(codes(files)).toEqual(['CLUSTER_CHAIN_BROKEN'])
    expect(files.findings[0]!.message).toMatch(/is longer than 2048 clusters/)
  })

  test('that share their clusters, more in all than the volume has: a scan ends', async () => {
    const made = makeFat(32)
    // 1500 folders of which each is a chain that leads through all that come after it.
    const count = 1500
    for (let i = 0; i < count; i++) {
      const cluster = 100 + i
      for (let at = 0; at < 1024; at += 32) {
        const to = 100 + ((i * 32 + at / 32) % count)
        folder(`${to}`, to).copy(made.disk.content, made.clusterOffset(cluster) + at)
      }
      made.set(cluster, i === count - 1 ? END[32] : cluster + 1)
    }
    writeRoot(made, folder('A', 100))
    const files = await openFiles(made)
    let found = 0
    for await (const batch of files.scan()) found += batch.length
    expect(found).toBeLessThan((2 * made.disk.size) / 32)
    expect(codes(files)).toContain('DIRECTORIES_CROSSED')
  })

  test('so deep that no path is that long are not entered', async () => {
    const name = 'd'.repeat(255)
    const deep = (i: number) => entries({ short: `D${i}`.padEnd(11), long: name, attributes: DIRECTORY, cluster: i })
    const made = makeFolders(...Array.from({ length: 200 }, (_, i) => [deep(101 + i)]))
    const files = await openFiles(made)
    const found = [...(await scanned(files)).keys()]
    expect(found).toHaveLength(1 + 128)
    expect(Math.max(...found.map(path => path.length))).toBeLessThan(32_767 + 257)
    expect(codes(files)).toEqual(['PATH_TOO_LONG'])
  })

  test('with sectors that cannot be read: the others are listed', async () => {
    const made = makeFolders(Array.from({ length: 32 }, (_, i) => entries({ short: `${i}`.padEnd(11) })))
    const boot = readBootSector(made.disk.content.subarray(0, 512), made.disk.size)
    const unreadable = [{ offset: made.clusterOffset(100), length: 512 }]
    const files = filesOn(new FaultyDevice(made.disk, { unreadable }), boot)
    expect([...(await scanned(files)).keys()].slice(1)).toEqual(Array.from({ length: 16 }, (_, i) => `/A/${16 + i}`))
    expect(codes(files)).toEqual(['DIRECTORY_UNREADABLE'])
    const gone = filesOn(new FaultyDevice(made.disk, { requests: 1 }), boot)
    await expect(scanned(gone)).rejects.toMatchObject({ code: 'DEVICE_GONE' })
  })

  test('a scan stops when it is told to', async () => {
    const files = await openFiles(makeFolders([folder('B', 101)], []))
    const options = { signal: AbortSignal.abort(new Error('enough')) }
    await expect(collect(files.scan(undefined, options))).rejects.toThrow('enough')
    await expect(collect(files.list(await files.stat('/'), options))).rejects.toThrow('enough')
  })

  test('a root that is nowhere', async () => {
    const made = makeFat(32)
    for (const sector of [0, 6]) made.disk.content.writeUInt32LE(0, sector * 512 + 44)
    const files = await openFiles(made)
    expect((await files.stat('/')).error).toMatchObject({ code: 'NO_SUCH_CLUSTER', details: { position: 44 } })
    await expect(scanned(files)).rejects.toMatchObject({ code: 'NO_SUCH_CLUSTER' })
    expect((await files.details(await files.stat('/'))).attributes).toEqual([])
  })
})

describe.each([12, 16, 32] as const)('FAT%i: damage', width => {
  test('random bytes anywhere: entries, right content or errors of ours, soon', async () => {
    const { made } = makeChain(width)
    entries({ short: 'INSUB~1    ', long: 'in a folder with a long name', cluster: 12, size: 1000 }).copy(
      made.disk.content,
      made.clusterOffset(3) + 32,
    )
    const sound = Buffer.from(made.disk.content)
    // Where there is anything: boot sector and FATs, root, folder.
    const places = [
      [0, 600],
      [made.fats[0], made.fats[0] + 64],
      [made.rootOffset, made.rootOffset + 128],
      [made.clusterOffset(3), made.clusterOffset(3) + 192],
    ] as const
    const change = fc.tuple(
      fc.constantFrom(...places),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 0, max: 255 }),
    )
    const started = performance.now()
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async changes => {
        sound.copy(made.disk.content)
        for (const [[from, to], place, byte] of changes)
          made.disk.content[Math.floor(from + place * (to - from - 1))] = byte
        await exercise(made.disk)
      }),
      { numRuns: 400 },
    )
    expect(performance.now() - started).toBeLessThan(60_000)
  })

  test('directories full of noise', async () => {
    const made = makeFat(width)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1024, maxLength: 1024 }), async noise => {
        made.disk.content.set(noise, made.clusterOffset(3) + 32)
        await exercise(made.disk)
      }),
      { numRuns: 100 },
    )
  })

  /** Does all there is to do with a volume; anything thrown has to be an error of ours. */
  async function exercise(disk: MemoryDevice): Promise<void> {
    try {
      const files = await (await FatVolume.open(disk)).openFiles()
      const found = await scanned(files)
      expect(found.size).toBeLessThan(disk.size / 32)
      for (const entry of [...found.values()].slice(0, 40)) {
        await files.details(entry)
        if (entry.kind === 'file') await hashContent(await files.open(entry)).catch(ours)
        else if (entry.error === undefined) await collect(files.list(entry)).catch(ours)
      }
    } catch (error) {
      ours(error)
    }
  }
  const ours = (error: unknown) => expect(error).toBeInstanceOf(DiskImageError)
})
