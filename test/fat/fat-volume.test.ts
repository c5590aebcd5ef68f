/** Volumes that mkfs.fat makes and mtools fills: what other tools find in the used ranges alone must be all there is. */
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { normalizeRanges, subtractRanges, totalLength } from '../../lib/device/ranges.ts'
import { FormatError } from '../../lib/errors.ts'
import { FatVolume } from '../../lib/fat/fat-volume.ts'
import { openVolume } from '../../lib/image/open-volume.ts'
import { collect } from '../helpers/collect.ts'
import { hashTree } from '../helpers/disks.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run } from '../helpers/tools.ts'
import { writeUsedOnly } from '../helpers/used-only.ts'
import { VastDevice } from '../helpers/vast-device.ts'
import { END, type MadeFat, makeFat } from './make-fat.ts'

const MiB = 2 ** 20
const DELETED = 'the content of a deleted file. '

/** A new file with a FAT volume in it. */
async function makeVolume(folder: Scratch, size: number, args: readonly string[]): Promise<string> {
  const path = folder.path('volume')
  await writeFile(path, '', { flag: 'wx' })
  await truncate(path, size)
  await run('mkfs.fat', [...args, path])
  return path
}

/** Its files can be tried, what is in use cannot be known. */
async function expectSuspicion(volume: FatVolume, code: string): Promise<void> {
  expect(volume.findings).toMatchObject([{ code }])
  await expect(volume.usedSpace()).rejects.toMatchObject({ name: 'FormatError', code })
  expect((await volume.openFiles()).findings).toEqual([])
}

/** Files in folders, with some deleted between them, so that the used clusters lie here and there. */
async function fill(folder: Scratch, path: string, clusterSize: number): Promise<void> {
  const source = folder.path('source')
  await mkdir(`${source}/a/b`, { recursive: true })
  const sizes = [1, clusterSize - 1, clusterSize, clusterSize + 1, 5 * clusterSize + 7]
  for (const [i, size] of sizes.entries()) {
    await writeFile(`${source}/file ${i}.bin`, pattern(size, i))
    await writeFile(`${source}/a/b/${i}`, pattern(size, i + 100))
  }
  for (const name of ['first', 'second']) await writeFile(folder.path(name), Buffer.alloc(4 * clusterSize, DELETED))
  const mtools = { env: { MTOOLS_SKIP_CHECK: '1' } }
  await run('mcopy', ['-i', path, folder.path('first'), '::first'], mtools)
  await run('mcopy', ['-i', path, '-s', `${source}/a`, '::a'], mtools)
  await run('mcopy', ['-i', path, folder.path('second'), '::second'], mtools)
  for (const i of sizes.keys()) await run('mcopy', ['-i', path, `${source}/file ${i}.bin`, '::'], mtools)
  await run('mdel', ['-i', path, '::first', '::second'], mtools)
}

/** Used and all clusters, as fsck.fat counts them. */
async function fsck(path: string): Promise<{ used: number; total: number }> {
  const { stdout } = await run('fsck.fat', ['-n', path], { exitCodes: [0, 1] })
  const [, used, total] = /(\d+)\/(\d+) clusters/.exec(stdout)!
  return { used: Number(used), total: Number(total) }
}

