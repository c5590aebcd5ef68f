import { truncate, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { normalizeRanges, subtractRanges, totalLength } from '../../lib/device/ranges.ts'
import { FormatError } from '../../lib/errors.ts'
import { ExfatVolume } from '../../lib/exfat/exfat-volume.ts'
import { openVolume } from '../../lib/image/open-volume.ts'
import { collect } from '../helpers/collect.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run } from '../helpers/tools.ts'
import { writeUsedOnly } from '../helpers/used-only.ts'
import { VastDevice } from '../helpers/vast-device.ts'
import {
  clusterCount,
  clusterOffset,
  clusterSize,
  entrySet,
  fatEntry,
  heapOffset,
  makeExfat,
  putChain,
  putChecksum,
} from './make-exfat.ts'

const MiB = 2 ** 20

const rangesOf = async (device: BlockDevice) => collect((await (await ExfatVolume.open(device)).usedSpace()).ranges())

describeWith(['mkfs.exfat', 'dump.exfat'], 'made by mkfs.exfat, counted by dump.exfat', () => {
  test.each<[string, number, readonly string[]]>([
    ['8 MiB, clusters of 512 bytes', 8 * MiB, ['-c', '512']],
    ['256 MiB', 256 * MiB, []],
    ['64 GiB, clusters of 128 KiB', 65_536 * MiB, ['-c', '128K']],
    ['128 GiB, clusters of 4 KiB: a bitmap of 4 MiB', 131_072 * MiB, ['-c', '4K']],
    ['clusters of 32 MiB', 65_536 * MiB, ['-c', '32M']],
  ])('%s', async (_, size, args) => {
    await using folder = await scratch()
    const path = folder.path('volume')
    await writeFile(path, '', { flag: 'wx' })
    await truncate(path, size)
    await run('mkfs.exfat', [...args, '-L', 'Ein Name', path])
    const { stdout } = await run('dump.exfat', [path])
    const number = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(stdout)![1])
    const total = number('Total Clusters')

    await using device = await FileDevice.open(path)
    const volume = await ExfatVolume.open(device)
    expect(volume).toMatchObject({ fileSystem: 'exFAT', label: 'Ein Name', hazards: [], findings: [] })
    const space = await volume.usedSpace()
    const used = total - number('Free Clusters')
    expect(space.clusters).toEqual({ size: number('Cluster size'), total, used })
    expect(totalLength(await collect(space.ranges()))).toBe(space.usedBytes)

    const copy = folder.path('copy')
    await writeUsedOnly(device, space, copy)
    expect((await run('dump.exfat', [copy])).stdout).toBe(stdout)
  })
})

test('the bitmap: runs and count equal a slow model', async () => {
  const disk = makeExfat()
  const bitmap = disk.content.subarray(clusterOffset(2), clusterOffset(2) + clusterCount / 8)
  // Runs of equal bytes as well as noise.
  const piece = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 20 }),
    fc.tuple(fc.constantFrom(0, 255), fc.integer({ min: 1, max: 40 })).map(([byte, n]) => new Uint8Array(n).fill(byte)),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async pieces => {
      bitmap.fill(0)
      bitmap.set(Buffer.concat(pieces).subarray(0, bitmap.length))
      const used = Array.from({ length: clusterCount }, (_, i) => i).filter(i => (bitmap[i >> 3]! >> (i % 8)) % 2 === 1)
      const space = await (await ExfatVolume.open(disk)).usedSpace()
      expect(space.clusters!.used).toBe(used.length)
      // The bitmap and the root directory are there whatever it says.
      const [bitmapIndex, rootIndex] = [0, 2]
      const end = clusterOffset(clusterCount + 2)
      expect(await collect(space.ranges())).toEqual(
        normalizeRanges([
          { offset: 0, length: heapOffset },
          ...[...used, bitmapIndex, rootIndex].map(i => ({ offset: clusterOffset(i + 2), length: clusterSize })),
          { offset: end, length: disk.size - end },
        ]),
      )
    }),
  )
})

