/** Dirty logs, made by hand: in memory, on disk, and as qemu replays them. */
import { readFile, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { crc32cWithout } from '../../lib/binary/crc32c.ts'
import { NIL_GUID } from '../../lib/binary/guid.ts'
import { GiB, MiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { replayLogOnDisk } from '../../lib/vhdx/log-recovery.ts'
import { readSoundStructures } from '../../lib/vhdx/structures.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { corpusImage, sha256 } from '../helpers/corpus.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'
import { VastDevice } from '../helpers/vast-device.ts'
import { CrashingFile, PowerCut } from './crashing-file.ts'
import { DIRTY_IMAGES, type DirtyImage, diskAfterReplay } from './dirty-images.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { TestImage } from './test-image.ts'

let base: TestImage

beforeAll(async () => {
  base = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
})

function imageOf({ make }: DirtyImage): TestImage {
  const image = base.copy()
  make(image)
  return image
}

async function contentOf(disk: BlockDevice): Promise<Buffer> {
  const content = Buffer.alloc(disk.size, 0xaa)
  await disk.read(0, content)
  return content
}

describe('in memory', () => {
  test.each(DIRTY_IMAGES)('$name', async dirty => {
    const image = imageOf(dirty)
    const before = Buffer.from(image.content)
    const disk = await VhdxDevice.open(image.device)
    expect((await contentOf(disk)).equals(diskAfterReplay(dirty, image.content))).toBe(true)
    expect(disk.log).toBe('replayed')
    expect(disk.findings.map(({ code }) => code)).toEqual(['LOG_DIRTY'])
    const { summary } = await checkVhdx(image.device)
    expect(summary).toMatchObject({ errors: 0, counts: { LOG_DIRTY: 1 } })
    expect(summary.blocks).toMatchObject({ fullyPresent: Object.keys(dirty.blocks).length })
    expect(image.content.equals(before)).toBe(true)
  })

  test('a file of any writes, as a slow model has it', async () => {
    const page = (from: number) => fc.integer({ min: from, max: 8 * 256 - 1 }).map(n => n * 4096)
    const data = fc.array(fc.tuple(page(3 * 256), fc.nat(255)), { maxLength: 20 })
    const zeros = fc.array(fc.tuple(page(3 * 256), fc.integer({ min: 0, max: 600 })), { maxLength: 4 })
    const entries = fc.array(fc.record({ data, zeros }), { minLength: 1, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(
        entries,
        fc.nat(255),
        fc.bigInt({ min: 1n, max: 2n ** 64n - 10n }),
        async (entries, start, first) => {
          const image = base.copy()
          image.editHeaders({ logGuid: LOG_GUID })
          const expected = Buffer.alloc(16 * MiB)
          image.content.copy(expected)
          const tail = start * 4096
          let [offset, end] = [tail, image.content.length]
          for (const [n, { data, zeros }] of entries.entries()) {
            const entry = logEntry({
              sequenceNumber: first + BigInt(n),
              tail,
              zeros: zeros.map(([fileOffset, pages]) => ({ fileOffset, zeroLength: pages * 4096 })),
              data: data.map(([fileOffset, byte]) => ({ fileOffset, bytes: Buffer.alloc(4096, byte) })),
            })
            putInLog(image, offset, entry)
            offset = (offset + entry.length) % MiB
            for (const [at, pages] of zeros) expected.fill(0, at, at + pages * 4096)
            for (const [at, byte] of data) expected.fill(byte, at, at + 4096)
            end = Math.max(end, ...zeros.map(([at, pages]) => at + pages * 4096), ...data.map(([at]) => at + 4096))
          }
          // The log itself is what the replay reads, so it stands in the model as it is.
          image.content.copy(expected, MiB, MiB, 2 * MiB)
          const { file, replay } = await readSoundStructures(image.device)
          expect(replay?.fileSize).toBe(end)
          const content = Buffer.alloc(end, 0xaa)
          await file.read(0, content)
          expect(content.equals(expected.subarray(0, end))).toBe(true)
          for (const at of [0, MiB + 5, 3 * MiB - 7, 4 * MiB + 4095, end - 5000]) {
            const piece = Buffer.alloc(5000, 0xaa)
            await file.read(at, piece)
            expect(piece.equals(expected.subarray(at, at + 5000))).toBe(true)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  testWith(['corpus', 'tar', 'xz'], "Windows' own: the disk that only its log knows", async () => {
    const windows = corpusImage('vhdx/adiskreader/small_ntfs_test.vhdx')
    await using file = await FileDevice.open(await windows.unpack())
    const disk = await VhdxDevice.open(file)
    expect(await disk.allocatedBlocks()).toBe(2)
    expect(await sha256(disk)).toBe(windows.expected().virtualDisk.sha256)
  })
})

describe('memory and work are bounded', () => {
  test('zeros of terabytes are a range, not bytes', async () => {
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    const zeros = [{ fileOffset: 7 * MiB, zeroLength: 200 * 1024 * GiB }]
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, zeros }))
    const disk = await VhdxDevice.open(image.device)
    expect((await contentOf(disk)).subarray(0, MiB).equals(pattern(MiB))).toBe(true)
  })

  test('more descriptors than the largest log has sectors', async () => {
    const image = withHugeEntry(2 ** 20 + 1, () => 5 * MiB)
    const opening = VhdxDevice.open(image.device)
    await expect(opening).rejects.toMatchObject({ name: 'UnsupportedError', code: 'LOG_TOO_LARGE' })
    expect((await checkVhdx(image.device)).summary.counts).toMatchObject({ LOG_TOO_LARGE: 1 })
  })

  test('a million writes over each other, here and there', async () => {
    const count = 2 ** 20
    const image = withHugeEntry(count, n => 64 * MiB + ((n * 7919) % count) * 8192)
    const before = process.memoryUsage().rss
    const [start, disk] = [performance.now(), await VhdxDevice.open(image.device)]
    expect(disk.log).toBe('replayed')
    expect(performance.now() - start).toBeLessThan(30_000)
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * MiB)
  })

  /** An entry of `count` descriptors of zeros, each of 64 KiB, in a log as large as they need. */
  function withHugeEntry(count: number, target: (n: number) => number): TestImage {
    const image = base.copy()
    const one = logEntry({ sequenceNumber: 5n, zeros: [{ fileOffset: 0, zeroLength: 64 * 1024 }] })
    const entryLength = Math.ceil((64 + count * 32) / 4096) * 4096
    const log = { offset: 7 * MiB, length: Math.ceil(entryLength / MiB) * MiB }
    const entry = Buffer.alloc(entryLength).fill(one.subarray(64, 96), 64, 64 + count * 32)
    one.copy(entry, 0, 0, 64)
    entry.writeUInt32LE(entryLength, 8)
    entry.writeUInt32LE(count, 24)
    for (let n = 0; n < count; n++) entry.writeBigUInt64LE(BigInt(target(n)), 64 + n * 32 + 16)
    entry.writeUInt32LE(crc32cWithout(entry, 4), 4)
    image.content = Buffer.concat([image.content, entry], log.offset + log.length)
    image.editHeaders({ logGuid: LOG_GUID, logOffset: log.offset, logLength: log.length })
    return image
  }

  test('a log of 4 GiB that is a hole but for one entry', async () => {
    const image = base.copy()
    const log = { offset: 8 * MiB, length: 4095 * MiB }
    image.editHeaders({ logGuid: LOG_GUID, logOffset: log.offset, logLength: log.length })
    const file = new VastDevice(5 * GiB)
    await file.write(0, image.content)
    await file.write(log.offset + 3 * GiB, logEntry({ sequenceNumber: 5n, tail: 3 * GiB }))
    const counted = new CountingDevice(file)
    const start = performance.now()
    expect((await VhdxDevice.open(counted)).log).toBe('replayed')
    expect(counted.bytesRead).toBeLessThan(4 * MiB)
    expect(performance.now() - start).toBeLessThan(30_000)
  })

  test('what a log holds is read from it when it is needed', async () => {
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    const data = [{ fileOffset: 4 * MiB + 8192, bytes: pattern(4096) }]
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, data }))
    const file = new CountingDevice(image.device)
    const disk = await VhdxDevice.open(file)
    await disk.read(0, Buffer.alloc(512))
    file.reads.length = 0
    await disk.read(8000, Buffer.alloc(8192))
    expect(file.reads).toEqual([
      { offset: 4 * MiB + 8000, length: 192 },
      { offset: MiB + 4096, length: 4096 },
      { offset: MiB + 64, length: 32 },
      { offset: 4 * MiB + 12288, length: 3904 },
    ])
  })
})

describe('on disk', () => {
  test.each(DIRTY_IMAGES)('$name', async dirty => {
    await using folder = await scratch()
    const [path, image] = [folder.path('image.vhdx'), imageOf(dirty)]
    await writeFile(path, image.content)
    {
      await using file = await FileDevice.open(path, { mode: 'write' })
      expect(await replayLogOnDisk(file)).toBe(true)
      expect(file.size).toBe(dirty.fileSize ?? 7 * MiB)
      expect(await replayLogOnDisk(file)).toBe(false)
    }
    await using file = await FileDevice.open(path)
    const disk = await VhdxDevice.open(file)
    expect((await contentOf(disk)).equals(diskAfterReplay(dirty, image.content))).toBe(true)
    expect([disk.log, disk.findings]).toEqual(['clean', []])
    expect((await checkVhdx(file)).summary.errors).toBe(0)
  })

  test('both headers are clean, the file is another one, the disk is the same one', async () => {
    const image = imageOf(DIRTY_IMAGES[0]!)
    const before = (await VhdxDevice.open(image.device)).header
    const file = new CrashingFile(image.content)
    await replayLogOnDisk(file)
    const { headers } = await readSoundStructures(file)
    const [first, second] = headers.copies.map(copy => copy.header!)
    expect([first!.sequenceNumber, second!.sequenceNumber].sort()).toEqual([4n, 5n])
    for (const after of [first!, second!]) {
      expect(after).toMatchObject({ logGuid: NIL_GUID, dataWriteGuid: before.dataWriteGuid })
      expect(after.fileWriteGuid).not.toBe(before.fileWriteGuid)
    }
  })

  test('zeros are not written where the file has a hole, however long', async () => {
    await using folder = await scratch()
    const path = folder.path('dirty.vhdx')
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, zeros: [{ fileOffset: 6 * MiB, zeroLength: 1024 * GiB }] }))
    await writeFile(path, image.content)
    await using file = await FileDevice.open(path, { mode: 'write' })
    await replayLogOnDisk(file)
    expect(file.size).toBe(6 * MiB + 1024 * GiB)
    expect(await file.allocatedBytes()).toBeLessThan(16 * MiB)
    const block = Buffer.alloc(MiB, 0xaa)
    await file.read(6 * MiB, block)
    expect(block.equals(Buffer.alloc(MiB))).toBe(true)
  })

  test('a clean image, and one whose log cannot be replayed, are left as they are', async () => {
    const clean = new CrashingFile(base.copy().content)
    expect(await replayLogOnDisk(clean)).toBe(false)
    expect(clean.content.equals(base.content)).toBe(true)
    const lost = base.copy()
    lost.editHeaders({ logGuid: LOG_GUID })
    const file = new CrashingFile(Buffer.from(lost.content))
    await expect(replayLogOnDisk(file)).rejects.toMatchObject({ code: 'LOG_NO_SEQUENCE' })
    expect(file.content.equals(lost.content)).toBe(true)
  })

  test('a header that cannot be counted up', async () => {
    const image = imageOf(DIRTY_IMAGES[0]!)
    image.editHeader(1, { sequenceNumber: 2n ** 64n - 1n })
    const file = new CrashingFile(Buffer.from(image.content))
    await expect(replayLogOnDisk(file)).rejects.toMatchObject({ name: 'FormatError', code: 'HEADER_SEQUENCE_END' })
    expect(file.content.equals(image.content)).toBe(true)
  })
})