describeWith(['mkfs.fat', 'fsck.fat', 'mcopy', 'mdel', 'tsk_recover'], 'made by mkfs.fat, filled by mtools', () => {
  test.each<[string, number, string, number, readonly string[]]>([
    ['a floppy', 1440 * 1024, 'FAT12', 512, ['-F', '12']],
    ['FAT12 to its last cluster', 4084 * 512 + 40 * 512, 'FAT12', 512, ['-F', '12', '-s', '1', '-a']],
    ['one FAT only', 8 * MiB, 'FAT12', 4096, ['-F', '12', '-s', '8', '-f', '1']],
    ['FAT16', 32 * MiB, 'FAT16', 2048, ['-F', '16', '-s', '4']],
    ['clusters of 64 KiB', 64 * MiB, 'FAT12', 65_536, ['-s', '128', '-F', '12']],
    ['FAT32', 40 * MiB, 'FAT32', 512, ['-F', '32', '-s', '1']],
    ['sectors of 4096 bytes', 64 * MiB, 'FAT16', 4096, ['-F', '16', '-S', '4096', '-s', '1']],
    ['many reserved sectors', 16 * MiB, 'FAT16', 2048, ['-F', '16', '-R', '77', '-s', '4']],
  ])('%s', async (_, size, fileSystem, clusterSize, args) => {
    await using folder = await scratch()
    const path = await makeVolume(folder, size, ['-n', 'MY LABEL', ...args])
    await fill(folder, path, clusterSize)
    await using device = await FileDevice.open(path)
    const volume = await FatVolume.open(device)
    expect(volume).toMatchObject({ fileSystem, clusterSize, label: 'MY LABEL', hazards: [], findings: [] })
    expect(volume.sectorSize).toBe(args.includes('4096') ? 4096 : 512)
    const space = await volume.usedSpace()
    expect(space).toMatchObject({ clusters: { size: clusterSize, ...(await fsck(path)) }, findings: [] })
    const ranges = await collect(space.ranges())
    expect(totalLength(ranges)).toBe(space.usedBytes)
    expect(ranges).toEqual(normalizeRanges(ranges))
    expect(await collect(space.ranges())).toEqual(ranges)

    const copy = folder.path('copy')
    await writeUsedOnly(device, space, copy)
    await run('tsk_recover', ['-a', copy, folder.path('recovered')])
    expect(await hashTree(folder.path('recovered'))).toEqual(await hashTree(folder.path('source')))
    expect((await readFile(path)).includes(DELETED)).toBe(true)
    expect((await readFile(copy)).includes(DELETED)).toBe(false)
  })

  test('FAT32 with fewer clusters than the specification allows', async () => {
    await using folder = await scratch()
    const path = await makeVolume(folder, 20 * MiB, ['-F', '32', '-s', '8'])
    await using device = await FileDevice.open(path)
    const volume = await FatVolume.open(device)
    expect(volume.fileSystem).toBe('FAT32')
    expect((await volume.usedSpace()).clusters).toEqual({ size: 4096, ...(await fsck(path)) })
  })

  test('a volume smaller than its partition: what is behind it is copied', async () => {
    await using folder = await scratch()
    const path = await makeVolume(folder, 4 * MiB, ['-F', '12'])
    const device = new MemoryDevice(Buffer.concat([await readFile(path), pattern(MiB)]))
    const ranges = await collect((await (await FatVolume.open(device)).usedSpace()).ranges())
    expect(subtractRanges([{ offset: 4 * MiB, length: MiB }], ranges)).toEqual([])
  })
})