test('label, cluster size, and what lies in front of the heap and behind it', async () => {
  const disk = makeExfat({ used: [2, 3, 4, 100] })
  const volume = await ExfatVolume.open(disk)
  expect(volume).toMatchObject({ label: 'Größe', clusterSize: 1024, sectorSize: 512, hazards: [], findings: [] })
  expect(await volume.usedSpace()).toMatchObject({
    clusters: { size: 1024, total: 1000, used: 4 },
    usedBytes: heapOffset + 4 * 1024 + 3 * 512,
    findings: [],
  })
  expect((await ExfatVolume.open(makeExfat({ label: '' }))).label).toBeUndefined()
})

test('a volume smaller than its partition: what is behind it is copied', async () => {
  const { content } = makeExfat()
  const ranges = await rangesOf(new MemoryDevice(Buffer.concat([content, Buffer.alloc(MiB)])))
  expect(subtractRanges([{ offset: content.length, length: MiB }], ranges)).toEqual([])
})

test('in use, and with read errors', async () => {
  expect((await ExfatVolume.open(makeExfat({ flags: 2 }))).hazards).toMatchObject([{ code: 'EXFAT_DIRTY' }])
  expect(await ExfatVolume.open(makeExfat({ flags: 4 }))).toMatchObject({
    hazards: [],
    findings: [{ code: 'EXFAT_MEDIA_FAILURE' }],
  })
})

test('two FATs: the active one and its bitmap count', async () => {
  const disk = makeExfat({ fatCount: 2, used: [2, 3, 4, 50] })
  disk.content[clusterOffset(3)] = 0b111
  expect((await (await ExfatVolume.open(disk)).usedSpace()).clusters!.used).toBe(4)
  disk.content[106] = 1
  expect((await (await ExfatVolume.open(disk)).usedSpace()).clusters!.used).toBe(3)
})

