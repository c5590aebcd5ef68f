import { describe, expect, test } from 'vitest'
import { crc32cWithout } from '../../lib/binary/crc32c.ts'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { Log } from '../../lib/vhdx/log.ts'
import { LogWriter } from '../../lib/vhdx/log-writer.ts'
import { readLogged } from '../../lib/vhdx/log-writes.ts'
import type { ChangedSector } from '../../lib/vhdx/metadata-pages.ts'
import { collect } from '../helpers/collect.ts'
import { pattern } from '../helpers/pattern.ts'
import { RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { LOG_GUID } from './log-entries.ts'

const LOG = { offset: MiB, length: MiB }
/** As it lies on disk. */
const GUID_BYTES = '6e65e4741d3bf948bfa402aa776db03c'

const sectors = (count: number, seed = 0) =>
  Array.from({ length: count }, (_, n) => ({ position: 3 * MiB + n * 8192, bytes: pattern(4096, seed + n) }))

describe('an entry', () => {
  const write = async (count: number) => {
    const file = new MemoryDevice(2 * MiB)
    const log = new LogWriter(file, LOG, LOG_GUID)
    await log.append(sectors(count), { flushed: 36 * MiB + 512, last: 35 * MiB + 1 })
    return file.content.subarray(MiB)
  }

  test('lies as the specification says, byte for byte', async () => {
    const entry = (await write(2)).subarray(0, 3 * 4096)
    const sequenceNumber = entry.readBigUInt64LE(16)
    expect(entry.toString('latin1', 0, 4)).toBe('loge')
    expect(entry.readUInt32LE(4)).toBe(crc32cWithout(entry, 4))
    expect(entry.readUInt32LE(8)).toBe(3 * 4096)
    expect(entry.readUInt32LE(12)).toBe(0)
    expect(entry.readUInt32LE(24)).toBe(2)
    expect(entry.readUInt32LE(28)).toBe(0)
    expect(entry.toString('hex', 32, 48)).toBe(GUID_BYTES)
    // Multiples of a MiB: the file is at least as long as the one, and the other is at least what is needed.
    expect(entry.readBigUInt64LE(48)).toBe(BigInt(36 * MiB))
    expect(entry.readBigUInt64LE(56)).toBe(BigInt(36 * MiB))
    for (const [n, { position, bytes }] of sectors(2).entries()) {
      const descriptor = entry.subarray(64 + n * 32, 96 + n * 32)
      expect(descriptor.toString('latin1', 0, 4)).toBe('desc')
      expect(descriptor.subarray(4, 8).equals(bytes.subarray(4092))).toBe(true)
      expect(descriptor.subarray(8, 16).equals(bytes.subarray(0, 8))).toBe(true)
      expect(descriptor.readBigUInt64LE(16)).toBe(BigInt(position))
      expect(descriptor.readBigUInt64LE(24)).toBe(sequenceNumber)
      const data = entry.subarray(4096 * (n + 1), 4096 * (n + 2))
      expect(data.toString('latin1', 0, 4)).toBe('data')
      expect(BigInt(data.readUInt32LE(4))).toBe(sequenceNumber / 2n ** 32n)
      expect(data.subarray(8, 4092).equals(bytes.subarray(8, 4092))).toBe(true)
      expect(BigInt(data.readUInt32LE(4092))).toBe(sequenceNumber % 2n ** 32n)
    }
    expect(entry.subarray(128, 4096).equals(Buffer.alloc(4096 - 128))).toBe(true)
  })

  test('without changes is one sector', async () => {
    const log = await write(0)
    expect([log.readUInt32LE(8), log.readUInt32LE(24)]).toEqual([4096, 0])
    expect(log.subarray(4096).equals(Buffer.alloc(MiB - 4096))).toBe(true)
  })

  test('has room for 126 descriptors in its first sector', async () => {
    const log = await write(126)
    expect(log.readUInt32LE(8)).toBe(127 * 4096)
    expect(log.toString('latin1', 64 + 125 * 32, 68 + 125 * 32)).toBe('desc')
    expect(log.toString('latin1', 4096, 4100)).toBe('data')
  })

  test('begins with a number by chance, of 64 bits and never 0', async () => {
    const numbers = await Promise.all(Array.from({ length: 20 }, async () => (await write(0)).readBigUInt64LE(16)))
    expect(new Set(numbers).size).toBe(20)
    expect(numbers.some(number => number > 2n ** 56n)).toBe(true)
    expect(numbers.every(number => number > 0n && number < 2n ** 64n - 2n ** 32n)).toBe(true)
  })
})

describe('a ring', () => {
  for (const length of [MiB, 3 * MiB]) {
    test(`of ${length / MiB} MiB: each entry is the one to replay, whatever lies around it`, async () => {
      const file = new MemoryDevice(MiB + length)
      const place = { offset: MiB, length }
      const writer = new LogWriter(file, place, LOG_GUID)
      let wrapped = 0
      for (let n = 0, at = 0; wrapped < 3; n++) {
        const count = (n * 37) % 127
        await writer.append(sectors(count, n), { flushed: 4 * MiB, last: 4 * MiB })
        const end = at + (1 + count) * 4096
        if (end > length || n < 3) await expectToReplay(file, place, at, sectors(count, n))
        if (end > length) wrapped++
        at = end % length
      }
      expect(file.content.subarray(0, MiB).equals(Buffer.alloc(MiB))).toBe(true)
    })
  }

  /** The last entry, at byte `offset` of the log, and nothing else. */
  async function expectToReplay(file: MemoryDevice, place: Range, offset: number, changed: readonly ChangedSector[]) {
    const log = new Log(file, place)
    const sequence = await log.activeSequence(LOG_GUID)
    expect(sequence!.last).toMatchObject({ offset, header: { tail: offset, descriptorCount: changed.length } })
    const writes = (await collect(log.writes(offset))).flat()
    expect(writes.map(write => write.offset)).toEqual(changed.map(({ position }) => position))
    for (const [n, { descriptor, sector }] of writes.entries()) {
      expect((await readLogged(file, descriptor, sector!)).equals(changed[n]!.bytes)).toBe(true)
    }
  }

  test('is flushed after each entry, and never written beyond', async () => {
    const medium = new RecordingDevice(SparseFile.of(Buffer.alloc(2 * MiB)))
    const log = new LogWriter(medium, LOG, LOG_GUID)
    for (let n = 0; n < 3; n++) await log.append(sectors(100), { flushed: 4 * MiB, last: 4 * MiB })
    expect(medium.journal.map(({ operation, offset, bytes }) => [operation, offset, bytes.length])).toEqual([
      ['write', MiB, 101 * 4096],
      ['flush', 0, 0],
      ['write', MiB + 101 * 4096, 101 * 4096],
      ['flush', 0, 0],
      ['write', MiB + 202 * 4096, 54 * 4096],
      ['write', MiB, 47 * 4096],
      ['flush', 0, 0],
    ])
  })
})