describe.each([12, 16, 32] as const)('FAT%i', width => {
  const open = async (made: MadeFat) => FatVolume.open(made.disk)
  const CLEAN_BITS = { 16: [0x8000, 0x4000], 32: [0x08000000, 0x04000000] } as const

  test('used clusters, everything in front of them and behind them', async () => {
    const made = makeFat(width)
    const volume = await open(made)
    const used = width === 32 ? [2, 3, 10, 12] : [3, 10, 12]
    expect(volume).toMatchObject({ fileSystem: `FAT${width}`, label: 'ROOT LABEL', hazards: [], findings: [] })
    const space = await volume.usedSpace()
    expect(space.clusters).toEqual({ size: 1024, total: made.clusterCount, used: used.length })
    expect(space.findings).toEqual([])
    expect(await collect(space.ranges())).toEqual(
      normalizeRanges([
        { offset: 0, length: made.dataOffset },
        ...used.map(cluster => ({ offset: made.clusterOffset(cluster), length: 1024 })),
      ]),
    )
  })

  test('the label: of the root, else of the boot sector', async () => {
    const made = makeFat(width)
    made.root(0, '\xe5OOT LABEL ', 0x08)
    expect((await open(made)).label).toBe('BOOT LABEL')
    made.root(0, 'LONG NAME  ', 0x0f)
    expect((await open(made)).label).toBe('BOOT LABEL')
    made.root(0, '\x05TAT \x84     ', 0x28)
    expect((await open(made)).label).toBe('\ufffdTAT \ufffd')
    made.root(0, 'NO NAME    ', 0x08)
    made.disk.content.fill(' ', width === 32 ? 71 : 43, width === 32 ? 82 : 54)
    expect((await open(made)).label).toBeUndefined()
  })

  test('bad clusters hold nothing, and are reported', async () => {
    const made = makeFat(width)
    made.set(20, END[width] - 8)
    const space = await (await open(made)).usedSpace()
    expect(space.clusters!.used).toBe(width === 32 ? 4 : 3)
    expect(space.findings.map(({ code }) => code)).toEqual(
      width === 32 ? ['FAT_BAD_CLUSTERS', 'FAT_FREE_COUNT'] : ['FAT_BAD_CLUSTERS'],
    )
  })

  test('copies that differ: what one of them says is used is copied, and it is reported', async () => {
    const made = makeFat(width)
    made.set(10, 0, [0])
    made.set(30, END[width], [1])
    const space = await (await open(made)).usedSpace()
    expect(space.clusters!.used).toBe(width === 32 ? 5 : 4)
    expect(space.findings[0]).toMatchObject({ code: 'FAT_COPIES_DIFFER', details: { clusters: 2 } })
  })

  test('entries that lead nowhere are reported', async () => {
    const made = makeFat(width)
    made.set(12, made.clusterCount + 2)
    expect(await (await open(made)).usedSpace()).toMatchObject({
      clusters: { used: width === 32 ? 4 : 3 },
      findings: [{ code: 'FAT_ENTRIES_STRAY', details: { clusters: 1 } }],
    })
  })

  test('in use: a flag of the boot sector, or a bit of the FAT', async () => {
    const made = makeFat(width)
    made.disk.content[width === 32 ? 65 : 37] = 1
    expect((await open(made)).hazards).toMatchObject([{ code: 'FAT_DIRTY' }])
    made.disk.content[width === 32 ? 65 : 37] = 0
    if (width === 12) return
    made.set(1, END[width] - CLEAN_BITS[width][0])
    expect((await open(made)).hazards).toMatchObject([{ code: 'FAT_DIRTY' }])
    made.set(1, END[width] - CLEAN_BITS[width][1])
    expect(await open(made)).toMatchObject({ hazards: [], findings: [{ code: 'FAT_DISK_ERRORS' }] })
  })

  test.each([0, 1])('copy %i of the FAT that does not begin as one', async copy => {
    const made = makeFat(width)
    made.disk.content[made.fats[copy]!] = 0
    await expectSuspicion(await open(made), 'FAT_MEDIA_MISMATCH')
  })

  test('clusters that are not where the boot sector says', async () => {
    const made = makeFat(width)
    made.disk.content.copyWithin(made.clusterOffset(3) + 512, made.clusterOffset(3), made.clusterOffset(4))
    made.disk.content.fill(0, made.clusterOffset(3), made.clusterOffset(3) + 512)
    // FAT32 has a backup boot sector, which says that this is right.
    if (width === 32) return expect(await open(made)).toMatchObject({ findings: [] })
    await expectSuspicion(await open(made), 'FAT_CLUSTERS_MISPLACED')
  })

  test('a volume larger than the device', async () => {
    const made = makeFat(width)
    const cut = new MemoryDevice(made.disk.content.subarray(0, -512))
    await expect(FatVolume.open(cut)).rejects.toMatchObject({
      code: 'FAT_BOOT_SECTOR_BAD',
      details: { field: width === 12 ? 'totalSectors16' : 'totalSectors32' },
    })
    await expect(FatVolume.open(new MemoryDevice(made.disk.content.subarray(0, 600)))).rejects.toBeInstanceOf(
      FormatError,
    )
  })

  test('each byte of the boot sector flipped: all that is used is copied, or something is said', async () => {
    const made = makeFat(width)
    const truth = await collect((await (await open(made)).usedSpace()).ranges())
    for (let byte = 0; byte < 512; byte++) {
      for (const mask of [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff]) {
        made.disk.content[byte]! ^= mask
        try {
          const volume = await openVolume(made.disk)
          const space = await volume.usedSpace()
          const said = volume.hazards.length + volume.findings.length + space.findings.length
          const lost = subtractRanges(truth, await collect(space.ranges()))
          if (said === 0) expect(lost, `byte ${byte} ^ ${mask}`).toEqual([])
        } catch (error) {
          expect(error, `byte ${byte} ^ ${mask}`).toBeInstanceOf(FormatError)
        }
        made.disk.content[byte]! ^= mask
      }
    }
  })
})

