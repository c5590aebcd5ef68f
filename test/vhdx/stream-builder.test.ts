import { describe, expect, test } from 'vitest'
import { GiB, MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { type StreamOptions, VhdxStreamBuilder } from '../../lib/vhdx/stream-builder.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { pattern } from '../helpers/pattern.ts'

const ID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'

/** Takes copies: the builder may use its buffers again. */
class Collected {
  readonly pieces: Buffer[] = []

  async write(bytes: Buffer): Promise<void> {
    this.pieces.push(Buffer.from(bytes))
  }

  get content(): Buffer {
    return Buffer.concat(this.pieces)
  }
}

const optionsFor = (blocks: readonly number[], more: Partial<StreamOptions> = {}): StreamOptions => ({
  virtualSize: 12 * GiB,
  blockSize: MiB,
  presentCount: blocks.length,
  isPresent: block => blocks.includes(block),
  ...more,
})

const BLOCKS = [0, 4095, 4096, 8192, 12287]

async function streamed(): Promise<{ builder: VhdxStreamBuilder; content: Buffer }> {
  const sink = new Collected()
  const builder = await VhdxStreamBuilder.create(sink, optionsFor(BLOCKS))
  // Pieces of any size: the payload is one stream.
  const payload = Buffer.concat(BLOCKS.map(block => pattern(MiB, block * MiB)))
  for (let at = 0; at < payload.length; at += 700_001) await builder.payload(payload.subarray(at, at + 700_001))
  await builder.finish([{ itemId: ID, data: Buffer.from('hello') }])
  return { builder, content: sink.content }
}

test('a streamed image is clean and reads back', async () => {
  const { builder, content } = await streamed()
  expect(content.length).toBe(builder.fileSize)
  const file = new MemoryDevice(content, { readOnly: true })
  expect((await checkVhdx(file)).problems).toEqual([])
  const disk = await VhdxDevice.open(file)
  for (const block of BLOCKS) {
    const target = Buffer.alloc(MiB)
    await disk.read(block * MiB, target)
    expect(target.equals(pattern(MiB, block * MiB))).toBe(true)
  }
  expect(await disk.allocatedBlocks()).toBe(BLOCKS.length)
  expect(await disk.userMetadata(ID)).toEqual(Buffer.from('hello'))
})

test('a stream that was cut short anywhere is refused', async () => {
  const { content } = await streamed()
  for (let size = 0; size < content.length; size += MiB / 2) {
    const cut = new MemoryDevice(content.subarray(0, size), { readOnly: true })
    await expect(VhdxDevice.open(cut)).rejects.toMatchObject({ name: 'FormatError' })
    expect((await checkVhdx(cut)).summary.errors).toBeGreaterThan(0)
  }
})

describe('misuse', () => {
  const create = (options: StreamOptions) => VhdxStreamBuilder.create(new Collected(), options)

  test('more or fewer blocks than announced', async () => {
    await expect(create(optionsFor(BLOCKS, { presentCount: 4 }))).rejects.toMatchObject({ code: 'BAD_PRESENT_COUNT' })
    await expect(create(optionsFor(BLOCKS, { presentCount: 6 }))).rejects.toMatchObject({ code: 'BAD_PRESENT_COUNT' })
    await expect(create(optionsFor(BLOCKS, { fixed: true }))).rejects.toMatchObject({ code: 'BLOCKS_MISSING' })
  })

  test('more or less payload than announced', async () => {
    const builder = await create(optionsFor([3]))
    await builder.payload(Buffer.alloc(MiB - 1))
    await expect(builder.finish()).rejects.toMatchObject({ code: 'INCOMPLETE' })
    await expect(builder.payload(Buffer.alloc(2))).rejects.toMatchObject({ code: 'TOO_MUCH_PAYLOAD' })
  })

  test('options no image can have', async () => {
    await expect(create(optionsFor([], { blockSize: 3 * MiB }))).rejects.toMatchObject({ code: 'BAD_BLOCK_SIZE' })
  })
})
