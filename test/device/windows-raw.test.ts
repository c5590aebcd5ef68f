import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openWindowsRaw, probeSize } from '../../lib/device/windows-raw.ts'
import { StorageError } from '../../lib/errors.ts'
import { pattern } from '../helpers/pattern.ts'
import { SectorsOnly } from '../helpers/sectors-only.ts'

const open = (medium: SectorsOnly, kind: 'disk' | 'volume' = 'disk', known = {}) =>
  openWindowsRaw(medium, kind, 'disk', known)

/** A disk of `sectors` whose partition table says that it has `claimed`. */
function gptDisk(sectors: number, claimed: number | bigint, sectorSize = 512): Buffer {
  const disk = pattern(sectors * sectorSize)
  disk.write('EFI PART', sectorSize, 'latin1')
  disk.writeBigUInt64LE(BigInt(claimed) - 1n, sectorSize + 32)
  return disk
}

function mbrDisk(sectors: number, partitions: [number, number][]): Buffer {
  const disk = pattern(sectors * 512).fill(0, 446, 510)
  for (const [i, [start, count]] of partitions.entries()) {
    disk.writeUInt32LE(start, 446 + i * 16 + 8)
    disk.writeUInt32LE(count, 446 + i * 16 + 12)
  }
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}

/** An NTFS volume of `sectors`, the backup boot sector included, without its last `missing`. */
function ntfsVolume(sectors: number, missing = 0, sectorSize = 512): Buffer {
  const volume = pattern((sectors - missing) * sectorSize)
  volume.write('NTFS    ', 3, 'latin1')
  volume.writeUInt16LE(sectorSize, 11)
  volume.writeBigUInt64LE(BigInt(sectors - 1), 40)
  return volume
}

