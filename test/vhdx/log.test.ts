import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { LOG_SECTOR_SIZE, logEntryHeader } from '../../lib/vhdx/format.ts'
import { Log } from '../../lib/vhdx/log.ts'
import { collect } from '../helpers/collect.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { LOG_GUID, logEntry } from './log-entries.ts'

const OTHER_GUID = '00000000-0000-0000-0000-000000000001'
/** As Windows has them: above 2^53. */
const FIRST = 2750127672981409427n

/** A log of 1 MiB with these entries, going on at its start. */
function logOf(...entries: readonly (readonly [offset: number, entry: Buffer])[]): Buffer {
  const log = Buffer.alloc(MiB)
  for (const [offset, entry] of entries) {
    for (let at = 0; at < entry.length; at += LOG_SECTOR_SIZE) {
      entry.copy(log, (offset + at) % MiB, at, at + LOG_SECTOR_SIZE)
    }
  }
  return log
}

const update = (fileOffset: number) => ({ fileOffset, bytes: pattern(4096, fileOffset) })
const dataEntry = (number: bigint, tail = 0, count = 1) =>
  logEntry({
    sequenceNumber: number,
    tail,
    data: Array.from({ length: count }, (_, n) => update(3 * MiB + n * 4096)),
  })

async function activeOf(log: Buffer) {
  const sequence = await new Log(new MemoryDevice(log), { offset: 0, length: log.length }).activeSequence(LOG_GUID)
  return sequence && { offsets: sequence.offsets, last: sequence.last.header.sequenceNumber }
}

describe('the active sequence', () => {
  test('none in an empty log', async () => {
    expect(await activeOf(Buffer.alloc(MiB))).toBeUndefined()
  })

  test('one empty entry, as Windows begins', async () => {
    expect(await activeOf(logOf([0, logEntry({ sequenceNumber: FIRST })]))).toEqual({ offsets: [0], last: FIRST })
  })

  test('entries that follow each other', async () => {
    const log = logOf(
      [0, logEntry({ sequenceNumber: FIRST })],
      [4096, dataEntry(FIRST + 1n)],
      [12288, dataEntry(FIRST + 2n)],
    )
    expect(await activeOf(log)).toEqual({ offsets: [0, 4096, 12288], last: FIRST + 2n })
  })

  test('that begins before the tail of its last entry', async () => {
    const log = logOf([0, dataEntry(5n)], [8192, dataEntry(6n, 8192)])
    expect(await activeOf(log)).toEqual({ offsets: [0, 8192], last: 6n })
  })

  test('more than 126 descriptors in one entry', async () => {
    for (const count of [126, 127, 200]) {
      expect(await activeOf(logOf([0, dataEntry(5n, 0, count)]))).toEqual({ offsets: [0], last: 5n })
    }
  })

  test('zero descriptors', async () => {
    const zeros = [{ fileOffset: 4 * MiB, zeroLength: 64 * MiB }]
    expect(await activeOf(logOf([0, logEntry({ sequenceNumber: 5n, zeros })]))).toEqual({ offsets: [0], last: 5n })
  })

  test('an entry that goes on at the start of the log', async () => {
    const tail = MiB - 8192
    const log = logOf([tail, dataEntry(5n, tail, 3)], [8192, dataEntry(6n, tail)])
    expect(await activeOf(log)).toEqual({ offsets: [tail, 8192], last: 6n })
  })

  test('a log that is full to the last sector', async () => {
    expect(await activeOf(logOf([0, dataEntry(5n, 0, 253)]))).toEqual({ offsets: [0], last: 5n })
  })

  test('ends before a torn entry', async () => {
    const log = logOf([0, dataEntry(5n)], [8192, dataEntry(6n)])
    log[8192 + 4096 + 100]! ^= 1
    expect(await activeOf(log)).toEqual({ offsets: [0], last: 5n })
  })

  test('ends before an entry of another session', async () => {
    const log = logOf([0, dataEntry(5n)], [8192, logEntry({ sequenceNumber: 6n, logGuid: OTHER_GUID })])
    expect(await activeOf(log)).toEqual({ offsets: [0], last: 5n })
  })

  test('ends before a gap in the numbers, and the higher of two sequences wins by its last entry', async () => {
    const log = logOf([0, dataEntry(5n)], [8192, dataEntry(7n, 8192)])
    expect(await activeOf(log)).toEqual({ offsets: [8192], last: 7n })
    const longer = logOf(
      [0, dataEntry(5n)],
      [8192, dataEntry(6n)],
      [16384, dataEntry(7n)],
      [24576, dataEntry(6n, 24576)],
    )
    expect(await activeOf(longer)).toEqual({ offsets: [0, 8192, 16384], last: 7n })
  })

  test('a tail outside the sequence makes it worthless', async () => {
    expect(await activeOf(logOf([0, dataEntry(5n, 8192)]))).toBeUndefined()
    const log = logOf([0, dataEntry(5n, 65536)], [8192, dataEntry(6n, 65536)], [131072, dataEntry(3n, 131072)])
    expect(await activeOf(log)).toEqual({ offsets: [131072], last: 3n })
  })
})

test('each byte of an entry flipped: it is no entry any more', async () => {
  const entry = logEntry({ sequenceNumber: FIRST, data: [update(3 * MiB)] })
  const survivors: number[] = []
  for (let at = 0; at < entry.length; at += at < 200 || at > 4090 ? 1 : 37) {
    const log = logOf([0, entry])
    log[at]! ^= 0xff
    if ((await activeOf(log)) !== undefined) survivors.push(at)
  }
  expect(survivors).toEqual([])
})

test('all entries of a log, those of earlier sessions too', async () => {
  const log = logOf([8192, dataEntry(5n)], [65536, logEntry({ sequenceNumber: 9n, logGuid: OTHER_GUID })])
  const entries = await collect(new Log(new MemoryDevice(log), { offset: 0, length: MiB }).entries())
  expect(entries.map(({ offset, header }) => [offset, header.logGuid])).toEqual([
    [8192, LOG_GUID],
    [65536, OTHER_GUID],
  ])
})

describe('work is bounded by the log, whatever it holds', () => {
  const size = 16 * MiB

  test('headers in every sector, each claiming the whole log', async () => {
    const log = Buffer.alloc(size)
    const header = {
      checksum: 0,
      entryLength: size,
      tail: 0,
      sequenceNumber: 1n,
      descriptorCount: 0,
      logGuid: LOG_GUID,
      flushedFileOffset: 0,
      lastFileOffset: 0,
    }
    for (let at = 0; at < size; at += LOG_SECTOR_SIZE) logEntryHeader.encode(header, log, at)
    await expectLinear(log)
  })

  test('a long sequence without a tail', async () => {
    const log = Buffer.alloc(size)
    // The tail is the first sector, which holds no entry.
    for (let n = 1; n < size / LOG_SECTOR_SIZE; n++) {
      logEntry({ sequenceNumber: BigInt(n), tail: 0 }).copy(log, n * LOG_SECTOR_SIZE)
    }
    await expectLinear(log)
  })

  /** Reads the log no more than three times over. */
  async function expectLinear(log: Buffer): Promise<void> {
    const device = new CountingDevice(new MemoryDevice(log))
    expect(await new Log(device, { offset: 0, length: size }).activeSequence(LOG_GUID)).toBeUndefined()
    expect(device.bytesRead).toBeLessThanOrEqual(3 * size)
  }
})
