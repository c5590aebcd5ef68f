/** The life of headers and log while an image is written, by the bytes that reach the file and their order. */
import { describe, expect, test } from 'vitest'
import { crc32cWithout } from '../../lib/binary/crc32c.ts'
import { KiB, MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { StorageError } from '../../lib/errors.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { HEADER_POSITIONS, header, LOG_SECTOR_SIZE, logEntryHeader } from '../../lib/vhdx/format.ts'
import { replayLogOnDisk } from '../../lib/vhdx/log-recovery.ts'
import { readSoundStructures } from '../../lib/vhdx/structures.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { WriteSession } from '../../lib/vhdx/write-session.ts'
import { Random } from '../fuzz/random.ts'
import { pattern } from '../helpers/pattern.ts'
import { afterAll, afterSome, type Done, RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { BAT_AT, LOG_AT, TestImage } from './test-image.ts'

const options = { virtualSize: 8 * MiB, blockSize: MiB }

/** An image with some of its eight blocks, on a medium that keeps what is done to it. */
async function mediumOf(blocks: readonly number[] = [], change = (_: TestImage) => {}): Promise<RecordingDevice> {
  const image = await TestImage.make(options, blocks)
  change(image)
  return new RecordingDevice(SparseFile.of(image.content))
}

/** The file when the power is cut now and nothing is lost. */
const leftBy = (medium: RecordingDevice) => afterAll(medium.moments.at(-1)!)

/** What was done, in words; ids by the order in which they came. */
function told(journal: readonly Done[]): string[] {
  const names = new Map([['00000000-0000-0000-0000-000000000000', '-']])
  const nameOf = (guid: string) => {
    if (!names.has(guid)) names.set(guid, `id${names.size}`)
    return names.get(guid)
  }
  return journal.map(({ operation, offset, bytes }) => {
    if (operation === 'flush') return 'flush'
    if (operation === 'resize') return `resize to ${offset / MiB} MiB`
    if ((HEADER_POSITIONS as readonly number[]).includes(offset)) {
      expect(bytes.length).toBe(4 * KiB)
      expect(bytes.readUInt32LE(4)).toBe(crc32cWithout(bytes, 4))
      const { sequenceNumber, fileWriteGuid, dataWriteGuid, logGuid } = header.decode(bytes)
      const ids = [fileWriteGuid, dataWriteGuid, logGuid].map(nameOf)
      return `header ${offset / (64 * KiB)}: ${sequenceNumber} file ${ids[0]} data ${ids[1]} log ${ids[2]}`
    }
    if (offset >= LOG_AT && offset < LOG_AT + MiB) {
      const { descriptorCount, flushedFileOffset, lastFileOffset } = logEntryHeader.decode(bytes)
      return `entry of ${descriptorCount}, flushed ${flushedFileOffset / MiB}, last ${lastFileOffset / MiB} MiB`
    }
    if (offset >= BAT_AT && offset < BAT_AT + MiB) return `BAT ${bytes.length}`
    return `payload at ${offset / MiB} MiB, ${bytes.length}`
  })
}

describe('the life of an image that is written', () => {
  test('headers first, payload before the entry that names it, the log empty before a header names it, clean at the end', async () => {
    const medium = await mediumOf()
    const disk = await VhdxDevice.openForWriting(medium)
    expect(told(medium.journal)).toEqual([])
    await disk.write(0, pattern(MiB))
    await disk.flush()
    await disk.write(2 * MiB, pattern(MiB))
    await disk.flush()
    await disk.write(100, pattern(10))
    await disk.flush()
    await disk.close()
    expect(told(medium.journal)).toEqual([
      'header 1: 3 file id1 data id2 log -',
      'flush',
      'header 2: 4 file id1 data id2 log -',
      'flush',
      'resize to 32 MiB',
      `payload at 4 MiB, ${MiB}`,
      'flush',
      'entry of 0, flushed 32, last 5 MiB',
      'flush',
      'header 1: 5 file id1 data id2 log id3',
      'flush',
      'header 2: 6 file id1 data id2 log id3',
      'flush',
      'entry of 1, flushed 32, last 5 MiB',
      'flush',
      'BAT 4096',
      // The second: nothing has to be said of the log again.
      `payload at 5 MiB, ${MiB}`,
      'flush',
      'entry of 1, flushed 32, last 6 MiB',
      'flush',
      'BAT 4096',
      // In place. The flush covers the BAT as well.
      'payload at 4 MiB, 512',
      'flush',
      // The close.
      'flush',
      'flush',
      'header 1: 7 file id1 data id2 log -',
      'flush',
      'header 2: 8 file id1 data id2 log -',
      'flush',
      'resize to 6 MiB',
      'flush',
    ])
    expect((await checkVhdx(medium.content)).problems).toEqual([])
  })

  test('nothing is written before the first change, nor by what changes nothing', async () => {
    const medium = await mediumOf([1])
    const disk = await VhdxDevice.openForWriting(medium)
    await disk.read(0, Buffer.alloc(3 * MiB))
    await disk.zero(2 * MiB, 3 * MiB)
    await disk.trim(0, MiB)
    await disk.write(MiB, Buffer.alloc(0))
    await disk.flush()
    await disk.close()
    expect(told(medium.journal)).toEqual(['flush'])
  })

  test('only what the disk shows gives it another DataWriteGuid, once', async () => {
    const medium = await mediumOf([1])
    const before = (await readSoundStructures(medium)).headers.current.header
    const session = await WriteSession.open(medium)
    await session.change([{ position: BAT_AT + MiB - 8, bytes: Buffer.from('unused') }])
    await session.commit()
    const unseen = (await readSoundStructures(medium)).headers.current.header
    expect(unseen.dataWriteGuid).toBe(before.dataWriteGuid)
    expect(unseen.fileWriteGuid).not.toBe(before.fileWriteGuid)
    await Promise.all([session.begin(true), session.begin(false), session.begin(true)])
    const seen = (await readSoundStructures(medium)).headers
    expect(seen.current.header.dataWriteGuid).not.toBe(before.dataWriteGuid)
    expect(seen.copies.map(copy => copy.header!.dataWriteGuid)).toEqual(
      Array(2).fill(seen.current.header.dataWriteGuid),
    )
    const { sequenceNumber } = seen.current.header
    await session.begin(true)
    expect((await readSoundStructures(medium)).headers.current.header.sequenceNumber).toBe(sequenceNumber)
    await session.close()
  })

  test('the DataWriteGuid can be chosen', async () => {
    const dataWriteGuid = '12345678-9abc-def0-1234-56789abcdef0'
    const medium = await mediumOf()
    const disk = await VhdxDevice.openForWriting(medium, { dataWriteGuid })
    await disk.write(0, Buffer.from('x'))
    await disk.close()
    expect((await readSoundStructures(medium)).headers.current.header.dataWriteGuid).toBe(dataWriteGuid)
  })

  test('a log of another version is one of version 0 when it is written', async () => {
    const medium = await mediumOf([], image => image.editHeaders({ logVersion: 7 }))
    const disk = await VhdxDevice.openForWriting(medium)
    await disk.write(0, pattern(MiB))
    await disk.flush()
    expect((await VhdxDevice.open(leftBy(medium))).log).toBe('replayed')
    await disk.close()
  })

  test('each time has another log id, and leaves entries of the one before where they are', async () => {
    const medium = await mediumOf()
    for (const block of [0, 1]) {
      const disk = await VhdxDevice.openForWriting(medium)
      await disk.write(block * MiB, pattern(MiB))
      await disk.close()
    }
    const entries = medium.journal.filter(
      ({ offset, bytes }) => bytes.length > 0 && offset >= LOG_AT && offset < BAT_AT,
    )
    const heads = entries.map(({ offset, bytes }) => ({ offset, ...logEntryHeader.decode(bytes) }))
    expect(heads.map(({ offset }) => offset - LOG_AT)).toEqual([0, 4096, 0, 4096])
    expect(new Set(heads.map(({ logGuid }) => logGuid)).size).toBe(2)
    expect(heads[1]!.sequenceNumber).toBe(heads[0]!.sequenceNumber + 1n)
    expect(heads[2]!.sequenceNumber).not.toBe(heads[1]!.sequenceNumber + 1n)
  })
})

describe('the size of the file', () => {
  test('grows in steps of 32 MiB, and by less where there is no room for that', async () => {
    const medium = await mediumOf()
    const resize = medium.resize.bind(medium)
    medium.resize = async size => {
      if (size > 6 * MiB) throw new StorageError('NO_SPACE', 'no space is left')
      await resize(size)
    }
    const disk = await VhdxDevice.openForWriting(medium)
    await disk.write(0, pattern(MiB))
    await disk.write(MiB, pattern(MiB))
    await expect(disk.write(2 * MiB, pattern(MiB))).rejects.toMatchObject({ code: 'NO_SPACE' })
    // The disk is as usable as before.
    await disk.write(0, pattern(MiB, 7))
    await disk.close()
    expect(medium.size).toBe(6 * MiB)
    const now = await VhdxDevice.open(medium)
    const content = Buffer.alloc(3 * MiB)
    await now.read(0, content)
    expect(content.equals(Buffer.concat([pattern(MiB, 7), pattern(MiB), Buffer.alloc(MiB)]))).toBe(true)
  })

  test('is cut to what is in use, and what was free in between is used first', async () => {
    const medium = await mediumOf([0, 1, 2])
    const disk = await VhdxDevice.openForWriting(medium)
    await disk.trim(MiB, 2 * MiB)
    await disk.flush()
    await disk.write(5 * MiB, pattern(MiB))
    await disk.close()
    expect(medium.size).toBe(6 * MiB)
    expect((await checkVhdx(medium)).problems).toEqual([])
  })

  test('is not a multiple of 1 MiB in a file by Disk2vhd, and is after it was written to', async () => {
    const medium = await mediumOf([0, 1], image => {
      image.content = Buffer.concat([image.content, Buffer.alloc(512, 7)])
    })
    const disk = await VhdxDevice.openForWriting(medium)
    await disk.write(2 * MiB, pattern(10))
    await disk.flush()
    const crashed = await VhdxDevice.open(leftBy(medium))
    const block = Buffer.alloc(MiB)
    await crashed.read(2 * MiB, block)
    expect(block.equals(Buffer.concat([pattern(10)], MiB))).toBe(true)
    await disk.close()
    expect(medium.size).toBe(7 * MiB)
  })

  test('stays what it is where a fixed image lacks blocks, as those by qemu do', async () => {
    const fixed = await TestImage.make({ ...options, fixed: true }, [0, 1, 2, 3, 4, 5, 6, 7])
    for (let block = 0; block < 8; block++) fixed.setBat(block, 2)
    const medium = new RecordingDevice(SparseFile.of(fixed.content))
    const disk = await VhdxDevice.openForWriting(medium)
    await disk.write(3 * MiB, pattern(10))
    await disk.close()
    expect(medium.size).toBe(12 * MiB)
  })

  test('is cut when the image that was not closed is closed the next time, though nothing was changed', async () => {
    const medium = await mediumOf([0])
    const disk = await VhdxDevice.openForWriting(medium)
    await disk.write(MiB, pattern(MiB))
    await disk.flush()
    const left = leftBy(medium)
    expect(left.size).toBe(32 * MiB)
    await (await VhdxDevice.openForWriting(left)).close()
    expect(left.size).toBe(6 * MiB)
    expect((await checkVhdx(left)).problems).toEqual([])
  })
})

describe('an image that must not be written', () => {
  const BROKEN = [
    { code: 'BAT_OVERLAP', entry: [6, 4] },
    { code: 'BAT_ON_STRUCTURE', entry: [6, 2] },
    { code: 'BAT_BEYOND_END', entry: [6, 500] },
    { code: 'BAT_STATE', entry: [5, 0] },
    { code: 'BAT_PARTIAL', entry: [7, 5] },
  ] as const

  for (const { code, entry } of BROKEN) {
    test(`${code}: no change is made, wherever it would be, and it can be closed`, async () => {
      const medium = await mediumOf([0, 1], image => image.setBat(6, entry[0], entry[1]))
      const before = medium.content.toBuffer()
      const disk = await VhdxDevice.openForWriting(medium)
      await expect(disk.write(100, pattern(10))).rejects.toMatchObject({ name: 'FormatError', code })
      await expect(disk.zero(0, MiB)).rejects.toMatchObject({ code })
      await expect(disk.trim(0, MiB)).rejects.toMatchObject({ code })
      await expect(disk.write(3 * MiB, pattern(10))).rejects.toMatchObject({ code })
      await disk.flush()
      await disk.close()
      expect(medium.content.toBuffer().equals(before)).toBe(true)
    })
  }

  test('a file that was opened for reading', async () => {
    const { content } = await TestImage.make(options)
    const file = new MemoryDevice(content, { readOnly: true })
    await expect(VhdxDevice.openForWriting(file)).rejects.toMatchObject({ name: 'ReadOnlyError' })
  })

  test('one whose headers cannot be counted up', async () => {
    const medium = await mediumOf([0], image => image.editHeader(1, { sequenceNumber: 2n ** 64n - 1n }))
    const disk = await VhdxDevice.openForWriting(medium)
    await expect(disk.write(0, pattern(10))).rejects.toMatchObject({ code: 'HEADER_SEQUENCE_END' })
    await disk.close()
    expect(told(medium.journal)).toEqual([])
  })
})

describe('after a failure', () => {
  /** Fails at the `count`th operation of a kind from now on. */
  const failing = async (kind: string, count: number) => {
    let left = Number.POSITIVE_INFINITY
    const image = await TestImage.make(options, [0])
    const medium = new RecordingDevice(SparseFile.of(image.content), {
      fault: operation => {
        if (operation === kind && --left === 0) throw new StorageError('WRITE_ERROR', `${kind} failed`)
      },
    })
    const disk = await VhdxDevice.openForWriting(medium)
    return { medium, disk, arm: () => (left = count) }
  }

  for (const [kind, count, what] of [
    ['flush', 1, 'of the payload'],
    ['flush', 2, 'of the empty entry'],
    ['write', 1, 'of the empty entry'],
    ['write', 4, 'of the entry'],
    ['write', 5, 'of the BAT'],
  ] as const) {
    test(`of a ${kind}, ${what}, nothing more can be written, and everybody is told`, async () => {
      const { medium, disk, arm } = await failing(kind, count)
      await disk.write(0, pattern(MiB, 3))
      await disk.flush()
      await disk.write(MiB, pattern(MiB))
      arm()
      await expect(disk.flush()).rejects.toMatchObject({ code: 'WRITE_ERROR' })
      const answer = { code: 'WRITE_FAILED_BEFORE', message: expect.stringContaining(`${kind} failed`) }
      await expect(disk.write(0, pattern(1))).rejects.toMatchObject(answer)
      await expect(disk.zero(0, 10)).rejects.toMatchObject(answer)
      await expect(disk.trim(0, MiB)).rejects.toMatchObject(answer)
      await expect(disk.flush()).rejects.toMatchObject(answer)
      const block = Buffer.alloc(MiB)
      await disk.read(0, block)
      expect(block.equals(pattern(MiB, 3))).toBe(true)
      await expect(disk.close()).rejects.toMatchObject(answer)
      // What was flushed before is safe.
      await (await VhdxDevice.openForWriting(medium.content)).read(0, block)
      expect(block.equals(pattern(MiB, 3))).toBe(true)
      expect((await checkVhdx(medium.content)).summary.errors).toBe(0)
    })
  }

  test('of headers nothing has changed, and it can be tried again', async () => {
    const { medium, disk, arm } = await failing('write', 1)
    arm()
    await expect(disk.write(0, pattern(10))).rejects.toMatchObject({ code: 'WRITE_ERROR' })
    await disk.write(0, pattern(10))
    await disk.close()
    expect(told(medium.journal).slice(0, 4)).toEqual([
      'header 1: 3 file id1 data id2 log -',
      'flush',
      'header 2: 4 file id1 data id2 log -',
      'flush',
    ])
  })

  test('of a write only that write is lost, and its space is used again', async () => {
    const { medium, disk, arm } = await failing('write', 1)
    await disk.write(0, pattern(10))
    arm()
    await expect(disk.write(3 * MiB, pattern(MiB))).rejects.toMatchObject({ code: 'WRITE_ERROR' })
    await disk.write(4 * MiB, pattern(MiB))
    await disk.close()
    expect(medium.size).toBe(6 * MiB)
    expect((await checkVhdx(medium)).problems).toEqual([])
  })
})

describe('all that is changed at once reaches the medium together', () => {
  /** Behind the entries that the disk needs. */
  const UNUSED = BAT_AT + 64 * KiB
  const allOf = (value: number) =>
    Array.from({ length: 126 }, (_, n) => ({
      position: UNUSED + n * LOG_SECTOR_SIZE,
      bytes: Buffer.alloc(LOG_SECTOR_SIZE, value),
    }))

  test('126 sectors, wherever the power is cut, and in a log that begins again at its start many times', async () => {
    const medium = await mediumOf([0])
    const session = await WriteSession.open(medium)
    const commits: { value: number; asked: number; done: number }[] = []
    for (let value = 1; value <= 12; value++) {
      const asked = medium.moments.length
      await session.change(allOf(value))
      await session.commit()
      commits.push({ value, asked, done: medium.moments.length })
      // So that the ring is cut in another place each time.
      await session.change([{ position: UNUSED + 126 * LOG_SECTOR_SIZE, bytes: Buffer.from([value]) }])
      await session.commit()
    }
    const asked = medium.moments.length
    await session.change(allOf(13))
    await session.close()
    commits.push({ value: 13, asked, done: medium.moments.length })
    const random = new Random('together')
    for (let n = 0; n < 400; n++) {
      const moment = random.below(medium.moments.length)
      const file = afterSome(medium.moments[moment]!, random)
      await replayLogOnDisk(file)
      const content = Buffer.alloc(126 * LOG_SECTOR_SIZE)
      await file.read(UNUSED, content)
      const [value] = content
      expect(content.equals(Buffer.alloc(content.length, value))).toBe(true)
      expect(value).toBeGreaterThanOrEqual(commits.findLast(({ done }) => done <= moment)?.value ?? 0)
      expect(value).toBeLessThanOrEqual(commits.findLast(({ asked }) => asked <= moment)?.value ?? 0)
    }
  })
})