/** What qemu-img makes of the image at `path`. */
async function byQemu(folder: Scratch, path: string): Promise<Buffer> {
  await run('qemu-img', ['convert', '-f', 'vhdx', '-O', 'raw', path, folder.path('disk.raw')])
  return await readFile(folder.path('disk.raw'))
}

describe('qemu', () => {
  for (const dirty of DIRTY_IMAGES.filter(({ notQemu }) => notQemu === undefined)) {
    testWith(['qemu-img'], `replays the same: ${dirty.name}`, async () => {
      await using folder = await scratch()
      const [path, image] = [folder.path('image.vhdx'), imageOf(dirty)]
      await writeFile(path, image.content)
      await run('qemu-img', ['check', '-r', 'all', '-f', 'vhdx', path])
      expect((await byQemu(folder, path)).equals(await contentOf(await VhdxDevice.open(image.device)))).toBe(true)
    })
  }

  for (const dirty of DIRTY_IMAGES) {
    testWith(['qemu-img', '7zz'], `and 7-Zip read what we replayed: ${dirty.name}`, async () => {
      await using folder = await scratch()
      const [path, image] = [folder.path('image.vhdx'), imageOf(dirty)]
      await writeFile(path, image.content)
      {
        await using file = await FileDevice.open(path, { mode: 'write' })
        await replayLogOnDisk(file)
      }
      await run('qemu-img', ['check', '-f', 'vhdx', path])
      expect((await byQemu(folder, path)).equals(diskAfterReplay(dirty, image.content))).toBe(true)
      expect((await run('7zz', ['t', '-tVHDX', path])).stdout).toContain('Everything is Ok')
    })
  }
})

