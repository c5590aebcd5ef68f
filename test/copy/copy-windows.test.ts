/** The copier against the obvious: a flat buffer with the used bytes in it, read back through the image. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { FileBlockWriter, StreamBlockWriter } from '../../lib/copy/block-writer.ts'
import { ContentHasher, UNIT } from '../../lib/copy/content-hash.ts'
import { copyWindows } from '../../lib/copy/copy-windows.ts'
import { HashThread } from '../../lib/copy/hash-thread.ts'
import { RescuingReader } from '../../lib/copy/rescuing-reader.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { normalizeRanges, type Range } from '../../lib/device/ranges.ts'
import { VhdxBuilder } from '../../lib/vhdx/builder.ts'
import { VhdxStreamBuilder } from '../../lib/vhdx/stream-builder.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { pattern } from '../helpers/pattern.ts'

const SIZE = 21 * MiB
const disk = pattern(SIZE)
disk.fill(0, 3 * MiB, 4.5 * MiB)
disk.fill(0, 9 * MiB, 13 * MiB)

class SlowDevice extends MemoryDevice {
  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, 5))
    await super.readBytes(offset, target)
  }
}

async function* iterate(ranges: readonly Range[]) {
  yield* ranges
}

const job = (source: BlockDevice, thread: HashThread, ranges: readonly Range[]) => ({
  reader: new RescuingReader(source),
  ranges: iterate(ranges),
  size: SIZE,
  patches: [],
  hasher: new ContentHasher(thread, UNIT, SIZE),
})

async function copyToFile(source: BlockDevice, file: BlockDevice, ranges: readonly Range[], blockSize: number) {
  await using thread = new HashThread()
  const builder = await VhdxBuilder.create(file, { virtualSize: SIZE, blockSize })
  const writer = new FileBlockWriter(file, builder)
  await copyWindows({ ...job(source, thread, ranges), writer })
  await builder.finish()
  return writer.blocks
}

async function copyToStream(source: BlockDevice, ranges: readonly Range[], blockSize: number): Promise<Buffer> {
  await using thread = new HashThread()
  const touched = new Set(
    ranges.flatMap(({ offset, length }) => {
      const first = Math.floor(offset / blockSize)
      return Array.from({ length: Math.floor((offset + length - 1) / blockSize) - first + 1 }, (_, i) => first + i)
    }),
  )
  const parts: Buffer[] = []
  const sink = { write: async (bytes: Buffer) => void parts.push(Buffer.from(bytes)) }
  const isPresent = (block: number) => touched.has(block)
  const options = { virtualSize: SIZE, blockSize, isPresent, presentCount: touched.size }
  const builder = await VhdxStreamBuilder.create(sink, options)
  await copyWindows({ ...job(source, thread, ranges), writer: new StreamBlockWriter(builder, isPresent) })
  await builder.finish()
  return Buffer.concat(parts)
}

async function contentOf(image: BlockDevice): Promise<Buffer> {
  const device = await VhdxDevice.open(image)
  const content = Buffer.alloc(device.size)
  await device.read(0, content)
  return content
}

const anyRanges = fc
  .array(fc.record({ offset: fc.nat(SIZE - 1), length: fc.nat(3 * MiB) }), { maxLength: 8 })
  .map(ranges => normalizeRanges(ranges.map(r => ({ ...r, length: Math.min(r.length, SIZE - r.offset) }))))
const anyBlockSize = fc.constantFrom(1, 2, 4, 8, 16).map(blocks => blocks * MiB)

test('used bytes come out as they are, everything else as zeros: in a file, and streamed', async () => {
  await fc.assert(
    fc.asyncProperty(anyRanges, anyBlockSize, async (ranges, blockSize) => {
      const expected = Buffer.alloc(SIZE)
      for (const { offset, length } of ranges) disk.copy(expected, offset, offset, offset + length)
      const file = new MemoryDevice(0, { growable: true })
      const blocks = await copyToFile(new MemoryDevice(disk), file, ranges, blockSize)
      expect((await contentOf(file)).equals(expected)).toBe(true)

      const isUsed = (block: number) =>
        expected.subarray(block * blockSize, (block + 1) * blockSize).some(byte => byte !== 0)
      expect(blocks).toBe(Array.from({ length: Math.ceil(SIZE / blockSize) }, (_, i) => i).filter(isUsed).length)

      const streamed = new MemoryDevice(await copyToStream(new MemoryDevice(disk), ranges, blockSize))
      expect((await contentOf(streamed)).equals(expected)).toBe(true)
    }),
    { numRuns: 12 },
  )
})

test('several requests are under way at a time, none larger than 4 MiB', async () => {
  const source = new CountingDevice(new SlowDevice(disk))
  await copyToFile(source, new MemoryDevice(0, { growable: true }), [{ offset: 0, length: SIZE }], MiB)
  expect(source.bytesRead).toBe(SIZE)
  expect(Math.max(...source.reads.map(({ length }) => length))).toBe(4 * MiB)
  expect(source.mostAtOnce).toBeGreaterThan(1)
})

test('a source that goes away and a target that is full end the copy with their own error', async () => {
  const everything = [{ offset: 0, length: SIZE }]
  const target = () => new MemoryDevice(0, { growable: true })
  const gone = new FaultyDevice(new MemoryDevice(disk), { requests: 3 })
  await expect(copyToFile(gone, target(), everything, MiB)).rejects.toMatchObject({ code: 'DEVICE_GONE' })
  const full = new FaultyDevice(target(), { space: 10 * MiB })
  await expect(copyToFile(new MemoryDevice(disk), full, everything, MiB)).rejects.toMatchObject({ code: 'NO_SPACE' })
  await expect(VhdxDevice.open(full)).rejects.toThrow()
})

test('nothing is written any more once the copy has failed', async () => {
  const file = new CountingDevice(new MemoryDevice(0, { growable: true }))
  const gone = new FaultyDevice(new MemoryDevice(disk), { requests: 3 })
  await expect(copyToFile(gone, file, [{ offset: 0, length: SIZE }], MiB)).rejects.toThrow()
  const writes = file.writes.length
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(file.writes.length).toBe(writes)
})

test('an aborted copy ends with the reason it was given', async () => {
  await using thread = new HashThread()
  const file = new MemoryDevice(0, { growable: true })
  const builder = await VhdxBuilder.create(file, { virtualSize: SIZE, blockSize: MiB })
  const controller = new AbortController()
  const copied = copyWindows({
    ...job(new MemoryDevice(disk), thread, [{ offset: 0, length: SIZE }]),
    writer: new FileBlockWriter(file, builder),
    signal: controller.signal,
    onProgress: () => controller.abort(new Error('enough')),
  })
  await expect(copied).rejects.toThrow('enough')
})