describe('FAT32', () => {
  test('one live copy of the FAT: the others are not asked', async () => {
    const made = makeFat(32)
    for (const sector of [0, 6]) made.disk.content.writeUInt16LE(0x81, sector * 512 + 40)
    made.set(10, 0, [0])
    made.set(11, 5, [0])
    made.set(20, END[32], [1])
    const space = await (await FatVolume.open(made.disk)).usedSpace()
    expect(space).toMatchObject({ clusters: { used: 5 }, findings: [{ code: 'FAT_FREE_COUNT' }] })
  })

  test('a live copy that does not exist', async () => {
    const made = makeFat(32)
    made.disk.content.writeUInt16LE(0x82, 40)
    await expect(FatVolume.open(made.disk)).rejects.toMatchObject({ details: { field: 'fatCount' } })
  })

  test('the high four bits of an entry do not count', async () => {
    const made = makeFat(32)
    made.set(20, 0xf0000000)
    expect(await (await FatVolume.open(made.disk)).usedSpace()).toMatchObject({ clusters: { used: 4 }, findings: [] })
  })

  test.each<[string, number, (made: MadeFat) => void, RegExp]>([
    ['points to itself', 2, made => made.set(2, 2), /runs in a circle/],
    ['leads nowhere', 2, made => made.set(2, 5001 + 1), /leads to cluster 5002, which does not exist/],
    ['begins nowhere', 0, () => {}, /leads to a free cluster/],
  ])('a root whose chain %s', async (_, rootCluster, damage, message) => {
    const made = makeFat(32)
    for (const sector of [0, 6]) made.disk.content.writeUInt32LE(rootCluster, sector * 512 + 44)
    // Full, so that it does not end before its chain does.
    for (let slot = 1; slot < 32; slot++) made.root(slot, `FILE${slot}`.padEnd(11), 0x20)
    damage(made)
    expect((await FatVolume.open(made.disk)).findings).toMatchObject([
      { code: 'FAT_ROOT_BROKEN', message: expect.stringMatching(message) },
    ])
  })

  test('a free count that is wrong is reported, one that is unknown is not', async () => {
    const made = makeFat(32)
    made.disk.content.writeUInt32LE(77, 512 + 488)
    expect((await (await FatVolume.open(made.disk)).usedSpace()).findings).toMatchObject([
      { code: 'FAT_FREE_COUNT', details: { expected: 4996, actual: 77 } },
    ])
    made.disk.content.writeUInt32LE(0xffffffff, 512 + 488)
    expect((await (await FatVolume.open(made.disk)).usedSpace()).findings).toEqual([])
  })

  test('a backup boot sector that puts clusters elsewhere', async () => {
    const made = makeFat(32)
    made.disk.content[6 * 512 + 13] = 4
    await expectSuspicion(await FatVolume.open(made.disk), 'FAT_BACKUP_DIFFERS')
  })

  test('without a backup the folders of the root are asked', async () => {
    const made = makeFat(32)
    made.disk.content.writeUInt16LE(0, 50)
    expect((await FatVolume.open(made.disk)).findings).toEqual([])
    made.disk.content.fill(0, made.clusterOffset(3), made.clusterOffset(4))
    await expectSuspicion(await FatVolume.open(made.disk), 'FAT_CLUSTERS_MISPLACED')
  })
})

