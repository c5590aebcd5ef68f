/** The files of exFAT volumes: as other tools see them, and as hostile hands leave them. */
import { mkdir, open, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import type { MemoryDevice } from '../../lib/device/memory-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { ExfatVolume } from '../../lib/exfat/exfat-volume.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import type { Entry } from '../../lib/volume/entry.ts'
import type { Files } from '../../lib/volume/files.ts'
import { collect } from '../helpers/collect.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { hashTree, withExfat } from '../helpers/disks.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { hashContent, hashFiles, listed, readFile, scanned } from '../helpers/file-tree.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { expectedTree, fls } from '../helpers/sleuthkit.ts'
import { describeWith, run, testWith } from '../helpers/tools.ts'
import {
  clusterCount,
  clusterOffset,
  clusterSize,
  entrySet,
  fatEntry,
  type MadeSet,
  makeExfat,
  putChain,
  upcaseEntryOf,
  upcaseTable,
  withSetChecksum,
} from './make-exfat.ts'

const MiB = 2 ** 20
const FILETIME_OF_1970 = 11_644_473_600n
const DIRECTORY = 0x10

const openFiles = async (disk: MemoryDevice) => (await ExfatVolume.open(disk)).openFiles()
const seconds = (time: bigint | undefined) => Number(time! / 10_000_000n - FILETIME_OF_1970)
/** As the sleuthkit has times, which knows nothing of hundredths. */
const evenSeconds = (time: bigint | undefined) => Math.floor(seconds(time) / 2) * 2
const codes = (files: Files) => files.findings.map(({ code }) => code)

/** What holds in every volume: scan and lists agree, and every path leads to its entry. */
async function checkPaths(files: Files): Promise<Map<string, Entry>> {
  const found = await scanned(files)
  expect(await listed(files)).toEqual(found)
  for (const [path, entry] of [...found].slice(0, 200)) expect(await files.stat(path)).toEqual(entry)
  return found
}

describe('by Windows', () => {
  testWith(['corpus', 'tar', 'xz', 'fls'], 'exfat_win.raw', async () => {
    const image = corpusImage('fat-exfat-refs/dfir_ntfs/exfat_win.raw')
    const path = await image.unpack()
    await using device = await FileDevice.open(path)
    const files = await (await ExfatVolume.open(device)).openFiles()
    expect(await hashFiles(files)).toEqual(expectedTree(image.expected().partitions[0]!))
    const known = await fls(path)
    for (const [name, entry] of await checkPaths(files)) {
      const { modified, created, accessed } = known.get(name.slice(1))!
      // The sleuthkit takes all times as UTC; these are Moscow's, three hours ahead.
      expect(seconds(entry.modified) + 3 * 3600).toBe(modified)
      expect(seconds(entry.created) + 3 * 3600).toBe(created)
      expect(seconds(entry.accessed) + 3 * 3600).toBe(accessed)
    }
    expect(files.findings).toEqual([])
  })

  testWith(['corpus', 'tar', 'xz'], 'exFAT.vhdx, with 1,400 files in a folder', async () => {
    const image = corpusImage('vhdx/ExFat/exFAT.vhdx')
    const partition = image.expected().partitions[1]!
    const { disk, file } = await openDisk(await image.unpack())
    const [offset, length] = [partition.startSector * 512, partition.sectors * 512]
    const files = await (await ExfatVolume.open(new SliceDevice(disk, { offset, length }))).openFiles()
    expect(await hashFiles(files)).toEqual(expectedTree(partition))
    await checkPaths(files)
    expect(files.findings).toEqual([])
    await file.close()
  })
})

describeWith(['mkfs.exfat', 'mount.exfat-fuse', 'fsck.exfat', 'fls', 'loop', 'fuse'], 'by exfat-fuse', () => {
  test.each<[string, number, readonly string[]]>([
    ['clusters of 512 bytes', 16 * MiB, ['-c', '512']],
    ['clusters of 4 KiB', 64 * MiB, ['-c', '4K']],
    ['clusters of 128 KiB', 512 * MiB, ['-c', '128K']],
  ])('%s', async (_, size, args) => {
    await using folder = await scratch()
    const path = folder.path('volume')
    await writeFile(path, '', { flag: 'wx' })
    await truncate(path, size)
    await run('mkfs.exfat', [...args, path])
    const place = { path, offset: 0, length: size, sectorSize: 512 }
    const tree = await withExfat(place, async mountPoint => {
      const write = (name: string, bytes: number) => writeFile(`${mountPoint}/${name}`, pattern(bytes, bytes))
      await mkdir(`${mountPoint}/a/Größe und 大小/b`, { recursive: true })
      await mkdir(`${mountPoint}/empty folder`)
      await write('a/Größe und 大小/b/😀 surrogates 𐐷.txt', 100_000)
      await write(`${'n'.repeat(255)}`, 10)
      for (const bytes of [0, 1, 511, 512, 513, 4096, 300_000]) await write(`a/size ${bytes}`, bytes)
      for (let i = 0; i < 300; i++) await write(`a/many ${i} files in a directory`, i)
      for (let i = 0; i < 300; i += 3) await rm(`${mountPoint}/a/many ${i} files in a directory`)
      await writeInTurns([`${mountPoint}/first`, `${mountPoint}/second`], 700_001)
      const hashes = await hashTree(mountPoint)
      await utimes(`${mountPoint}/first`, 1_000_000_000, 1_234_567_890)
      return hashes
    })
    await run('fsck.exfat', ['-n', path])
    await using device = await FileDevice.open(path)
    const files = await (await ExfatVolume.open(device)).openFiles()
    expect(await hashFiles(files)).toEqual(tree)
    const found = await checkPaths(files)
    expect(files.findings).toEqual([])
    expect([seconds(found.get('/first')!.modified), seconds(found.get('/first')!.accessed)]).toEqual([
      1_234_567_890, 1_000_000_000,
    ])
    expect((await files.details(found.get('/second')!)).attributes[0]!.runs.length).toBeGreaterThan(1)
    expect((await files.details(found.get('/a/size 300000')!)).attributes[0]!.flags).toEqual(['contiguous'])
    const known = await fls(path)
    expect(known.size).toBe(found.size)
    for (const [name, { isDirectory, modified }] of known) {
      const entry = found.get(`/${name}`)
      if (!name.startsWith('nnn'))
        expect([entry!.kind === 'directory', evenSeconds(entry!.modified)]).toEqual([isDirectory, modified])
    }
  })

  /** Writes files of `size` bytes a piece of each after the other, so that their clusters alternate. */
  async function writeInTurns(paths: readonly string[], size: number): Promise<void> {
    const files = await Promise.all(paths.map(path => open(path, 'w')))
    for (let done = 0; done < size; done += 140_000) {
      for (const [i, file] of files.entries()) await file.write(pattern(Math.min(140_000, size - done), done + i))
    }
    await Promise.all(files.map(file => file.close()))
  }
})

/** Puts `bytes` into clusters, piece by piece. */
function putContent(disk: MemoryDevice, bytes: Buffer, clusters: readonly number[]): void {
  for (const [i, cluster] of clusters.entries())
    bytes.copy(disk.content, clusterOffset(cluster), i * clusterSize, (i + 1) * clusterSize)
}

/** A table in cluster 5 that knows more than ASCII: ß is a small S. */
const UPCASE = upcaseTable(['ß', 'S'], ['ä', 'Ä'])
const upcase = (checksum?: number) => upcaseEntryOf(UPCASE, 5, checksum)

/** A volume with a sound up-case table and `sets` in its root, the first of which lies in 11, 13 and 12 if its cluster is 11. */
function makeFiles(...sets: readonly (MadeSet | Buffer)[]): MemoryDevice {
  const root = sets.map(set => (Buffer.isBuffer(set) ? set : entrySet(set)))
  const disk = makeExfat({ root: [upcase(), ...root] })
  putChain(disk, [5])
  putContent(disk, UPCASE, [5])
  putChain(disk, [11, 13, 12])
  putContent(disk, pattern(3 * clusterSize, 9), [11, 13, 12])
  return disk
}

describe('files', () => {
  const content = pattern(3 * clusterSize, 9)

  test('in a chain, in a row, without clusters', async () => {
    const disk = makeFiles(
      { name: 'chained', cluster: 11, size: 2500 },
      { name: 'contiguous', cluster: 20, size: 2500, contiguous: true },
      { name: 'empty' },
    )
    putContent(disk, content, [20, 21, 22])
    const files = await openFiles(disk)
    expect(codes(files)).toEqual([])
    expect(await readFile(files, 'chained')).toEqual(content.subarray(0, 2500))
    expect(await readFile(files, 'contiguous')).toEqual(content.subarray(0, 2500))
    expect(await readFile(files, 'empty')).toEqual(Buffer.alloc(0))
    const found = await checkPaths(files)
    expect(found.get('/contiguous')).toMatchObject({
      size: 2500,
      allocatedSize: 3072,
      position: clusterOffset(20),
      links: 1,
    })
    expect(found.get('/empty')).toMatchObject({ size: 0, allocatedSize: 0, position: undefined, record: undefined })
    expect((await files.details(found.get('/chained')!)).attributes).toMatchObject([
      {
        flags: [],
        size: 2500,
        initializedSize: 2500,
        allocatedSize: 3072,
        runs: [
          { content: { offset: 0, length: 1024 }, position: clusterOffset(11) },
          { content: { offset: 1024, length: 1024 }, position: clusterOffset(13) },
          { content: { offset: 2048, length: 1024 }, position: clusterOffset(12) },
        ],
      },
    ])
    expect((await files.details(await files.stat('/'))).attributes[0]).toMatchObject({ size: 1024 })
  })

  test('what is behind the valid data length is zeros', async () => {
    const files = await openFiles(makeFiles({ name: 'file', cluster: 11, size: 3000, valid: 1500 }))
    const expected = Buffer.concat([content.subarray(0, 1500), Buffer.alloc(1500)])
    expect(await readFile(files, 'file')).toEqual(expected)
    const { attributes } = await files.details(await files.stat('/file'))
    expect(attributes).toMatchObject([{ size: 3000, initializedSize: 1500 }])
  })

  test.each<[string, MadeSet, string]>([
    ['behind the heap', { name: 'x', cluster: clusterCount + 2, size: 1 }, 'NO_SUCH_CLUSTER'],
    ['in cluster 0', { name: 'x', size: 1 }, 'NO_SUCH_CLUSTER'],
    [
      'over the end of the heap',
      { name: 'x', cluster: clusterCount, size: 2 * 1024 + 1, contiguous: true },
      'NO_SUCH_CLUSTER',
    ],
    ['larger than the heap', { name: 'x', cluster: 11, size: clusterCount * 1024 + 1 }, 'FILE_TOO_LARGE'],
    ['of nearly 2^53 bytes', { name: 'x', cluster: 11, size: Number.MAX_SAFE_INTEGER }, 'FILE_TOO_LARGE'],
    ['with more valid bytes than it has', { name: 'x', cluster: 11, size: 10, valid: 11 }, 'EXFAT_VALID_LENGTH'],
  ])('%s: listed with an error', async (_, set, code) => {
    const files = await openFiles(makeFiles(set, { name: 'other', cluster: 11, size: 10 }))
    const found = await checkPaths(files)
    expect(found.get('/x')!.error).toMatchObject({ name: 'FormatError', code })
    await expect(files.open(found.get('/x')!)).rejects.toMatchObject({ code })
    expect((await files.details(found.get('/x')!)).attributes).toEqual([])
    expect(await readFile(files, 'other')).toEqual(content.subarray(0, 10))
  })

  test('a length above 2^53', async () => {
    const set = entrySet({ name: 'x', cluster: 11, size: 1 })
    set.writeBigUInt64LE(2n ** 64n - 1n, 32 + 24)
    const files = await openFiles(makeFiles(withSetChecksum(set)))
    expect((await files.stat('/x')).error).toMatchObject({ code: 'FILE_TOO_LARGE' })
  })

  test('a chain that is too short, by its end, a free cluster or a circle', async () => {
    for (const [next, words] of [
      [0xffffffff, /ends after 2 clusters/],
      [0, /leads to a free cluster after 2 clusters/],
      [0xfffffff7, /which does not exist after 2/],
      [11, /runs in a circle of 2 clusters after 2/],
    ] as const) {
      const disk = makeFiles({ name: 'file', cluster: 11, size: 2500 })
      disk.content.writeUInt32LE(next, fatEntry(13))
      const files = await openFiles(disk)
      await expect(readFile(files, '/file')).rejects.toMatchObject({
        code: 'CLUSTER_CHAIN_BROKEN',
        message: expect.stringMatching(words),
        details: { position: fatEntry(13) },
      })
    }
  })

  test('a part of the FAT that cannot be read, and content that cannot be', async () => {
    const disk = makeFiles({ name: 'near', cluster: 11, size: 2500 }, { name: 'far', cluster: 500, size: 1025 })
    putChain(disk, [500, 501])
    const read = async (path: string, offset: number) => {
      const faulty = new FaultyDevice(disk, { unreadable: [{ offset, length: 512 }] })
      return readFile(await (await ExfatVolume.open(faulty)).openFiles(), path)
    }
    await expect(read('near', clusterOffset(13))).rejects.toMatchObject({ name: 'StorageError', code: 'READ_ERROR' })
    expect(await read('near', fatEntry(384))).toEqual(content.subarray(0, 2500))
    await expect(read('far', fatEntry(384))).rejects.toMatchObject({
      code: 'CLUSTER_CHAIN_BROKEN',
      message: expect.stringMatching(/leads through a part of the FAT that cannot be read/),
    })
  })

  test('two FATs: the active one counts', async () => {
    const root = [upcase(), entrySet({ name: 'file', cluster: 11, size: 1025 })]
    const disk = makeExfat({ fatCount: 2, flags: 1, used: [2, 3, 4], root })
    putContent(disk, UPCASE, [5])
    putContent(disk, content, [11, 13])
    for (const copy of [0, 1]) putChain(disk, [5], copy)
    putChain(disk, [11, 12], 0)
    putChain(disk, [11, 13], 1)
    expect(await readFile(await openFiles(disk), 'file')).toEqual(content.subarray(0, 1025))
  })

  test('with the backup boot region', async () => {
    const disk = makeFiles({ name: 'file', cluster: 11, size: 2500 })
    disk.content.fill(0, 0, 512)
    const volume = await ExfatVolume.open(disk)
    expect(volume.findings).toMatchObject([{ code: 'EXFAT_BACKUP_BOOT_USED' }])
    expect(await readFile(await volume.openFiles(), 'file')).toEqual(content.subarray(0, 2500))
  })

  test('no streams, no content of a directory, no list of a file', async () => {
    const files = await openFiles(makeFiles({ name: 'file' }, { name: 'folder', attributes: DIRECTORY }))
    const [file, folder] = await collect(files.list(await files.stat('/')))
    await expect(files.open(file!, 'ads')).rejects.toMatchObject({ code: 'NO_SUCH_STREAM' })
    await expect(files.open(folder!)).rejects.toMatchObject({ code: 'NOT_A_FILE' })
    await expect(collect(files.list(file!))).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
    expect(await collect(files.list(folder!))).toEqual([])
  })
})

test('times: to 10 ms, with an offset from UTC', async () => {
  const [date, time] = [(2024 - 1980) * 512 + 2 * 32 + 29, 12 * 2048 + 30 * 32 + 29]
  const at = (utcOffset: number): MadeSet => ({ name: `${utcOffset}`, time: [date, time, 150, utcOffset] })
  const files = await openFiles(makeFiles(at(0), at(0x80), at(0x80 + 22), at(0x80 + 128 - 38), at(22)))
  const ms = async (name: string) => Number((await files.stat(name)).created! / 10_000n) - 11_644_473_600_000
  const local = Date.UTC(2024, 1, 29, 12, 30, 59, 500)
  expect(await ms('0')).toBe(local)
  expect(await ms(`${0x80}`)).toBe(local)
  expect(await ms(`${0x80 + 22}`)).toBe(local - 330 * 60_000)
  expect(await ms(`${0x80 + 128 - 38}`)).toBe(local + 570 * 60_000)
  expect(await ms('22')).toBe(local)
  const { created, modified, accessed } = await files.stat('0')
  expect([created! - accessed!, modified]).toEqual([15_000_000n, created])
})

describe('entry sets', () => {
  const sound: MadeSet = { name: 'sound', cluster: 11, size: 100 }
  const namesIn = async (...sets: readonly (MadeSet | Buffer)[]) => {
    const files = await openFiles(makeFiles(...sets))
    const names = [...(await checkPaths(files)).values()].map(({ name }) => name)
    return { files, names, codes: codes(files) }
  }
  const raw = (...types: readonly number[]) =>
    Buffer.concat(types.map(type => Buffer.from([type, ...Buffer.alloc(31)])))

  test('other entries, in use or not, are passed over', async () => {
    const vendor = raw(0xe0, 0xe1)
    const { names, codes } = await namesIn(
      raw(0x05, 0x40, 0x41, 0x01, 0xa0),
      { ...sound, others: [vendor.subarray(0, 32), vendor.subarray(32)] },
      { name: 'n'.repeat(255) },
    )
    expect(names).toEqual(['sound', 'n'.repeat(255)])
    expect(codes).toEqual([])
  })

  test('names: unpaired surrogates stay, a slash does not', async () => {
    expect((await namesIn({ name: 'a\ud83d' }, { name: '../x\0' })).names).toEqual(['a\ud83d', '..\ufffdx\ufffd'])
    const { names, files } = await namesIn({ name: '.' })
    expect(names).toEqual(['\ufffd'])
    expect((await files.stat('/\ufffd')).path).toBe('/\ufffd')
  })

  test('each byte of a set flipped: its checksum says so, or it is passed over with a finding', async () => {
    const set = entrySet({ name: 'a name in two entries', cluster: 11, size: 100 })
    for (let byte = 0; byte < set.length; byte++) {
      const damaged = Buffer.from(set)
      damaged[byte]! ^= 0x41
      const files = await openFiles(makeFiles(damaged, sound))
      const found = [...(await scanned(files)).values()]
      expect(found.at(-1)!.name, `byte ${byte}`).toBe('sound')
      const [first] = found
      if (found.length === 2) expect(first!.error, `byte ${byte}`).toMatchObject({ code: 'EXFAT_SET_CHECKSUM' })
      else if (byte > 0) expect(codes(files), `byte ${byte}`).toContain('EXFAT_ENTRY_BAD')
    }
  })

  test('sets that end too soon, at the end of the directory as well', async () => {
    const set = entrySet(sound)
    for (const piece of [set.subarray(0, 32), set.subarray(0, 64)]) {
      const { names, codes } = await namesIn(piece, sound)
      expect(names).toEqual(['sound'])
      expect(codes).toEqual(['EXFAT_ENTRY_BAD'])
    }
    const fill = Array.from({ length: 28 }, () => raw(0x05))
    const { names, codes } = await namesIn(...fill, set.subarray(0, 32))
    expect(names).toEqual([])
    expect(codes).toEqual(['EXFAT_ENTRY_BAD'])
  })

  test('a set across pieces of 64 KiB', async () => {
    const disk = makeFiles({ name: 'folder', attributes: DIRECTORY, cluster: 100, size: 66 * 1024, contiguous: true })
    const unused = Buffer.alloc(64 * 1024 - 32, raw(0x05))
    const long = entrySet({ name: 'x'.repeat(200), cluster: 11, size: 5 })
    const folder = Buffer.concat([unused, long, entrySet({ name: 'last' }), Buffer.alloc(4096)]).subarray(0, 66 * 1024)
    folder.copy(disk.content, clusterOffset(100))
    const files = await openFiles(disk)
    expect([...(await checkPaths(files)).keys()].slice(1)).toEqual([`/folder/${'x'.repeat(200)}`, '/folder/last'])
    expect(codes(files)).toEqual([])
  })
})

describe('the up-case table', () => {
  test('is by what names are compared', async () => {
    const files = await openFiles(makeFiles({ name: 'Maß' }, { name: 'Bär' }, { name: 'Ωmega' }))
    expect((await files.stat('MAS')).name).toBe('Maß')
    expect((await files.stat('bÄR')).name).toBe('Bär')
    await expect(files.stat('ωMEGA')).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
  })

  const ascii = upcaseTable()
  ascii.writeUInt16LE(0x62, 0x61 * 2)
  test.each<[string, readonly Buffer[], Buffer]>([
    ['missing', [], UPCASE],
    ['with another checksum', [upcase(1)], UPCASE],
    ['changed', [upcase()], upcaseTable(['ä', 'B'])],
    ['nowhere', [upcaseEntryOf(UPCASE, 5000)], UPCASE],
    ['too long', [upcaseEntryOf(Buffer.alloc(131_074), 5)], UPCASE],
    ['longer than its chain', [upcaseEntryOf(Buffer.concat([UPCASE, Buffer.alloc(1024)]), 5)], UPCASE],
    ['empty', [upcaseEntryOf(Buffer.alloc(0), 5)], UPCASE],
    ['of an odd length', [upcaseEntryOf(UPCASE.subarray(0, -1), 5)], UPCASE],
    ['that does not know ASCII', [upcaseEntryOf(ascii, 5)], ascii],
  ])('%s: the capitals of Unicode, with a finding', async (_, entries, table) => {
    const disk = makeExfat({ root: [...entries, entrySet({ name: 'Ωmega' })] })
    putChain(disk, [5])
    putContent(disk, table, [5])
    const files = await openFiles(disk)
    expect(codes(files)).toEqual(['EXFAT_UPCASE_BAD'])
    expect((await files.stat('ωMEGA')).name).toBe('Ωmega')
  })

  test('of 65,536 letters, not compressed', async () => {
    const table = Uint16Array.from({ length: 65_536 }, (_, unit) => {
      const capital = String.fromCharCode(unit).toUpperCase()
      return capital.length === 1 ? capital.charCodeAt(0) : unit
    })
    const bytes = Buffer.from(table.buffer)
    const clusters = Array.from({ length: 128 }, (_, i) => 300 + i)
    const disk = makeExfat({ root: [upcaseEntryOf(bytes, 300), entrySet({ name: 'Ωmega' })] })
    putChain(disk, clusters)
    putContent(disk, bytes, clusters)
    const files = await openFiles(disk)
    expect(codes(files)).toEqual([])
    expect((await files.stat('ωMEGA')).name).toBe('Ωmega')
  })
})

describe('directories', () => {
  const folder = (name: string, cluster: number, size = clusterSize): MadeSet => ({
    name,
    cluster,
    size,
    attributes: DIRECTORY,
  })

  test('that contain themselves or the root are entered once', async () => {
    const disk = makeFiles(folder('a', 100))
    putChain(disk, [100])
    putContent(
      disk,
      Buffer.concat([entrySet(folder('self', 100)), entrySet(folder('root', 4)), entrySet({ name: 'file' })]),
      [100],
    )
    const files = await openFiles(disk)
    expect([...(await scanned(files)).keys()]).toEqual(['/a', '/a/self', '/a/root', '/a/file'])
    expect(codes(files)).toEqual(['DIRECTORY_TWICE', 'DIRECTORY_TWICE'])
    expect((await files.stat('/a/SELF/self/root/a/file')).kind).toBe('file')
  })

  test('whose chain is too short or runs in a circle: what is there is listed once', async () => {
    for (const next of [0xffffffff, 100, 0]) {
      const disk = makeFiles(folder('a', 100, 3 * clusterSize))
      disk.content.writeUInt32LE(next, fatEntry(100))
      putContent(disk, Buffer.concat(Array.from({ length: 10 }, (_, i) => entrySet({ name: `${i}` }))), [100])
      // Full, so that it does not end before its chain does.
      disk.content.fill(0x05, clusterOffset(100) + 30 * 32, clusterOffset(101))
      const files = await openFiles(disk)
      expect((await checkPaths(files)).size).toBe(11)
      expect(codes(files)).toEqual(['CLUSTER_CHAIN_BROKEN'])
    }
  })

  test('of more than 256 MiB are none', async () => {
    const files = await openFiles(makeFiles(folder('a', 100, 2 ** 28 + 1)))
    await expect(collect(files.list(await files.stat('a')))).rejects.toMatchObject({ code: 'FILE_TOO_LARGE' })
  })

  test('a name is found without reading what comes after it', async () => {
    const disk = makeFiles({ ...folder('a', 100, 800 * clusterSize), contiguous: true })
    disk.content.fill(0x05, clusterOffset(100), clusterOffset(900))
    entrySet({ name: 'file', cluster: 11, size: 10 }).copy(disk.content, clusterOffset(110))
    const counting = new CountingDevice(disk)
    const files = await (await ExfatVolume.open(counting)).openFiles()
    const before = counting.bytesRead
    expect((await files.stat('/a/file')).size).toBe(10)
    expect(counting.bytesRead - before).toBeLessThan(300_000)
  })
})

describe('damage', () => {
  test('random bytes anywhere: entries, right content or errors of ours, soon', async () => {
    const disk = makeFiles(
      { name: 'file', cluster: 11, size: 2500 },
      { name: 'folder', cluster: 100, size: 1024, attributes: DIRECTORY },
      { name: 'row', cluster: 20, size: 2000, contiguous: true },
    )
    putChain(disk, [100])
    putContent(
      disk,
      Buffer.concat([entrySet({ name: 'in it', cluster: 13, size: 1500 }), entrySet({ name: 'b' })]),
      [100],
    )
    const sound = Buffer.from(disk.content)
    const places = [
      [0, 120],
      [fatEntry(0), fatEntry(20)],
      [fatEntry(100), fatEntry(101)],
      [clusterOffset(4), clusterOffset(4) + 450],
      [clusterOffset(5), clusterOffset(5) + 300],
      [clusterOffset(100), clusterOffset(100) + 200],
    ] as const
    const change = fc.tuple(
      fc.constantFrom(...places),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 0, max: 255 }),
    )
    const started = performance.now()
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), fc.boolean(), async (changes, repair) => {
        sound.copy(disk.content)
        for (const [[from, to], place, byte] of changes) disk.content[Math.floor(from + place * (to - from - 1))] = byte
        // With right checksums the damage goes deeper.
        if (repair) repairSets(disk)
        await exercise(disk)
      }),
      { numRuns: 500 },
    )
    expect(performance.now() - started).toBeLessThan(60_000)
  })

  function repairSets(disk: MemoryDevice): void {
    for (let at = clusterOffset(4); at < clusterOffset(5); at += 32) {
      if (disk.content[at] !== 0x85) continue
      const end = at + (1 + disk.content[at + 1]!) * 32
      if (end <= clusterOffset(5)) withSetChecksum(disk.content.subarray(at, end))
    }
  }

  test('a directory full of noise', async () => {
    const disk = makeFiles({ name: 'folder', cluster: 100, size: 1024, attributes: DIRECTORY })
    putChain(disk, [100])
    const type = fc.constantFrom(0x85, 0xc0, 0xc1, 0xc1, 0x05, 0xe0, 0x81)
    const entry = fc.tuple(type, fc.integer({ min: 0, max: 4 }), fc.uint8Array({ minLength: 30, maxLength: 30 }))
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 32, maxLength: 32 }), async noise => {
        putContent(
          disk,
          Buffer.concat(noise.map(([type, count, bytes]) => Buffer.from([type, count, ...bytes]))),
          [100],
        )
        await exercise(disk)
      }),
      { numRuns: 200 },
    )
  })

  /** Does all there is to do with a volume; anything thrown has to be an error of ours. */
  async function exercise(disk: MemoryDevice): Promise<void> {
    try {
      const files = await openFiles(disk)
      const found = await scanned(files)
      expect(found.size).toBeLessThan(disk.size / 32)
      for (const entry of found.values()) {
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
