/** Files that WOF keeps compressed: made by wimlib and put on a volume through ntfs-3g, then with tables made to mislead. */
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FormatError } from '../../lib/errors.ts'
import { AttributeReader } from '../../lib/ntfs/attribute-reader.ts'
import type { Geometry } from '../../lib/ntfs/boot-sector.ts'
import { WofReader, wofFormats } from '../../lib/ntfs/wof-reader.ts'
import { compressByWimlib, noise, prose, samples, WOF_FORMATS } from '../codec/wof-streams.ts'
import { describeWith } from '../helpers/tools.ts'
import { setReparsePoint } from './reparse-points.ts'
import { openBytes, volumeBytes, volumeTools } from './volumes.ts'

async function contentOf(device: BlockDevice, offset = 0, length = device.size - offset): Promise<Buffer> {
  const target = Buffer.alloc(length, 0xee)
  await device.read(offset, target)
  return target
}

/** The data of WOF's reparse point: version 1, the file itself, version 1, the format. */
const wofData = (format: number) => Buffer.from(Uint32Array.of(1, 2, 1, format).buffer)

describeWith([...volumeTools, 'setfattr', 'wimlib-imagex'], 'files of a volume', () => {
  test.each(WOF_FORMATS)('as $name', async format => {
    const contents = await samples()
    const streams = await compressByWimlib(contents, format)
    const bytes = await volumeBytes({ size: 16 * 1024 ** 2 }, async folder => {
      for (const [i, stream] of streams.entries()) {
        const path = join(folder, `${i}`)
        await writeFile(path, '')
        await truncate(path, contents[i]!.length)
        await writeFile(`${path}:WofCompressedData`, stream)
        await setReparsePoint(path, 0x80000017, wofData(format.number))
      }
    })
    const files = await (await openBytes(bytes)).openFiles()
    for (const [i, expected] of contents.entries()) {
      const entry = await files.stat(`${i}`)
      expect(entry).toMatchObject({ kind: 'file', size: expected.length, error: undefined })
      const content = await files.open(entry)
      expect((await contentOf(content)).equals(expected), `${i}`).toBe(true)
      // In parts that begin and end anywhere, all at once.
      const offsets = Array.from({ length: 16 }, (_, part) => Math.floor((part / 16) * expected.length))
      const lengths = offsets.map((offset, part) => Math.min((part * 7919) % 90_000, expected.length - offset))
      const parts = await Promise.all(offsets.map((offset, part) => contentOf(content, offset, lengths[part])))
      for (const [part, read] of parts.entries()) {
        const offset = offsets[part]!
        expect(read.equals(expected.subarray(offset, offset + lengths[part]!)), `${i} at ${offset}`).toBe(true)
      }
      // The stream itself can be read, too, and is what Windows shows to nobody.
      expect((await contentOf(await files.open(entry, 'WofCompressedData'))).equals(streams[i]!)).toBe(true)
    }
  })
})

const geometry = { clusterSize: 4096, clusterCount: 100 } as Geometry

/** A stream that lies in a file record, at byte 0x5000 of the volume. */
function streamOf(value: Buffer): AttributeReader {
  const common = { type: 0x80, name: 'WofCompressedData', flags: 0, position: 0x5000 }
  return new AttributeReader(new MemoryDevice(Buffer.alloc(0)), geometry, [{ ...common, resident: true, value }])
}

const [xpress, lzx] = wofFormats as [(typeof wofFormats)[0], (typeof wofFormats)[0]]

/** A table of `offsets`, then `data`. */
const tableAnd = (offsets: readonly number[], data: Buffer) =>
  Buffer.concat([Buffer.from(Uint32Array.from(offsets).buffer), data])