test('a FAT of 256 MiB is counted in bounded memory', async () => {
  const clusterCount = 0x03fffff0
  const fatSectors = 2 ** 19
  const made = makeFat(32)
  const sector = Buffer.from(made.disk.content.subarray(0, 512))
  const dataSectors = 8 + fatSectors
  sector[13] = 1
  sector[16] = 1
  sector.writeUInt32LE(dataSectors + clusterCount, 32)
  sector.writeUInt32LE(fatSectors, 36)
  sector.writeUInt16LE(0, 50)
  const device = new VastDevice((dataSectors + clusterCount) * 512)
  await device.write(0, sector)
  await device.write(8 * 512, Buffer.from('f8ffff0fffffff0fffffff0f', 'hex'))
  await device.write(8 * 512 + (clusterCount + 1) * 4, Buffer.from('ffffff0f', 'hex'))
  const before = process.memoryUsage().rss
  const space = await (await FatVolume.open(device)).usedSpace()
  expect(space.clusters).toEqual({ size: 512, total: clusterCount, used: 2 })
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * MiB)
})

describe.each([12, 16, 32] as const)('FAT%i: unreadable sectors', width => {
  const SECTOR = 512
  const survey = async ({ disk }: MadeFat, ...offsets: readonly number[]) => {
    const unreadable = offsets.map(offset => ({ offset, length: SECTOR }))
    const volume = await FatVolume.open(new FaultyDevice(disk, { unreadable }))
    const { findings, ranges, clusters } = await volume.usedSpace()
    const codes = [...volume.findings, ...findings].map(({ code }) => code)
    return { codes: codes.sort(), used: clusters!.used, ranges: await collect(ranges()) }
  }
  const made = makeFat(width)
  for (const cluster of [300, 345, 600, 900]) made.set(cluster, END[width])

  test('of one copy of the FAT: the other serves', async () => {
    const sound = await survey(made)
    for (const copy of [0, 1] as const) {
      for (const sector of [0, 1, 2]) {
        expect(await survey(made, made.fats[copy] + sector * SECTOR)).toEqual(sound)
      }
    }
    expect(await survey(made, made.fats[0] + SECTOR, made.fats[1])).toEqual(sound)
  })

  test('of both copies: what is not known counts as used, to the entry', async () => {
    const sound = await survey(made)
    const [first, end] = [Math.floor((SECTOR * 8) / width), Math.ceil((2 * SECTOR * 8) / width)]
    const found = await survey(made, made.fats[0] + SECTOR, made.fats[1] + SECTOR)
    const covered = { offset: made.clusterOffset(first), length: (end - first) * made.clusterSize }
    expect(found.codes).toContain('FAT_UNREADABLE')
    expect(found.ranges).toEqual(normalizeRanges([...sound.ranges, covered]))
    expect(totalLength(subtractRanges(found.ranges, sound.ranges)) / made.clusterSize).toBe(found.used - sound.used)
  })

  test('of the root directory and of what only proves something', async () => {
    const { codes, ...sound } = await survey(made)
    expect(await survey(made, made.rootOffset)).toEqual({ ...sound, codes: [...codes, 'FAT_ROOT_BROKEN'].sort() })
    for (const offset of [made.clusterOffset(3), ...(width === 32 ? [SECTOR, 6 * SECTOR] : [])]) {
      const found = await survey(made, offset)
      expect(found).toMatchObject(sound)
      expect(codes).toEqual(expect.arrayContaining(found.codes))
    }
  })

  test('a disk that is gone is gone', async () => {
    for (const requests of [0, 1, 2, 3]) {
      const gone = new FaultyDevice(made.disk, { requests })
      await expect(FatVolume.open(gone)).rejects.toMatchObject({ code: 'DEVICE_GONE' })
    }
  })
})
