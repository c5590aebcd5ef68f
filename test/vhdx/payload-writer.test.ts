/** What writes, zeros and trims make of blocks in every state, by the bytes of the BAT and of the sector bitmaps. */
import { describe, expect, test } from 'vitest'
import { MiB, TiB } from '../../lib/binary/size.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { createVhdx } from '../../lib/vhdx/create.ts'
import { bitmapEntryIndex, chunkRatio, payloadEntryIndex } from '../../lib/vhdx/layout.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { pattern } from '../helpers/pattern.ts'
import { RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import type { LayerBlock } from './differencing-image.ts'
import { BAT_AT } from './test-image.ts'
import { makeChain } from './writable-chains.ts'

const KIB4 = 4096

interface Shape {
  readonly virtualSize: number
  readonly blockSize: number
  readonly logicalSectorSize: number
  readonly fixed?: boolean
}

const SHAPE: Shape = { virtualSize: 4 * MiB + 2 * KIB4, blockSize: MiB, logicalSectorSize: 512 }

type Blocks = readonly (readonly [number, LayerBlock])[]

const whole = (block: number, length = MiB): readonly [number, LayerBlock] => [
  block,
  { state: 6, written: [{ offset: block * MiB, length }] },
]

/** An image being written, with what is looked at in its file. */
class Opened {
  readonly medium: RecordingDevice
  readonly disk: VhdxDevice
  readonly #parent: VhdxDevice | undefined

  constructor(medium: RecordingDevice, disk: VhdxDevice, parent?: VhdxDevice) {
    this.medium = medium
    this.disk = disk
    this.#parent = parent
  }

  static async of(shape: Shape, blocks: Blocks, parentBlocks?: Blocks): Promise<Opened> {
    const layers = [
      ...(parentBlocks ? [{ ...shape, blocks: new Map(parentBlocks) }] : []),
      { ...shape, seed: 77, blocks: new Map(blocks) },
    ]
    const { file, parent } = await makeChain(layers)
    const medium = new RecordingDevice(file)
    const disk = await VhdxDevice.openForWriting(medium, { parent })
    return new Opened(medium, disk, parent as VhdxDevice | undefined)
  }

  /** Entry `index` of the BAT as it lies in the file, after a flush. */
  async entry(index: number): Promise<{ state: number; mebibyte: number }> {
    await this.disk.flush()
    const bytes = Buffer.alloc(8)
    await this.medium.content.read(BAT_AT + index * 8, bytes)
    const value = bytes.readBigUInt64LE()
    expect(value & 0xffff8n).toBe(0n)
    return { state: Number(value & 7n), mebibyte: Number(value >> 20n) }
  }

  /** The sectors whose bits are set among the first `count` of block 0's chunk. */
  async presentSectors(count: number, chunk = 0): Promise<number[]> {
    const { blockSize, logicalSectorSize } = this.disk.geometry
    const { state, mebibyte } = await this.entry(bitmapEntryIndex(chunk, chunkRatio(blockSize, logicalSectorSize)))
    expect(state).toBe(6)
    const bits = Buffer.alloc(Math.ceil(count / 8))
    await this.medium.content.read(mebibyte * MiB, bits)
    return Array.from({ length: count }, (_, n) => n).filter(n => ((bits[n >> 3]! >> (n & 7)) & 1) === 1)
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length)
    await this.disk.read(offset, bytes)
    return bytes
  }

  /** Closes it, and finds nothing wrong with it, and the same in it. */
  async close(): Promise<void> {
    const before = await this.read(0, Math.min(this.disk.size, 8 * MiB))
    await this.disk.close()
    const { problems } = await checkVhdx(this.medium.content)
    expect(problems.filter(({ severity }) => severity !== 'note')).toEqual([])
    const disk = await VhdxDevice.open(this.medium.content, { parent: this.#parent })
    const after = Buffer.alloc(before.length)
    await disk.read(0, after)
    expect(after.equals(before)).toBe(true)
  }
}

const STATES = { notPresent: 0, undefined: 1, zero: 2, unmapped: 3 }

describe('a block of an image without a parent', () => {
  for (const [name, state] of Object.entries(STATES)) {
    test(`${name}: is in the file as a whole when a part of it is written`, async () => {
      const image = await Opened.of(SHAPE, [[1, { state }]])
      await image.disk.write(MiB + 1000, pattern(100))
      expect(await image.entry(1)).toEqual({ state: 6, mebibyte: 4 })
      const place = Buffer.alloc(MiB)
      await image.medium.content.read(4 * MiB, place)
      expect(place.equals(Buffer.concat([Buffer.alloc(1000), pattern(100)], MiB))).toBe(true)
      await image.close()
    })

    test(`${name}: stays what it is when it is zeroed, whole or in part, and trimmed`, async () => {
      const image = await Opened.of(SHAPE, [[1, { state }], whole(0)])
      await image.disk.zero(MiB + 5, 10)
      await image.disk.trim(MiB, MiB)
      const { state: now, mebibyte } = await image.entry(1)
      // What may hold anything is zeros for sure then.
      expect(now).toBe(name === 'undefined' || name === 'unmapped' ? 2 : state)
      expect(mebibyte).toBe(0)
      await image.close()
    })
  }

  test('in the file: is plain 2 when it is zeroed, plain 3 when it is trimmed, and its place is used again', async () => {
    const image = await Opened.of(SHAPE, [whole(0), whole(1), whole(2)])
    await image.disk.zero(0, MiB)
    await image.disk.trim(MiB, MiB)
    expect(await image.entry(0)).toEqual({ state: 2, mebibyte: 0 })
    expect(await image.entry(1)).toEqual({ state: 3, mebibyte: 0 })
    await image.disk.write(3 * MiB + 7, pattern(7))
    expect(await image.entry(3)).toEqual({ state: 6, mebibyte: 4 })
    expect((await image.read(3 * MiB, MiB)).equals(Buffer.concat([Buffer.alloc(7), pattern(7)], MiB))).toBe(true)
    await image.close()
    expect(image.medium.size).toBe(7 * MiB)
  })

  test('keeps its place when only a part of it is zeroed or trimmed', async () => {
    const image = await Opened.of(SHAPE, [whole(0)])
    await image.disk.zero(512, MiB - 512)
    await image.disk.trim(0, MiB - 1)
    expect(await image.entry(0)).toEqual({ state: 6, mebibyte: 4 })
    expect((await image.read(0, MiB)).equals(Buffer.concat([pattern(512, 77)], MiB))).toBe(true)
    await image.close()
  })

  test('the last one, of which the disk has a part, is whole when that part is', async () => {
    const image = await Opened.of(SHAPE, [whole(4, 2 * KIB4)])
    await image.disk.zero(4 * MiB, 2 * KIB4)
    expect(await image.entry(4)).toEqual({ state: 2, mebibyte: 0 })
    await image.disk.write(4 * MiB, pattern(2 * KIB4))
    // Its place is a whole block nonetheless, without what lay there.
    const { mebibyte } = await image.entry(4)
    const place = Buffer.alloc(MiB)
    await image.medium.content.read(mebibyte * MiB, place)
    expect(place.equals(Buffer.concat([pattern(2 * KIB4)], MiB))).toBe(true)
    await image.close()
  })

  test('that was begun and zeroed again has no place', async () => {
    const image = await Opened.of(SHAPE, [])
    await image.disk.write(0, pattern(100))
    await image.disk.write(MiB, pattern(100))
    await image.disk.zero(0, MiB)
    await image.disk.trim(MiB, MiB)
    expect([await image.entry(0), await image.entry(1)]).toEqual(Array(2).fill({ state: 0, mebibyte: 0 }))
    await image.close()
    expect(image.medium.size).toBe(4 * MiB)
  })

  test('that was begun is a place with data, before its entry is written', async () => {
    const image = await Opened.of(SHAPE, [])
    await image.disk.write(2 * MiB + 512, pattern(512))
    expect(image.medium.journal.some(({ offset }) => offset >= BAT_AT && offset < 4 * MiB)).toBe(false)
    expect((await image.read(2 * MiB, MiB)).equals(Buffer.concat([Buffer.alloc(512), pattern(512)], MiB))).toBe(true)
    const ranges = []
    for await (const range of image.disk.dataRanges()) ranges.push(range)
    expect(ranges).toEqual([{ offset: 2 * MiB, length: MiB }])
    expect(await image.disk.allocatedBlocks()).toBe(1)
    await image.close()
  })

  test('with a place that is kept for it gets another one, and nobody gets that', async () => {
    const image = await Opened.of(SHAPE, [[0, { state: 3 }], whole(1)])
    const anchored = Buffer.alloc(8)
    anchored.writeBigUInt64LE(BigInt(5 * MiB) + 3n)
    await image.medium.content.write(BAT_AT, anchored)
    const disk = await VhdxDevice.openForWriting(image.medium)
    await disk.write(2 * MiB, pattern(MiB))
    await disk.write(0, pattern(10))
    await disk.flush()
    expect((await image.entry(2)).mebibyte).toBe(6)
    expect(await image.entry(0)).toEqual({ state: 6, mebibyte: 7 })
    await disk.close()
    expect((await checkVhdx(image.medium.content)).summary.errors).toBe(0)
  })
})

describe('a block of a fixed image', () => {
  test('keeps its place, whatever is done to it', async () => {
    const image = await Opened.of({ ...SHAPE, fixed: true }, [
      whole(0),
      whole(1),
      whole(2),
      whole(3),
      whole(4, 2 * KIB4),
    ])
    await image.disk.zero(0, 2 * MiB)
    await image.disk.trim(2 * MiB, MiB)
    await image.disk.write(3 * MiB, pattern(MiB))
    for (const block of [0, 1, 2, 3]) expect(await image.entry(block)).toEqual({ state: 6, mebibyte: 4 + block })
    const expected = [Buffer.alloc(2 * MiB), pattern(MiB, 2 * MiB + 77), pattern(MiB)]
    expect((await image.read(0, 4 * MiB)).equals(Buffer.concat(expected))).toBe(true)
    await image.close()
    expect(image.medium.size).toBe(9 * MiB)
  })

  test('trimming all of it writes nothing at all', async () => {
    const image = await Opened.of({ ...SHAPE, fixed: true }, [
      whole(0),
      whole(1),
      whole(2),
      whole(3),
      whole(4, 2 * KIB4),
    ])
    await image.disk.trim(0, SHAPE.virtualSize)
    await image.disk.close()
    expect(image.medium.journal).toEqual([])
  })
})

describe('a block of a differencing image', () => {
  for (const logicalSectorSize of [512, 4096]) {
    const shape = { ...SHAPE, logicalSectorSize }
    const bits = (offset: number, length: number) =>
      Array.from({ length: length / logicalSectorSize }, (_, n) => offset / logicalSectorSize + n)
    const of = (...blocks: Blocks) =>
      Opened.of(shape, blocks, [whole(0), whole(1), whole(2), whole(3), whole(4, 2 * KIB4)])

    describe(`with sectors of ${logicalSectorSize} bytes`, () => {
      test('has only what was written, and nothing is copied from its parent', async () => {
        const image = await of()
        await image.disk.write(2 * KIB4, pattern(3 * KIB4, 9))
        expect((await image.entry(0)).state).toBe(7)
        expect(await image.presentSectors(2048)).toEqual(bits(2 * KIB4, 3 * KIB4))
        const place = Buffer.alloc(MiB)
        await image.medium.content.read((await image.entry(0)).mebibyte * MiB, place)
        expect(place.equals(Buffer.concat([Buffer.alloc(2 * KIB4), pattern(3 * KIB4, 9)], MiB))).toBe(true)
        const expected = pattern(MiB)
        pattern(3 * KIB4, 9).copy(expected, 2 * KIB4)
        expect((await image.read(0, MiB)).equals(expected)).toBe(true)
        // More of it, by and by, when its entry is long in the file.
        await image.disk.write(8 * KIB4, pattern(KIB4, 10))
        expect(await image.presentSectors(2048)).toEqual([...bits(2 * KIB4, 3 * KIB4), ...bits(8 * KIB4, KIB4)])
        await image.close()
      })

      test('is fully present when it has all of its sectors: at once, in pieces, or at the end of the disk', async () => {
        const image = await of()
        await image.disk.write(0, pattern(MiB))
        await image.disk.write(MiB, pattern(MiB / 2))
        expect((await image.entry(1)).state).toBe(7)
        await image.disk.write(MiB + MiB / 2, pattern(MiB / 2))
        await image.disk.write(2 * MiB, pattern(MiB / 2))
        await image.disk.write(2 * MiB + MiB / 2, pattern(MiB / 2))
        await image.disk.write(4 * MiB, pattern(KIB4))
        await image.disk.flush()
        await image.disk.write(4 * MiB + KIB4, pattern(KIB4))
        for (const block of [0, 1, 2, 4]) expect((await image.entry(block)).state).toBe(6)
        await image.close()
      })

      test('that is zero hides its parent, and goes on to when a part of it is written', async () => {
        const image = await of()
        await image.disk.zero(0, 2 * MiB)
        expect([await image.entry(0), await image.entry(1)]).toEqual(Array(2).fill({ state: 2, mebibyte: 0 }))
        expect((await image.read(0, 2 * MiB)).equals(Buffer.alloc(2 * MiB))).toBe(true)
        await image.disk.write(MiB + 100, pattern(5))
        expect((await image.entry(1)).state).toBe(6)
        expect((await image.read(MiB, MiB)).equals(Buffer.concat([Buffer.alloc(100), pattern(5)], MiB))).toBe(true)
        await image.close()
      })

      test('that is trimmed reads as zeros and never as its parent', async () => {
        const image = await of([1, { state: 7, written: [{ offset: MiB, length: KIB4 }] }])
        await image.disk.trim(0, 2 * MiB)
        expect([await image.entry(0), await image.entry(1)]).toEqual(Array(2).fill({ state: 3, mebibyte: 0 }))
        expect((await image.read(0, 2 * MiB)).equals(Buffer.alloc(2 * MiB))).toBe(true)
        await image.close()
      })

      test('that is zeroed in part has zeros for its parent there', async () => {
        const image = await of()
        await image.disk.zero(KIB4, 2 * KIB4)
        expect(await image.presentSectors(2048)).toEqual(bits(KIB4, 2 * KIB4))
        const expected = pattern(MiB).fill(0, KIB4, 3 * KIB4)
        expect((await image.read(0, MiB)).equals(expected)).toBe(true)
        await image.close()
      })

      test('takes the rest of a sector from where it is, when a part of the sector is written', async () => {
        const image = await of()
        await image.disk.write(logicalSectorSize + 5, pattern(10, 3))
        await image.disk.write(2 * logicalSectorSize - 3, pattern(6, 4))
        const expected = pattern(MiB)
        pattern(10, 3).copy(expected, logicalSectorSize + 5)
        pattern(6, 4).copy(expected, 2 * logicalSectorSize - 3)
        expect((await image.read(0, MiB)).equals(expected)).toBe(true)
        expect(await image.presentSectors(2048)).toEqual([1, 2])
        await image.disk.write(4 * logicalSectorSize - 1, pattern(2, 5))
        pattern(2, 5).copy(expected, 4 * logicalSectorSize - 1)
        expect(await image.presentSectors(2048)).toEqual([1, 2, 3, 4])
        expect((await image.read(0, MiB)).equals(expected)).toBe(true)
        await image.close()
      })

      test('does not believe the bits that its place in the bitmap had before', async () => {
        const image = await of([0, { state: 7, written: [{ offset: 0, length: MiB / 2 }] }])
        // As if the block had been taken back from the child: its bits are still there.
        await image.medium.content.write(BAT_AT, Buffer.alloc(8))
        await image.disk.write(MiB / 2, pattern(KIB4))
        expect(await image.presentSectors(2048)).toEqual(bits(MiB / 2, KIB4))
      })
    })
  }

  test('beyond the first chunk has its bits in the bitmap of its own chunk', async () => {
    // A chunk has 128 blocks of 32 MiB.
    const blockSize = 32 * MiB
    const image = await Opened.of({ virtualSize: 300 * blockSize, blockSize, logicalSectorSize: 512 }, [], [])
    for (const block of [0, 127, 128, 299]) {
      await image.disk.write(block * blockSize + 512, pattern(1024, block))
      expect((await image.entry(payloadEntryIndex(block, 128))).state).toBe(7)
      const first = ((block % 128) * blockSize) / 512
      const sectors = await image.presentSectors(first + 4, Math.floor(block / 128))
      expect(sectors.filter(sector => sector >= first).map(sector => sector - first)).toEqual([1, 2])
      expect((await image.read(block * blockSize + 512, 1024)).equals(pattern(1024, block))).toBe(true)
    }
    await image.close()
  })
})

describe('requests at the same time', () => {
  test('to parts of one block that is not there yet give it one place', async () => {
    const image = await Opened.of(SHAPE, [], [whole(0)])
    const expected = pattern(MiB)
    await Promise.all(
      Array.from({ length: 64 }, async (_, n) => {
        const bytes = pattern(1000, n * 3)
        bytes.copy(expected, n * 16_000)
        await image.disk.write(n * 16_000, bytes)
      }),
    )
    expect((await image.read(0, MiB)).equals(expected)).toBe(true)
    await image.close()
    // A block and a bitmap.
    expect(image.medium.size).toBe(6 * MiB)
  })

  test('to one sector do not lose each other’s bytes', async () => {
    const image = await Opened.of(
      SHAPE,
      [[1, { state: 7, written: [{ offset: MiB, length: KIB4 }] }]],
      [whole(0), whole(1)],
    )
    for (const block of [0, 1]) {
      const expected = await image.read(block * MiB, 1024)
      await Promise.all(
        Array.from({ length: 64 }, async (_, n) => {
          expected[n * 16] = n
          await image.disk.write(block * MiB + n * 16, Buffer.from([n]))
        }),
      )
      expect((await image.read(block * MiB, 1024)).equals(expected)).toBe(true)
    }
    await image.close()
  })

  test('to a block that gets its entry at that moment find it there', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const medium = new RecordingDevice((await makeChain([{ ...SHAPE, blocks: new Map() }])).file, {
        random: new Random(`${seed}`),
      })
      const disk = await VhdxDevice.openForWriting(medium)
      await disk.write(5, pattern(MiB))
      await Promise.all([disk.flush(), disk.zero(0, 3 * MiB)])
      const content = Buffer.alloc(3 * MiB, 1)
      await disk.read(0, content)
      expect(content.equals(Buffer.alloc(3 * MiB))).toBe(true)
    }
  })

  test('a read that takes long does not find another block in the place', async () => {
    let answer = () => {}
    class SlowReads extends SparseFile {
      override async readBytes(offset: number, target: Buffer): Promise<void> {
        if (offset >= 4 * MiB) {
          await new Promise<void>(resolve => {
            answer = resolve
          })
        }
        await super.readBytes(offset, target)
      }
    }
    const { file } = await makeChain([{ ...SHAPE, blocks: new Map([whole(0)]) }])
    const slow = new SlowReads()
    slow.put(0, file.toBuffer())
    const disk = await VhdxDevice.openForWriting(slow)
    const bytes = Buffer.alloc(512)
    const reading = disk.read(0, bytes)
    const writing = (async () => {
      await disk.zero(0, MiB)
      await disk.flush()
      await disk.write(2 * MiB, Buffer.alloc(MiB, 0xff))
    })()
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
    answer()
    await Promise.all([reading, writing])
    expect(bytes.equals(pattern(512))).toBe(true)
  })

  test('more blocks than are kept without an entry, and more pieces', async () => {
    const shape = { virtualSize: 200 * MiB, blockSize: MiB, logicalSectorSize: 512 }
    const image = await Opened.of(shape, [])
    await Promise.all(Array.from({ length: 200 }, (_, block) => image.disk.write(block * MiB + 7, pattern(7, block))))
    for (let n = 0; n < 300; n++) await image.disk.write(n * 1024, pattern(1, n))
    await image.disk.close()
    const disk = await VhdxDevice.open(image.medium)
    const piece = Buffer.alloc(7)
    for (let block = 1; block < 200; block++) {
      await disk.read(block * MiB + 7, piece)
      expect(piece.equals(pattern(7, block))).toBe(true)
    }
    expect(image.medium.size).toBe(204 * MiB)
  })
})

