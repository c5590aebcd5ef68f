/** Damaged volumes: what can be made up for is, and said; else a named error. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { endOf, type Range } from '../../lib/device/ranges.ts'
import { DiskImageError, FormatError, StorageError } from '../../lib/errors.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { writeFiles } from '../helpers/disks.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith } from '../helpers/tools.ts'
import {
  attributePlace,
  flipCluster,
  openBytes,
  recordOf,
  recordPlace,
  runListPlace,
  type Survey,
  survey,
  volumeBytes,
  volumeTools,
} from './volumes.ts'

const CLUSTER = 4096

describeWith(volumeTools, 'a damaged volume', () => {
  let clean: Buffer
  let whole: Survey
  beforeAll(async () => {
    clean = await volumeBytes({ size: 8 * 1024 ** 2 }, async folder => {
      await writeFiles(folder, 10)
      writeFileSync(join(folder, 'pagefile.sys'), pattern(30_000))
    })
    whole = await survey(clean)
    expect(whole.codes).toEqual([])
    expect(whole.space.leftOut.length).toBe(1)
  })

  const damaged = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(clean)
    change(bytes)
    return bytes
  }

  describe('the boot sector', () => {
    test('zeroed: its backup in the last sector is used', async () => {
      const { volume, ranges, codes } = await survey(damaged(bytes => bytes.fill(0, 0, 512)))
      expect(codes).toEqual(['NTFS_BACKUP_BOOT_SECTOR_USED'])
      expect(volume.geometry).toEqual(whole.volume.geometry)
      expect(ranges).toEqual(whole.ranges)
    })

    test('zeroed, and the backup too: an error that names the first one', async () => {
      const bytes = damaged(bytes => bytes.fill(0, 0, 512).fill(0, bytes.length - 512))
      await expect(openBytes(bytes)).rejects.toThrow(/NTFS boot sector.oemId at byte 0x3 is 0x0/)
    })

    test('the backup differs, is damaged or is not there: a finding', async () => {
      const last = clean.length - 512
      const differs = await survey(damaged(bytes => bytes.writeUInt8(7, last + 0x48)))
      expect(differs.volume.findings).toMatchObject([
        { code: 'NTFS_BACKUP_BOOT_SECTOR', details: { differing: ['serial'] } },
      ])
      const broken = await survey(damaged(bytes => bytes.fill(0, last)))
      expect(broken.codes).toEqual(['NTFS_BACKUP_BOOT_SECTOR'])
      const cut = await survey(clean.subarray(0, last))
      expect(cut.codes).toEqual(['NTFS_BACKUP_BOOT_SECTOR'])
      expect(cut.space.usedBytes).toBe(whole.space.usedBytes - 512)
    })

    test('of a volume that is cut short: how much is missing', async () => {
      await expect(openBytes(clean.subarray(0, clean.length / 2))).rejects.toThrow(
        /NTFS_VOLUME_CUT|at most the 4194304 bytes/,
      )
    })

    test.each([
      ['nothing', Buffer.alloc(0)],
      ['one byte', Buffer.alloc(1)],
      ['zeros', Buffer.alloc(100_000)],
    ])('of %s: a named error', async (_, bytes) => {
      await expect(openBytes(bytes)).rejects.toThrow(FormatError)
    })

    test('a $MFT cluster outside of the volume, in the backup too', async () => {
      const bytes = damaged(bytes => {
        for (const at of [0, bytes.length - 512]) bytes.writeBigUInt64LE(2n ** 40n, at + 0x30)
      })
      await expect(openBytes(bytes)).rejects.toThrow(/mftLcn at byte 0x30 is 1099511627776, expected a cluster/)
    })

    test('a wrong $MFT cluster inside the volume: $MFTMirr leads there', async () => {
      const { ranges, codes } = await survey(damaged(bytes => bytes.writeBigUInt64LE(1000n, 0x30)))
      expect(codes).toEqual(['NTFS_MFT_MIRROR_USED', 'NTFS_BACKUP_BOOT_SECTOR'])
      expect(ranges).toEqual(whole.ranges)
    })

    test('in a partition that is larger: everything after the volume is copied too', async () => {
      const larger = Buffer.concat([clean, Buffer.alloc(70_000, 5)])
      const { space, ranges, codes } = await survey(larger)
      expect(codes).toEqual([])
      expect(space.usedBytes).toBe(whole.space.usedBytes + 70_000)
      expect(endOf(ranges.at(-1)!)).toBe(larger.length)
    })
  })

  describe('a file record', () => {
    test.each([0, 1, 2, 3])('%d torn: its copy in $MFTMirr is used', async number => {
      const { space, ranges, volume } = await survey(damaged(bytes => (bytes[recordPlace(bytes, number) + 510]! ^= 1)))
      expect(volume.findings).toMatchObject([{ code: 'NTFS_MFT_MIRROR_USED', details: { record: number } }])
      expect(space.findings).toEqual([])
      expect(ranges).toEqual(whole.ranges)
      expect(volume.label).toBe('Test')
    })

    test('0 torn, and its copy too: an error', async () => {
      const bytes = damaged(bytes => {
        const mirror = Number(bytes.readBigUInt64LE(0x38)) * CLUSTER
        for (const record of [recordPlace(bytes, 0), mirror]) bytes[record + 510]! ^= 1
      })
      await expect(openBytes(bytes)).rejects.toThrow(/NTFS file record 0 .* torn at byte 510, expected written whole/)
    })

    test('of $Bitmap torn: all clusters are copied, and that is said', async () => {
      const { space, ranges } = await survey(damaged(bytes => (bytes[recordPlace(bytes, 6) + 510]! ^= 1)))
      const count = Math.floor((clean.length - 512) / CLUSTER)
      expect(space.findings[0]).toMatchObject({ code: 'NTFS_BITMAP_UNKNOWN', details: { count } })
      expect(space.findings[0]!.message).toMatch(/does not tell of .*: NTFS file record 6 /)
      expect(space.clusters!.used).toBe(count)
      expect(covers(ranges, whole.ranges)).toBe(true)
    })

    test('of $UpCase torn: nothing is left out, and that is said', async () => {
      const { space, codes } = await survey(damaged(bytes => (bytes[recordPlace(bytes, 10) + 510]! ^= 1)))
      expect(space.leftOut).toEqual([])
      expect(codes).toContain('NTFS_DAMAGED_FILE')
    })

    test.each([
      ['zeros, by which all names of a length are one', (table: Buffer) => table.fill(0)],
      ['one letter changed', (table: Buffer) => table.writeUInt16LE(0x58, 2 * 0x70)],
    ])('of $UpCase, its table %s: nothing is left out, and that is said', async (_, change) => {
      const runList = runListPlace(clean, 10)
      const lcn = clean.readUIntLE(runList + 1 + (clean[runList]! & 15), clean[runList]! >>> 4)
      const { space, codes } = await survey(
        damaged(bytes => change(bytes.subarray(lcn * CLUSTER, lcn * CLUSTER + 131072))),
      )
      expect(space.leftOut).toEqual([])
      expect(codes).toEqual(['NTFS_DAMAGED_FILE'])
    })

    test('of a file torn: told with its number; its clusters are copied by $Bitmap', async () => {
      const number = recordOf(clean, 'one cluster')
      const { space, ranges } = await survey(damaged(bytes => (bytes[recordPlace(bytes, number) + 510]! ^= 1)))
      expect(space.findings).toMatchObject([
        { code: 'NTFS_DAMAGED_RECORDS', message: expect.stringContaining(`record ${number}: torn at byte 510`) },
        { code: 'NTFS_UNOWNED_CLUSTERS', details: { count: 1 } },
      ])
      expect(ranges).toEqual(whole.ranges)
    })

    test('marked BAAD is damaged, too', async () => {
      const number = recordOf(clean, 'one cluster')
      const { codes } = await survey(damaged(bytes => bytes.write('BAAD', recordPlace(bytes, number), 'latin1')))
      expect(codes).toEqual(['NTFS_DAMAGED_RECORDS', 'NTFS_UNOWNED_CLUSTERS'])
    })

    test.each([0, 0xff, 7])('that is not in use may hold anything, such as bytes %d', async junk => {
      const free = recordPlace(clean, 20)
      expect(clean.readUInt16LE(free + 0x16)).toBe(0)
      const { ranges, codes } = await survey(damaged(bytes => bytes.fill(junk, free, free + 1024)))
      expect(codes).toEqual([])
      expect(ranges).toEqual(whole.ranges)
    })
  })

  test('clusters that files own but $Bitmap has as free are copied and told', async () => {
    const number = recordOf(clean, 'large.bin')
    const bytes = damaged(() => {})
    const runList = runListPlace(bytes, number)
    const lcn = bytes.readUIntLE(runList + 1 + (bytes[runList]! & 15), bytes[runList]! >>> 4)
    for (const cluster of [lcn + 3, lcn + 4, lcn + 100]) flipCluster(bytes, cluster)
    const { space, ranges } = await survey(bytes)
    expect(space.findings).toMatchObject([
      {
        code: 'NTFS_OWNED_BUT_FREE',
        message: expect.stringContaining(`cluster ${lcn + 3} of record ${number}, \\a\\deep\\er\\folder\\large.bin`),
        details: { count: 3 },
      },
    ])
    expect(ranges).toEqual(whole.ranges)
    expect(space.clusters!.used).toBe(whole.space.clusters!.used - 3)
  })

  test('clusters that $Bitmap has as used but nobody owns are copied and told', async () => {
    const free = clean.length / CLUSTER - 10
    const { space } = await survey(damaged(bytes => flipCluster(bytes, free)))
    expect(space.findings).toMatchObject([
      { code: 'NTFS_UNOWNED_CLUSTERS', message: expect.stringContaining(`cluster ${free}`) },
    ])
    expect(space.usedBytes).toBe(whole.space.usedBytes + CLUSTER)
  })

  test('a $Bitmap that is too short counts the rest as used', async () => {
    const bytes = damaged(bytes => bytes.writeBigUInt64LE(128n, attributePlace(bytes, 6, 0x80) + 0x30))
    const { space } = await survey(bytes)
    expect(space.findings[0]).toMatchObject({ code: 'NTFS_BITMAP_UNKNOWN', details: { count: 1024 } })
    expect(space.usedBytes).toBeGreaterThan(whole.space.usedBytes)
  })

  test('a $Bitmap whose last extents are lost counts what they told of as used', async () => {
    const bytes = damaged(bytes => {
      // The first extent is there, with the sizes, but has no clusters.
      bytes.writeBigInt64LE(-1n, attributePlace(bytes, 6, 0x80) + 0x18)
      bytes[runListPlace(bytes, 6)] = 0
    })
    const { space, ranges } = await survey(bytes)
    expect(space.findings.map(({ code }) => code)).toContain('NTFS_BITMAP_UNKNOWN')
    expect(covers(ranges, whole.ranges)).toBe(true)
  })

  test('$Bitmap after its initialized size is free, and what files own there is copied', async () => {
    const bytes = damaged(bytes => bytes.writeBigUInt64LE(8n, attributePlace(bytes, 6, 0x80) + 0x38))
    const { space, ranges } = await survey(bytes)
    expect(space.findings[0]!.code).toBe('NTFS_OWNED_BUT_FREE')
    expect(covers(ranges, whole.ranges)).toBe(true)
  })

  describe('every byte turned over', () => {
    /** The volume opens with the same clusters, or says that something is wrong, or is refused with a named error. */
    async function check(at: number, mask: number): Promise<void> {
      clean[at]! ^= mask
      try {
        const { ranges, codes, volume } = await survey(clean)
        const told = codes.length > 0 || volume.hazards.length > 0
        if (!told && !covers(ranges, whole.ranges)) throw new Error('clusters are missing without a word')
      } catch (error) {
        if (!(error instanceof DiskImageError)) throw new Error(`byte ${at}, mask ${mask}: ${(error as Error).stack}`)
        expect(error.message).toMatch(/expected|more than|needs|marked|has no|asked/)
      } finally {
        clean[at]! ^= mask
      }
    }

    test('of the boot sector', async () => {
      for (let at = 0; at < 0x54; at++) {
        for (const mask of [0x01, 0x80, 0xff]) await check(at, mask)
      }
    })

    test.each([
      ['$MFT', 0],
      ['$Volume', 3],
      ['the root directory', 5],
      ['$Bitmap', 6],
      ['$BadClus', 8],
      ['$UpCase', 10],
    ])('of the record of %s', async (_, number) => {
      await flipRecord(number)
    })

    test.each(['large.bin', 'pagefile.sys', 'with stream.txt'])('of the record of %s', async name => {
      await flipRecord(recordOf(clean, name))
    })

    async function flipRecord(number: number): Promise<void> {
      const record = recordPlace(clean, number)
      const used = clean.readUInt32LE(record + 0x18)
      for (let at = record; at < record + used; at++) {
        for (const mask of [0x01, 0xff]) await check(at, mask)
      }
    }
  })

  describe('a disk with unreadable sectors', () => {
    const open = (unreadable: readonly Range[]) =>
      NtfsVolume.open(new FaultyDevice(new MemoryDevice(clean), { unreadable }))

    test('in $MFT: the records there are damaged, the others are not', async () => {
      const number = recordOf(clean, 'one cluster')
      const volume = await open([{ offset: recordPlace(clean, number) + 512, length: 512 }])
      const space = await volume.usedSpace()
      expect(space.findings).toMatchObject([
        { code: 'NTFS_DAMAGED_RECORDS', details: { count: 1 } },
        { code: 'NTFS_UNOWNED_CLUSTERS', details: { count: 1 } },
      ])
      expect(space.usedBytes).toBe(whole.space.usedBytes)
    })

    test('in the first record: $MFTMirr is used', async () => {
      const volume = await open([{ offset: recordPlace(clean, 0), length: 512 }])
      expect(volume.findings).toMatchObject([{ code: 'NTFS_MFT_MIRROR_USED' }])
      expect((await volume.usedSpace()).usedBytes).toBe(whole.space.usedBytes)
    })

    test('in $Bitmap: what it does not tell counts as used', async () => {
      const runList = runListPlace(clean, 6)
      const lcn = clean.readUIntLE(runList + 1 + (clean[runList]! & 15), clean[runList]! >>> 4)
      const volume = await open([{ offset: lcn * CLUSTER, length: 512 }])
      const space = await volume.usedSpace()
      expect(space.findings[0]).toMatchObject({ code: 'NTFS_BITMAP_UNKNOWN' })
      expect(space.usedBytes).toBeGreaterThanOrEqual(clean.length - CLUSTER - 30_000 - CLUSTER)
    })

    test('pulled out: no answer is made up', async () => {
      let failures = 0
      for (let requests = 0; ; requests++) {
        const disk = new FaultyDevice(new MemoryDevice(clean), { requests })
        try {
          await (await NtfsVolume.open(disk)).usedSpace()
          break
        } catch (error) {
          expect(error).toBeInstanceOf(StorageError)
          expect(error).toMatchObject({ code: 'DEVICE_GONE' })
          failures++
        }
      }
      expect(failures).toBeGreaterThan(10)
    })
  })

  test('a survey that is aborted ends with the reason', async () => {
    const reason = new Error('enough')
    const volume = await openBytes(clean)
    await expect(volume.usedSpace({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const exclude = () => {
      controller.abort(reason)
      return false
    }
    await expect(volume.usedSpace({ signal: controller.signal, exclude })).rejects.toBe(reason)
  })
})

/** Whether `ranges` has all that `needed` has. Both in order. */
const covers = (ranges: readonly Range[], needed: readonly Range[]) =>
  needed.every(need => ranges.some(range => range.offset <= need.offset && endOf(range) >= endOf(need)))