describe('openWindowsRaw', () => {
  test.each([
    ['a GPT that is right', gptDisk(5000, 5000), 5],
    ['a GPT of a smaller disk', gptDisk(5000, 4000), 30],
    ['a GPT of a larger disk', gptDisk(5000, 1_000_000), 30],
    ['a GPT of nonsense', gptDisk(5000, 2n ** 64n - 1n), 40],
    [
      'an MBR',
      mbrDisk(5000, [
        [63, 1000],
        [2000, 2900],
      ]),
      30,
    ],
    ['a protective MBR', mbrDisk(5000, [[1, 0xffff_ffff]]), 50],
    ['nothing it says', pattern(5000 * 512), 40],
  ])('finds the size of a disk with %s', async (_, content, requests) => {
    const medium = new SectorsOnly(content, 512)
    expect(await open(medium)).toMatchObject({ size: 5000 * 512, sectorSize: 512 })
    expect(medium.requests.length).toBeLessThanOrEqual(requests)
  })

  test('finds sectors of 4096 bytes', async () => {
    const { size, sectorSize, medium } = await open(new SectorsOnly(gptDisk(300, 300, 4096), 4096))
    expect([size, sectorSize]).toEqual([300 * 4096, 4096])
    const target = Buffer.alloc(5)
    await medium.read(9000, target)
    expect(target.equals(pattern(5, 9000))).toBe(true)
  })

  test('a bad last sector is a sector', async () => {
    expect((await open(new SectorsOnly(gptDisk(5000, 5000), 512, [4999]))).size).toBe(5000 * 512)
    expect((await open(new SectorsOnly(pattern(5000 * 512), 512, [4999, 2500]))).size).toBe(5000 * 512)
  })

  test('a disk whose first sectors are bad has a size, and so has one of a single sector', async () => {
    for (const bad of [[0], [1], [0, 1]]) {
      expect((await open(new SectorsOnly(gptDisk(5000, 5000), 512, bad))).size).toBe(5000 * 512)
      expect((await open(new SectorsOnly(ntfsVolume(1000), 512, bad), 'volume')).size).toBe(1000 * 512)
    }
    expect(await open(new SectorsOnly(pattern(4096), 4096))).toMatchObject({ size: 4096, sectorSize: 4096 })
  })

  test('believes its caller', async () => {
    const medium = new SectorsOnly(pattern(5000 * 512), 512)
    expect(await open(medium, 'disk', { size: 1024, sectorSize: 4096 })).toMatchObject({ size: 1024, sectorSize: 4096 })
    expect(medium.requests.length).toBe(1)
  })

  test('an NTFS volume has the size that its boot sector says and one sector', async () => {
    for (const sectorSize of [512, 4096]) {
      const { size, medium } = await open(new SectorsOnly(ntfsVolume(1000, 0, sectorSize), sectorSize), 'volume')
      expect(size).toBe(1000 * sectorSize)
      const last = Buffer.alloc(sectorSize)
      await medium.read(size - sectorSize, last)
      expect(last.equals(pattern(sectorSize, size - sectorSize))).toBe(true)
    }
  })

  test('the last sector of an NTFS volume, which Windows does not show, reads as the first', async () => {
    const content = ntfsVolume(1000, 1)
    const { size, medium } = await open(new SectorsOnly(content, 512), 'volume')
    expect(size).toBe(1000 * 512)
    const whole = Buffer.alloc(size)
    await medium.read(0, whole)
    expect(whole.equals(Buffer.concat([content, content.subarray(0, 512)]))).toBe(true)
    const tail = Buffer.alloc(600)
    await medium.read(size - 600, tail)
    expect(tail.equals(whole.subarray(-600))).toBe(true)
    const some = Buffer.alloc(10)
    await medium.read(size - 10, some)
    expect(some.equals(content.subarray(502, 512))).toBe(true)
    await expect(medium.write(size - 512, Buffer.alloc(512))).rejects.toBeInstanceOf(StorageError)
  })

  test('a size that goes on behind the hidden last sector is not read: no byte of the target is left as it was', async () => {
    const content = ntfsVolume(1000, 1)
    const { size, medium } = await open(new SectorsOnly(content, 512), 'volume', { size: 1010 * 512 })
    expect(size).toBe(1010 * 512)
    for (const [offset, length] of [
      [1000 * 512, 512],
      [1000 * 512 + 10, 5],
      [1009 * 512, 512],
      [999 * 512, 1024],
      [998 * 512, 4096],
    ] as const) {
      await expect(medium.read(offset, Buffer.alloc(length, 0xee)), `byte ${offset}`).rejects.toMatchObject({
        name: 'StorageError',
        code: 'SHORT_READ',
        message: expect.stringMatching(/of disk: the volume ends at byte 512000\./),
      })
    }
    const last = Buffer.alloc(1024, 0xee)
    await medium.read(998 * 512, last)
    expect(last.equals(Buffer.concat([content.subarray(998 * 512), content.subarray(0, 512)]))).toBe(true)
  })

  test('a volume that ends before its boot sector says, or that is not NTFS, is as large as can be read', async () => {
    expect((await open(new SectorsOnly(ntfsVolume(1000, 5), 512), 'volume')).size).toBe(995 * 512)
    expect((await open(new SectorsOnly(pattern(995 * 512), 512), 'volume')).size).toBe(995 * 512)
    const nonsense = ntfsVolume(1000)
    nonsense.writeBigUInt64LE(2n ** 64n - 1n, 40)
    expect((await open(new SectorsOnly(nonsense, 512), 'volume')).size).toBe(1000 * 512)
  })

  test('a disk that begins like NTFS is still a disk', async () => {
    const disk = Buffer.concat([ntfsVolume(1000), pattern(500 * 512)])
    expect((await open(new SectorsOnly(disk, 512))).size).toBe(1500 * 512)
  })

  test('an empty device and one without end have no size', async () => {
    await expect(open(new SectorsOnly(Buffer.alloc(0), 512))).rejects.toMatchObject({ code: 'NO_SIZE' })
    await expect(probeSize(async () => true, 0, 'x')).rejects.toMatchObject({ code: 'NO_SIZE' })
    await expect(probeSize(async () => false, 9, 'x')).rejects.toMatchObject({ code: 'NO_SIZE' })
  })
})

test('probeSize finds every size from every hint', async () => {
  const sizes = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 2 ** 39 }))
  await fc.assert(
    fc.asyncProperty(sizes, fc.oneof(fc.nat(100), fc.nat(2 ** 45)), async (size, hint) => {
      let reads = 0
      const found = await probeSize(async sector => ++reads > 0 && sector < size, hint, 'disk')
      expect(found).toBe(size)
      expect(reads).toBeLessThanOrEqual(85)
    }),
  )
  let reads = 0
  expect(await probeSize(async sector => ++reads > 0 && sector < 5000, 5000, 'disk')).toBe(5000)
  expect(reads).toBe(2)
})