describe('how much is written', () => {
  test('a large block that is filled in small pieces is written once', async () => {
    const image = await Opened.of({ ...SHAPE, virtualSize: 64 * MiB, blockSize: 32 * MiB }, [])
    const piece = pattern(64 * 1024)
    for (let offset = 0; offset < 64 * MiB; offset += piece.length) await image.disk.write(offset, piece)
    await image.disk.close()
    const written = image.medium.journal.reduce((sum, { bytes }) => sum + bytes.length, 0)
    expect(written).toBeLessThan(64.1 * MiB)
  })

  test('flushes: two for a commit with entries, one without', async () => {
    const image = await Opened.of(SHAPE, [whole(0)])
    const flushes = () => image.medium.journal.filter(({ operation }) => operation === 'flush').length
    const count = async (work: () => Promise<void>) => {
      const before = flushes()
      await work()
      await image.disk.flush()
      return flushes() - before
    }
    await count(() => image.disk.write(MiB, pattern(MiB)))
    expect(await count(() => image.disk.write(2 * MiB, pattern(MiB)))).toBe(2)
    expect(await count(() => image.disk.write(0, pattern(MiB)))).toBe(1)
  })
})

describe('a disk of 64 TiB', () => {
  for (const blockSize of [MiB, 256 * MiB]) {
    test(`is written at both ends, in blocks of ${blockSize / MiB} MiB`, async () => {
      const file = new SparseFile()
      await createVhdx(file, { virtualSize: 64 * TiB, blockSize })
      const disk = await VhdxDevice.openForWriting(file)
      for (const offset of [0, 64 * TiB - 512, 31 * TiB + 5]) await disk.write(offset, pattern(512, offset % 1000))
      await disk.zero(10 * TiB, 5 * TiB)
      await disk.close()
      const now = await VhdxDevice.open(file)
      const bytes = Buffer.alloc(512)
      for (const offset of [0, 64 * TiB - 512, 31 * TiB + 5]) {
        await now.read(offset, bytes)
        expect(bytes.equals(pattern(512, offset % 1000))).toBe(true)
      }
      expect(await now.allocatedBlocks()).toBe(3)
    })
  }
})
