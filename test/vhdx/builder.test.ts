import { stat } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { GiB, MiB, TiB } from '../../lib/binary/size.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { VhdxBuilder } from '../../lib/vhdx/builder.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { createVhdx } from '../../lib/vhdx/create.ts'
import { planImage, type VhdxOptions } from '../../lib/vhdx/image-plan.ts'
import { USER_METADATA_CAPACITY } from '../../lib/vhdx/new-image.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'

const ID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'
const OTHER_ID = '00000000-0000-0000-0000-000000000001'

const growing = () => new MemoryDevice(0, { growable: true })

/** The code of what `work` rejects with. */
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error: { code: string }) => error.code,
  )

describe('a new image', () => {
  test('has the layout of Windows, byte by byte', async () => {
    const file = growing()
    await createVhdx(file, { virtualSize: 64 * GiB, virtualDiskId: ID, creator: 'a test' })
    const { content } = file
    const hex = (offset: number, length: number) => content.toString('hex', offset, offset + length)
    const text = (offset: number, length: number) => content.toString('latin1', offset, offset + length)
    expect(content.length).toBe(4 * MiB)
    expect(text(0, 8)).toBe('vhdxfile')
    expect(content.toString('utf16le', 8, 8 + 14)).toBe('a test\0')
    for (const [slot, position] of [0x10000, 0x20000].entries()) {
      expect(text(position, 4)).toBe('head')
      expect(content.readBigUInt64LE(position + 8)).toBe(BigInt(slot + 1))
      // Log id, log version, version, and the log's length and place.
      expect(hex(position + 48, 32)).toBe(`${'00'.repeat(16)}0000010000001000${'0000100000000000'}`)
    }
    expect(hex(0x10010, 32)).toBe(hex(0x20010, 32))
    const bat = `6677c22d23f600429d64115e9bfd4a08${'0000300000000000'}0000100001000000`
    const metadata = `06a27c8b90479a4bb8fe575f050f886e${'0000200000000000'}0000100001000000`
    for (const position of [0x30000, 0x40000]) {
      expect(text(position, 4)).toBe('regi')
      expect(hex(position + 8, 8)).toBe('0200000000000000')
      expect(hex(position + 16, 64)).toBe(bat + metadata)
    }
    expect(text(2 * MiB, 8)).toBe('metadata')
    expect(hex(2 * MiB + 32, 5 * 32)).toBe(
      [
        `3767a1ca36fa434db3b633f0aa44e76b${'00000100'}${'08000000'}${'04000000'}00000000`,
        `2442a52f1bcd7648b2115dbed83bf4b8${'08000100'}${'08000000'}${'06000000'}00000000`,
        `1dbf41816fa90947ba47f233a8faab5f${'10000100'}${'04000000'}${'06000000'}00000000`,
        `c748a3cd5d4471449cc9e9885251c556${'14000100'}${'04000000'}${'06000000'}00000000`,
        `ab12cabee6b2234593efc309e000c746${'18000100'}${'10000000'}${'06000000'}00000000`,
      ].join(''),
    )
    const values = `0000100000000000${'0000000010000000'}${'00020000'}${'00100000'}f0158078935ed24ba5deb0cd8459db11`
    expect(hex(2 * MiB + 0x10000, 40)).toBe(values)
  })

  test('is different each time in its ids', async () => {
    const [first, second] = [growing(), growing()]
    for (const file of [first, second]) await createVhdx(file, { virtualSize: GiB })
    for (const offset of [0x10010, 0x10020, 2 * MiB + 0x10018]) {
      expect(first.content.subarray(offset, offset + 16)).not.toEqual(second.content.subarray(offset, offset + 16))
    }
  })

  test.each([
    [{ virtualSize: 5 * MiB, blockSize: 32 * MiB }, [0]],
    [{ virtualSize: 8 * MiB, logicalSectorSize: 4096 }, [0, 7]],
    [{ virtualSize: 8 * MiB, physicalSectorSize: 512 }, []],
    [{ virtualSize: 20 * GiB, blockSize: 2 * MiB }, [0, 2047, 2048, 2049, 4096, 10239]],
    [{ virtualSize: 127 * GiB, blockSize: MiB }, [0, 4095, 4096, 130_047]],
  ] satisfies [VhdxOptions, number[]][])(
    '%o with blocks %o is whole, clean and reads back',
    async (options, blocks) => {
      const file = growing()
      const builder = await VhdxBuilder.create(file, options)
      for (const block of blocks) {
        await file.write(await builder.place(block), pattern(builder.blockSize, block * builder.blockSize))
      }
      await builder.finish()
      expect(file.size).toBe(builder.fileSize)
      expect(await checkVhdx(file)).toMatchObject({
        problems: [],
        summary: { blocks: { fullyPresent: blocks.length } },
      })
      const disk = await VhdxDevice.open(file)
      expect(disk).toMatchObject({ size: options.virtualSize, sectorSize: builder.plan.logicalSectorSize })
      for (const block of blocks) {
        const offset = block * builder.blockSize
        const target = Buffer.alloc(Math.min(builder.blockSize, disk.size - offset))
        await disk.read(offset, target)
        expect(target.equals(pattern(target.length, offset))).toBe(true)
      }
    },
  )

  test('is dense on the medium: the file system has given it every byte', async () => {
    await using folder = await scratch()
    for (const options of [{ virtualSize: 127 * GiB }, { virtualSize: 20 * MiB, blockSize: 8 * MiB, fixed: true }]) {
      const path = folder.path(`${options.virtualSize}.vhdx`)
      await using file = await FileDevice.open(path, { mode: 'create' })
      await createVhdx(file, options)
      const { size, blocks } = await stat(path)
      expect(blocks * 512).toBeGreaterThanOrEqual(size)
    }
  })
})