describe('a chunk table', () => {
  const stored = noise(10_000)

  test('of chunks that are stored as they are', async () => {
    const reader = new WofReader(streamOf(tableAnd([4096, 8192], stored)), stored.length, xpress)
    expect((await contentOf(reader)).equals(stored)).toBe(true)
    expect((await contentOf(reader, 5000, 4000)).equals(stored.subarray(5000, 9000))).toBe(true)
  })

  test('of 8-byte entries, from 4 GiB on', async () => {
    const count = 2 ** 32 / lzx.chunkSize
    const head = Buffer.from(noise(lzx.chunkSize))
    const table = Buffer.alloc(8 * (count - 1))
    for (let i = 1; i < count; i++) table.writeBigUInt64LE(BigInt(head.length + i - 1), 8 * (i - 1))
    const stream = streamOf(Buffer.concat([table, head, Buffer.alloc(count - 2), head]))
    const reader = new WofReader(stream, 2 ** 32, lzx)
    expect((await contentOf(reader, 0, lzx.chunkSize)).equals(head)).toBe(true)
    expect((await contentOf(reader, 2 ** 32 - 1000)).equals(head.subarray(-1000))).toBe(true)
    await expect(contentOf(reader, lzx.chunkSize, 10)).rejects.toThrow(FormatError)
  })

  test('of an empty file, and of a file of one chunk', async () => {
    expect(new WofReader(streamOf(Buffer.alloc(0)), 0, lzx).size).toBe(0)
    const one = new WofReader(streamOf(stored.subarray(0, 100)), 100, lzx)
    expect((await contentOf(one)).equals(stored.subarray(0, 100))).toBe(true)
  })

  test.each([
    ['one that goes back', [5000, 4096], 'chunks of 1 to 4096 bytes within 10000'],
    ['a chunk without bytes', [4096, 4096], 'is one of 0'],
    ['a chunk longer than its content', [4097, 8192], 'is one of 4097'],
    ['a chunk beyond the end', [4096, 4_000_000_000], 'is one of 3999995904'],
    ['a last chunk longer than its content', [4000, 8000], 'chunks of 1 to 1808 bytes within 10000'],
    ['a last chunk without bytes', [4096, 8192 + 1808], 'is one of 5904'],
  ])('%s', async (_, offsets, message) => {
    const reader = new WofReader(streamOf(tableAnd(offsets, stored)), stored.length, xpress)
    await expect(contentOf(reader)).rejects.toThrow(FormatError)
    await expect(contentOf(reader)).rejects.toThrow(message)
    await expect(contentOf(reader)).rejects.toThrow('WofCompressedData chunk table at byte 0x5000')
  })

  test('longer than the stream', () => {
    for (const size of [20_000, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      expect(() => new WofReader(streamOf(Buffer.alloc(11)), size, xpress)).toThrow(/table at byte 0x5000 is the end/)
    }
  })

  test('with any bytes: all of the content, or a FormatError', async () => {
    const changes = fc.array(fc.record({ place: fc.nat(10_007), byte: fc.nat(255) }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(9999), fc.integer({ min: 1, max: 9999 }), async (changes, offset, length) => {
        const stream = tableAnd([4096, 8192], stored)
        for (const { place, byte } of changes) stream[place < 9000 ? place % 8 : place] = byte
        const reader = new WofReader(streamOf(stream), stored.length, xpress)
        try {
          await contentOf(reader, offset, Math.min(length, stored.length - offset))
        } catch (error) {
          if (!(error instanceof FormatError)) throw error
        }
      }),
      { numRuns: 200 },
    )
  })
})

test('reading a little of a large file reads little of its stream', async () => {
  const count = 1000
  const content = prose(count * xpress.chunkSize)
  const stream = streamOf(
    tableAnd(
      Array.from({ length: count - 1 }, (_, i) => (i + 1) * xpress.chunkSize),
      content,
    ),
  )
  let read = 0
  const { readBytes } = stream as unknown as { readBytes: (offset: number, target: Buffer) => Promise<void> }
  Object.assign(stream, {
    readBytes(this: unknown, offset: number, target: Buffer) {
      read += target.length
      return readBytes.call(stream, offset, target)
    },
  })
  const reader = new WofReader(stream, content.length, xpress)
  expect((await contentOf(reader, 2_000_001, 1000)).equals(content.subarray(2_000_001, 2_001_001))).toBe(true)
  expect(read).toBeLessThanOrEqual(3 * 65_536)
})