describe('boot regions', () => {
  const BACKUP = 12 * 512

  test('each byte of the main boot sector flipped: the backup serves', async () => {
    const disk = makeExfat({ used: [2, 4, 77, 500] })
    const truth = await rangesOf(disk)
    for (let byte = 0; byte < 512; byte++) {
      disk.content[byte]! ^= 0xff
      const volume = await openVolume(disk)
      expect(await collect((await volume.usedSpace()).ranges()), `byte ${byte}`).toEqual(truth)
      const said = [...volume.hazards, ...volume.findings].map(({ code }) => code)
      // Percent in use is in no checksum; the flags are not, but say too much.
      if (byte === 112) expect(said).toEqual([])
      else if (byte === 107) expect(said).toEqual([])
      else expect(said[0], `byte ${byte}`).toBe('EXFAT_BACKUP_BOOT_USED')
      disk.content[byte]! ^= 0xff
    }
  })

  test('each byte of the backup boot sector flipped: reported', async () => {
    const disk = makeExfat()
    const truth = await rangesOf(disk)
    for (let byte = 0; byte < 512; byte++) {
      if (byte === 112 || byte === 107) continue
      disk.content[BACKUP + byte]! ^= 0xff
      const volume = await ExfatVolume.open(disk)
      expect(await rangesOf(disk)).toEqual(truth)
      expect(volume.findings, `byte ${byte}`).toMatchObject([{ code: 'EXFAT_BACKUP_BOOT_DAMAGED' }])
      disk.content[BACKUP + byte]! ^= 0xff
    }
  })

  test('both damaged: the error is about the main one', async () => {
    const disk = makeExfat()
    disk.content[600] = 1
    disk.content[BACKUP + 600] = 1
    await expect(ExfatVolume.open(disk)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'EXFAT_BOOT_CHECKSUM',
      details: { position: 11 * 512 },
    })
  })

  test('a backup alone is not believed: something else may have been made over the rest', async () => {
    const disk = makeExfat()
    disk.content.fill(0, 0, BACKUP)
    expect((await openVolume(disk)).fileSystem).toBe('unknown')
  })

  test.each<[string, Parameters<typeof makeExfat>[0], string, string]>([
    ['sectors of 256 bytes', { sector: { bytesPerSectorShift: 8 } }, 'EXFAT_BOOT_SECTOR_BAD', 'bytesPerSectorShift'],
    [
      'sectors of 2^255 bytes',
      { sector: { bytesPerSectorShift: 255 } },
      'EXFAT_BOOT_SECTOR_BAD',
      'bytesPerSectorShift',
    ],
    [
      'clusters of 64 MiB',
      { sector: { sectorsPerClusterShift: 17 } },
      'EXFAT_BOOT_SECTOR_BAD',
      'sectorsPerClusterShift',
    ],
    ['no FAT', { sector: { fatCount: 0 } }, 'EXFAT_BOOT_SECTOR_BAD', 'fatCount'],
    ['a second FAT that is active and not there', { flags: 1 }, 'EXFAT_BOOT_SECTOR_BAD', 'flags'],
    ['a FAT too short', { sector: { fatLength: 7 } }, 'EXFAT_BOOT_SECTOR_BAD', 'fatLength'],
    ['a heap over the FAT', { sector: { heapOffset: 130 } }, 'EXFAT_BOOT_SECTOR_BAD', 'heapOffset'],
    ['a heap longer than the volume', { sector: { clusterCount: 1002 } }, 'EXFAT_BOOT_SECTOR_BAD', 'clusterCount'],
    ['four billion clusters', { sector: { clusterCount: 0xffffffff } }, 'EXFAT_BOOT_SECTOR_BAD', 'fatLength'],
    ['no clusters', { sector: { clusterCount: 0 } }, 'EXFAT_BOOT_SECTOR_BAD', 'clusterCount'],
    ['a root that is no cluster', { sector: { rootCluster: 1002 } }, 'EXFAT_BOOT_SECTOR_BAD', 'rootCluster'],
    ['a volume longer than the device', { sector: { volumeLength: 3000 } }, 'EXFAT_BOOT_SECTOR_BAD', 'volumeLength'],
    [
      'a volume of 2^53 sectors',
      { sector: { volumeLength: Number.MAX_SAFE_INTEGER } },
      'EXFAT_BOOT_SECTOR_BAD',
      'volumeLength',
    ],
  ])('%s, with a checksum that holds', async (_, plan, code, field) => {
    await expect(ExfatVolume.open(makeExfat(plan))).rejects.toMatchObject({
      name: 'FormatError',
      code,
      details: { field },
    })
  })

  test('a length above 2^53 is a FormatError', async () => {
    const disk = makeExfat()
    const region = disk.content.subarray(0, BACKUP)
    region.writeBigUInt64LE(2n ** 63n, 72)
    putChecksum(region)
    region.copy(disk.content, BACKUP)
    await expect(ExfatVolume.open(disk)).rejects.toMatchObject({ code: 'NUMBER_TOO_LARGE' })
  })

  test('a device that ends within the boot region', async () => {
    const { content } = makeExfat()
    for (const size of [0, 100, 512, 1000, 6143, 6144, 12_000]) {
      await expect(ExfatVolume.open(new MemoryDevice(content.subarray(0, size)))).rejects.toBeInstanceOf(FormatError)
    }
  })
})