describe('the order of writing', () => {
  test('no header before everything else is on the medium, and nothing after the headers', async () => {
    const events: string[] = []
    const file = new (class extends CountingDevice {
      override async flush() {
        events.push('flush')
      }
      protected override writeBytes(offset: number, source: Buffer) {
        events.push(
          offset === 0x10000 && source.length === 4096 ? 'header 1' : offset === 0x20000 ? 'header 2' : 'other',
        )
        return super.writeBytes(offset, source)
      }
    })(growing())
    const builder = await VhdxBuilder.create(file, { virtualSize: 8 * MiB })
    await file.write(await builder.place(3), Buffer.alloc(MiB, 1))
    await builder.finish()
    expect(events.slice(events.indexOf('flush'))).toEqual(['flush', 'header 1', 'header 2', 'flush'])
  })

  test('a copy that was cut short at any write is refused', async () => {
    const writes: { offset: number; bytes: Buffer }[] = []
    const file = new (class extends CountingDevice {
      protected override writeBytes(offset: number, source: Buffer) {
        writes.push({ offset, bytes: Buffer.from(source) })
        return super.writeBytes(offset, source)
      }
    })(growing())
    const builder = await VhdxBuilder.create(file, { virtualSize: 8 * MiB })
    for (const block of [0, 5]) await file.write(await builder.place(block), Buffer.alloc(MiB, 1))
    await builder.finish()
    const partial = growing()
    for (const { offset, bytes } of writes.slice(0, -2)) {
      expect(await codeOf(VhdxDevice.open(partial))).toMatch(/TRUNCATED|HEADER_NONE/)
      await partial.write(offset, bytes)
    }
    expect(await codeOf(VhdxDevice.open(partial))).toBe('HEADER_NONE')
  })

  test('the BAT goes out page by page', async () => {
    const file = new CountingDevice(growing())
    const builder = await VhdxBuilder.create(file, { virtualSize: 2 * TiB })
    const before = file.writes.length
    await file.write(await builder.place(0), Buffer.alloc(MiB))
    await builder.place(131_000)
    expect(file.writes.slice(before)).toHaveLength(1)
    await builder.place(131_072)
    expect(file.writes.slice(before + 1)).toEqual([{ offset: 3 * MiB, length: MiB }])
  })
})

describe('user metadata', () => {
  const items = (...lengths: number[]) =>
    lengths.map((length, n) => ({ itemId: [ID, OTHER_ID][n]!, data: pattern(length) }))

  test('comes back, an empty item too, up to the last byte of the region', async () => {
    const file = growing()
    const builder = await VhdxBuilder.create(file, { virtualSize: 8 * MiB })
    await builder.finish(items(USER_METADATA_CAPACITY, 0))
    expect((await checkVhdx(file)).problems).toEqual([])
    const disk = await VhdxDevice.open(file)
    expect((await disk.userMetadata(ID))!.equals(pattern(USER_METADATA_CAPACITY))).toBe(true)
    expect(await disk.userMetadata(OTHER_ID)).toEqual(Buffer.alloc(0))
  })

  test.each([
    ['too large', items(USER_METADATA_CAPACITY, 1)],
    ['the same id twice', [...items(1), ...items(1)]],
    ['an id that is no GUID', [{ itemId: 'manifest', data: Buffer.alloc(1) }]],
  ])('%s is refused before anything is written', async (_, metadata) => {
    const file = new CountingDevice(growing())
    const builder = await VhdxBuilder.create(file, { virtualSize: 8 * MiB })
    const before = file.writes.length
    await expect(builder.finish(metadata)).rejects.toMatchObject({ name: 'OptionError', code: 'BAD_USER_METADATA' })
    expect(file.writes).toHaveLength(before)
  })
})