describe('a replay on disk that is interrupted', () => {
  interface State {
    readonly operations: number
    readonly survives: readonly (readonly [boolean, number])[]
  }

  const only = (index: number, survives: boolean): State['survives'] =>
    Array.from({ length: 16 }, (_, n) => [(n === index) === survives, 16])

  /** One with data, zeros and a file that grows. */
  const make = (): { image: TestImage; expected: Buffer } => {
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    const batPage = Buffer.from(image.content.subarray(3 * MiB, 3 * MiB + 4096))
    batPage.writeBigUInt64LE(BigInt(8 * MiB + 6), 8)
    const zeros = [{ fileOffset: 4 * MiB + 4096, zeroLength: 64 * 1024 }]
    const first = [1, 2, 3].map(n => ({ fileOffset: 8 * MiB + n * 4096, bytes: pattern(4096, n) }))
    putInLog(image, 0, logEntry({ sequenceNumber: 1n, zeros, data: first, lastFileOffset: 9 * MiB }))
    putInLog(
      image,
      16384,
      logEntry({ sequenceNumber: 2n, data: [{ fileOffset: 3 * MiB, bytes: batPage }], lastFileOffset: 9 * MiB }),
    )
    const expected = Buffer.alloc(8 * MiB)
    for (const [block, at] of [
      [0, 4],
      [3, 5],
      [7, 6],
    ] as const) {
      image.content.copy(expected, block * MiB, at * MiB, (at + 1) * MiB)
    }
    expected.fill(0, 4096, 4096 + 64 * 1024)
    for (const n of [1, 2, 3]) pattern(4096, n).copy(expected, MiB + n * 4096)
    return { image, expected }
  }

  test('after any write, with any part of what was not flushed: reads the same, and is replayed to the end', async () => {
    const { image, expected } = make()
    const whole = new CrashingFile(Buffer.from(image.content))
    await replayLogOnDisk(whole)
    // Cut after each step, with all of the cache lost, or all but one write, or nothing but one.
    const counts = Array.from({ length: whole.operations + 1 }, (_, operations) => operations)
    const examples: [State][] = counts.flatMap(operations =>
      counts
        .slice(0, 8)
        .flatMap(n => [only(n, true), only(n, false)])
        .map((survives): [State] => [{ operations, survives }]),
    )
    const states: fc.Arbitrary<State> = fc.record({
      operations: fc.nat(whole.operations),
      // Of each write that was not flushed: whether it is on disk, and how many sectors of it.
      survives: fc.array(fc.tuple(fc.boolean(), fc.nat(16)), { minLength: 16, maxLength: 16 }),
    })
    await fc.assert(
      fc.asyncProperty(states, async ({ operations, survives }) => {
        const file = new CrashingFile(Buffer.from(image.content), operations)
        await replayLogOnDisk(file).catch(error => {
          if (!(error instanceof PowerCut)) throw error
        })
        const left = file.afterCrash(survives)
        expect((await contentOf(await VhdxDevice.open(new MemoryDevice(left)))).equals(expected)).toBe(true)
        const again = new CrashingFile(left)
        await replayLogOnDisk(again)
        const disk = await VhdxDevice.open(new MemoryDevice(again.content))
        expect(disk.log).toBe('clean')
        expect((await contentOf(disk)).equals(expected)).toBe(true)
      }),
      { numRuns: examples.length + 40, examples },
    )
  })
})