describe('chains', () => {
  const rootEntry = (slot: number) => clusterOffset(4) + slot * 32
  /** No end mark in the root, so that its chain is followed. */
  const fillRoot = (disk: MemoryDevice) => {
    for (let slot = 2; slot < 32; slot++) disk.content[rootEntry(slot)] = 0x05
  }

  test('a root of several clusters: entries are found in all of them', async () => {
    const disk = makeExfat()
    fillRoot(disk)
    disk.content.copy(disk.content, clusterOffset(900), rootEntry(0), rootEntry(2))
    disk.content.fill(5, rootEntry(0), rootEntry(2))
    disk.content.writeUInt32LE(900, fatEntry(4))
    disk.content.writeUInt32LE(0xffffffff, fatEntry(900))
    expect(await ExfatVolume.open(disk)).toMatchObject({ label: 'Größe', findings: [] })
  })

  test.each<[string, number, RegExp]>([
    ['points to itself', 4, /runs in a circle/],
    ['leads nowhere', 1002, /leads to cluster 1002, which does not exist/],
    ['is free', 0, /leads to a free cluster/],
  ])('a root whose chain %s is reported, and the bitmap found before is used', async (_, next, message) => {
    const disk = makeExfat()
    fillRoot(disk)
    disk.content.writeUInt32LE(next, fatEntry(4))
    expect((await ExfatVolume.open(disk)).findings).toMatchObject([
      { code: 'EXFAT_ROOT_BROKEN', message: expect.stringMatching(message) },
    ])
    disk.content[rootEntry(1)] = 0x01
    await expect(ExfatVolume.open(disk)).rejects.toMatchObject({ name: 'FormatError', code: 'EXFAT_NO_BITMAP' })
  })

  test('no bitmap in the root', async () => {
    const disk = makeExfat()
    disk.content[rootEntry(1)] = 0x01
    await expect(ExfatVolume.open(disk)).rejects.toMatchObject({ name: 'FormatError', code: 'EXFAT_NO_BITMAP' })
  })

  test.each<[string, (entry: Buffer) => void]>([
    ['too short', entry => entry.writeBigUInt64LE(124n, 24)],
    ['in no cluster', entry => entry.writeUInt32LE(0, 20)],
    ['beyond the heap', entry => entry.writeUInt32LE(0xfffffff0, 20)],
  ])('a bitmap %s', async (_, damage) => {
    const disk = makeExfat()
    damage(disk.content.subarray(rootEntry(1), rootEntry(2)))
    await expect(ExfatVolume.open(disk)).rejects.toMatchObject({ name: 'FormatError', code: 'EXFAT_BITMAP_BAD' })
  })

  test('a bitmap length above 2^53 is a FormatError, one of 2^50 allocates nothing', async () => {
    const disk = makeExfat()
    disk.content.writeBigUInt64LE(2n ** 60n, rootEntry(1) + 24)
    await expect(ExfatVolume.open(disk)).rejects.toMatchObject({ code: 'NUMBER_TOO_LARGE' })
    disk.content.writeBigUInt64LE(2n ** 50n, rootEntry(1) + 24)
    expect((await (await ExfatVolume.open(disk)).usedSpace()).clusters!.used).toBe(2)
  })
})

describe('a bitmap in several clusters', () => {
  /** 100,000 clusters of 512 bytes: a bitmap of 12,500 bytes in 25 clusters, which lie in three places. */
  async function fragmented(chain: readonly number[]): Promise<VastDevice> {
    const clusters = 100_000
    const [fatOffset, fatLength, heap] = [128, 800, 1024]
    const small = makeExfat({
      sector: {
        clusterCount: clusters,
        fatOffset,
        fatLength,
        heapOffset: heap,
        volumeLength: heap + clusters,
        sectorsPerClusterShift: 0,
      },
    })
    const device = new VastDevice((heap + clusters) * 512)
    await device.write(0, small.content.subarray(0, 24 * 512))
    const at = (cluster: number) => (heap + cluster - 2) * 512
    const fat = Buffer.alloc(fatLength * 512)
    fat.writeUInt32LE(0xffffffff, 4 * 4)
    for (const [i, cluster] of chain.entries()) fat.writeUInt32LE(chain[i + 1] ?? 0xffffffff, cluster * 4)
    await device.write(fatOffset * 512, fat)
    const root = Buffer.from(small.content.subarray(clusterOffset(4), clusterOffset(4) + 512))
    root.writeUInt32LE(chain[0]!, 32 + 20)
    root.writeBigUInt64LE(12_500n, 32 + 24)
    await device.write(at(4), root)
    // Every bit that stands for cluster 2 + n * 1000.
    for (let bit = 0; bit < clusters; bit += 1000) {
      const byte = bit >> 3
      await device.write(at(chain[Math.floor(byte / 512)]!) + (byte % 512), Buffer.from([1 << (bit % 8)]))
    }
    return device
  }
  const chain = [
    ...Array.from({ length: 10 }, (_, i) => 500 + i),
    90_000,
    ...Array.from({ length: 14 }, (_, i) => 7 + i),
  ]

  test('is read along its chain', async () => {
    const device = await fragmented(chain)
    const space = await (await ExfatVolume.open(device)).usedSpace()
    expect(space.clusters).toEqual({ size: 512, total: 100_000, used: 100 })
    expect(space.findings).toMatchObject([{ code: 'EXFAT_OWNED_BUT_FREE', details: { clusters: 1 + 25 } }])
    const offsets = (await collect(space.ranges())).slice(1).map(({ offset }) => offset / 512 - 1024)
    const [root, ...runsOfBitmap] = [4, 500, 90_000, 7].map(cluster => cluster - 2)
    const marked = Array.from({ length: 99 }, (_, i) => (i + 1) * 1000)
    expect(offsets).toEqual([root, ...runsOfBitmap, ...marked].sort((a, b) => a! - b!))
  })

  test('that ends too soon', async () => {
    const device = await fragmented(chain)
    await device.write(128 * 512 + chain[23]! * 4, Buffer.from('ffffffff', 'hex'))
    await expect(ExfatVolume.open(device)).rejects.toMatchObject({
      code: 'EXFAT_BITMAP_BAD',
      message: expect.stringContaining('ends after 24'),
    })
  })

  test('that runs in a circle', async () => {
    const device = await fragmented(chain)
    const entry = Buffer.alloc(4)
    entry.writeUInt32LE(503)
    await device.write(128 * 512 + 507 * 4, entry)
    await expect(ExfatVolume.open(device)).rejects.toMatchObject({
      code: 'EXFAT_BITMAP_BAD',
      message: expect.stringContaining('runs in a circle'),
    })
  })
})