describe('what no image can be', () => {
  test.each([
    [{ virtualSize: 0 }, 'BAD_VIRTUAL_SIZE'],
    [{ virtualSize: -512 }, 'BAD_VIRTUAL_SIZE'],
    [{ virtualSize: 1000 }, 'BAD_VIRTUAL_SIZE'],
    [{ virtualSize: Number.NaN }, 'BAD_VIRTUAL_SIZE'],
    [{ virtualSize: 64 * TiB + 512 }, 'BAD_VIRTUAL_SIZE'],
    [{ virtualSize: 8 * MiB + 512, logicalSectorSize: 4096 }, 'BAD_VIRTUAL_SIZE'],
    [{ virtualSize: GiB, blockSize: 3 * MiB }, 'BAD_BLOCK_SIZE'],
    [{ virtualSize: GiB, blockSize: 0 }, 'BAD_BLOCK_SIZE'],
    [{ virtualSize: GiB, blockSize: 512 * 1024 }, 'BAD_BLOCK_SIZE'],
    [{ virtualSize: GiB, blockSize: 512 * MiB }, 'BAD_BLOCK_SIZE'],
    [{ virtualSize: GiB, logicalSectorSize: 520 }, 'BAD_SECTOR_SIZE'],
    [{ virtualSize: GiB, logicalSectorSize: 4096, physicalSectorSize: 512 }, 'BAD_SECTOR_SIZE'],
    [{ virtualSize: GiB, virtualDiskId: ID.toUpperCase() }, 'BAD_DISK_ID'],
    [{ virtualSize: GiB, creator: 'x'.repeat(256) }, 'BAD_CREATOR'],
  ] satisfies [VhdxOptions, string][])('%o: %s', (options, code) => {
    expect(() => planImage(options)).toThrow(expect.objectContaining({ name: 'OptionError', code }))
  })

  test('a disk below 3 MiB is written, with a word about Windows', () => {
    expect(planImage({ virtualSize: MiB }).findings).toMatchObject([{ code: 'BELOW_WINDOWS_MINIMUM' }])
    expect(planImage({ virtualSize: 3 * MiB }).findings).toEqual([])
  })

  test('the largest disk', () => {
    expect(planImage({ virtualSize: 64 * TiB })).toMatchObject({ blockSize: 32 * MiB, blockCount: 2 ** 21 })
  })
})

describe('misuse', () => {
  test('a file that is not empty', async () => {
    expect(await codeOf(VhdxBuilder.create(new MemoryDevice(512, { growable: true }), { virtualSize: GiB }))).toBe(
      'NOT_EMPTY',
    )
  })

  test.each([[[3, 3]], [[3, 2]], [[8]], [[-1]], [[0.5]]])('blocks placed as %o', async blocks => {
    const builder = await VhdxBuilder.create(growing(), { virtualSize: 8 * MiB })
    for (const block of blocks.slice(0, -1)) await builder.place(block)
    expect(await codeOf(builder.place(blocks.at(-1)!))).toBe('BAD_BLOCK')
  })

  test('a last block that was not written whole', async () => {
    const file = growing()
    const builder = await VhdxBuilder.create(file, { virtualSize: 8 * MiB })
    await file.write(await builder.place(0), Buffer.alloc(MiB - 1))
    expect(await codeOf(builder.finish())).toBe('INCOMPLETE')
  })

  test('a fixed image without all of its blocks', async () => {
    const builder = await VhdxBuilder.create(growing(), { virtualSize: 8 * MiB, fixed: true })
    expect(await codeOf(builder.finish())).toBe('BLOCKS_MISSING')
  })
})

describe('creating', () => {
  test('a fixed image writes every block and tells how far it is', async () => {
    const file = growing()
    const reports: [number, number][] = []
    const onProgress = (done: number, total: number) => reports.push([done, total])
    await createVhdx(file, { virtualSize: 20 * MiB, blockSize: 8 * MiB, fixed: true, onProgress })
    expect(file.size).toBe(4 * MiB + 24 * MiB)
    expect(reports).toEqual([4, 8, 12, 16, 20, 24].map(done => [done * MiB, 24 * MiB]))
    expect(await checkVhdx(file)).toMatchObject({ image: { type: 'fixed' }, problems: [] })
  })

  test('stops when it is told to', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    const onProgress = () => controller.abort(reason)
    const options = { virtualSize: 20 * MiB, fixed: true, onProgress, signal: controller.signal }
    await expect(createVhdx(growing(), options)).rejects.toBe(reason)
  })
})