describe('clusters that the bitmap lost', () => {
  const files = [
    { name: 'contiguous', cluster: 10, size: 3 * clusterSize, contiguous: true },
    { name: 'chained', cluster: 20, size: 3 * clusterSize },
    { name: 'folder', cluster: 30, size: clusterSize, attributes: 0x10 },
  ]
  const owned = [2, 4, 10, 11, 12, 20, 25, 21, 30, 40]

  function made(used: readonly number[]): MemoryDevice {
    const disk = makeExfat({ root: files.map(entrySet), used })
    putChain(disk, [20, 25, 21])
    putChain(disk, [30])
    entrySet({ name: 'inside', cluster: 40, size: 100, contiguous: true }).copy(disk.content, clusterOffset(30))
    for (const cluster of [10, 11, 12, 20, 25, 21, 40])
      pattern(clusterSize, cluster).copy(disk.content, clusterOffset(cluster))
    return disk
  }

  test.each([
    ['one of a file without a chain', [11], '/contiguous'],
    ['one of a chain', [25], '/chained'],
    ['the whole folder', [30], '/folder'],
    ['that of a file in the folder', [40], '/folder/inside'],
    ['that of the root', [4], '/'],
    ['that of the bitmap', [2], 'the allocation bitmap itself'],
    ['all of them', owned, 'the allocation bitmap itself'],
  ])('%s', async (_, lost, owner) => {
    const disk = made(owned.filter(cluster => !lost.includes(cluster)))
    const space = await (await ExfatVolume.open(disk)).usedSpace()
    expect(space.findings).toEqual([
      {
        code: 'EXFAT_OWNED_BUT_FREE',
        message: expect.stringContaining(`belong to ${owner}`),
        details: { clusters: lost.length, owner },
      },
    ])
    expect(space.clusters!.used).toBe(owned.length - lost.length)
    const sound = await (await ExfatVolume.open(made(owned))).usedSpace()
    expect(sound.findings).toEqual([])
    expect(await collect(space.ranges())).toEqual(await collect(sound.ranges()))
    expect(space.usedBytes).toBe(totalLength(await collect(space.ranges())))
  })

  test('of files that share more than there is: everything is taken, and that is said', async () => {
    const all = { cluster: 2, size: clusterCount * clusterSize, contiguous: true }
    const disk = makeExfat({ root: Array.from({ length: 9 }, (_, i) => entrySet({ name: `${i}`, ...all })) })
    const space = await (await ExfatVolume.open(disk)).usedSpace()
    expect(space.findings).toMatchObject([{ code: 'EXFAT_USED_UNKNOWN' }])
    expect(await collect(space.ranges())).toEqual([{ offset: 0, length: disk.size }])
    expect(space.usedBytes).toBe(disk.size)
  })

  test('in a directory that cannot be read: that is said', async () => {
    const disk = made(owned)
    const unreadable = [{ offset: clusterOffset(30), length: clusterSize }]
    const space = await (await ExfatVolume.open(new FaultyDevice(disk, { unreadable }))).usedSpace()
    expect(space.findings).toMatchObject([{ code: 'DIRECTORY_UNREADABLE' }, { code: 'DIRECTORY_UNREADABLE' }])
  })

  test('the search stops when it is told to', async () => {
    const volume = await ExfatVolume.open(made(owned))
    await expect(volume.usedSpace({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
  })
})
