/** New VHDs: byte by byte as Windows makes them, and as other people's programs read them. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GiB, KiB, MiB, TiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { finishFixed, fixedSize, VhdBuilder } from '../../lib/vhd/builder.ts'
import { geometryOf } from '../../lib/vhd/geometry.ts'
import { planVhd, type VhdOptions } from '../../lib/vhd/image-plan.ts'
import { imageSize } from '../../lib/vhd/layout.ts'
import { VhdDevice } from '../../lib/vhd/vhd-device.ts'
import { corpusImage, sha256, sparseSha256 } from '../helpers/corpus.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { hashFile } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'
import { withVhdi } from '../helpers/vhdi.ts'

const ID = '5fa21a55-f394-aa4d-9958-1951a67d5540'

const growing = () => new MemoryDevice(0, { growable: true })

/** Writes an image in which `blocks` have test bytes that depend on their place on the disk. */
async function build(file: BlockDevice, options: VhdOptions, blocks: readonly number[]): Promise<VhdBuilder> {
  const builder = await VhdBuilder.create(file, options)
  for (const block of blocks) {
    await file.write(await builder.place(block), pattern(builder.blockSize, block * builder.blockSize))
  }
  await builder.finish()
  return builder
}

async function contentOf(file: BlockDevice): Promise<Buffer> {
  const disk = await VhdDevice.open(file)
  const content = Buffer.alloc(disk.size)
  await disk.read(0, content)
  return content
}

async function buildFixed(file: BlockDevice, options: VhdOptions): Promise<void> {
  await file.write(0, pattern(options.virtualSize))
  await finishFixed(file, planVhd({ ...options, fixed: true }))
}

describe('a new dynamic image', () => {
  test('is laid out as the specification and Windows have it, byte by byte', async () => {
    const file = growing()
    await build(file, { virtualSize: 10 * MiB, uniqueId: ID }, [1, 4])
    const { content } = file
    const hex = (offset: number, length: number) => content.toString('hex', offset, offset + length)
    const size = '0000000000a00000'
    const beforeTime = `${Buffer.from('conectix').toString('hex')}0000000200010000${'0000000000000200'}`
    // 301 × 4 × 17 sectors are 12 less than the disk has, so the geometry is the one that nobody goes by.
    const afterTime = `${Buffer.from('vhdx').toString('hex')}00010000${Buffer.from('Wi2k').toString('hex')}${size}${size}${'ffff10ff'}00000003`
    const last = content.length - 512
    for (const at of [0, last]) {
      expect(hex(at, 24)).toBe(beforeTime)
      expect(hex(at + 28, 36)).toBe(afterTime)
      expect(hex(at + 68, 17)).toBe(`${ID.replaceAll('-', '')}00`)
      expect(content.subarray(at + 85, at + 512).every(byte => byte === 0)).toBe(true)
    }
    expect(hex(0, 512)).toBe(hex(last, 512))
    const seconds = content.readUInt32BE(24)
    expect(Math.abs(Date.UTC(2000, 0, 1) / 1000 + seconds - Date.now() / 1000)).toBeLessThan(60)

    expect(hex(512, 36)).toBe(
      `${Buffer.from('cxsparse').toString('hex')}${'f'.repeat(16)}${'0000000000000600'}0001000000000005${'00200000'}`,
    )
    expect(content.subarray(512 + 40, 1536).every(byte => byte === 0)).toBe(true)
    const [bitmap1, bitmap4] = [0x1e00, 0x1e00 + 4096 + 2 * MiB]
    const sector = (at: number) => (at / 512).toString(16).padStart(8, '0')
    const none = 'ffffffff'
    expect(hex(1536, 20)).toBe(`${none}${sector(bitmap1)}${none}${none}${sector(bitmap4)}`)
    expect(content.subarray(1556, 4096).every(byte => byte === 0xff)).toBe(true)
    expect(content.subarray(4096, bitmap1).every(byte => byte === 0)).toBe(true)
    for (const at of [bitmap1, bitmap4]) {
      expect(content.subarray(at, at + 512).every(byte => byte === 0xff)).toBe(true)
    }
    expect(content.subarray(bitmap4 + 512, bitmap4 + 512 + 2 * MiB).equals(pattern(2 * MiB, 8 * MiB))).toBe(true)
    expect(content.length).toBe(bitmap4 + 512 + 2 * MiB + 4096)
  })

  for (const [name, blocks] of [
    ['vhd/dissect.hypervisor/dynamic.vhd', 3],
    ['vhd/qemu-iotests/hyperv2012r2-dynamic.vhd', 0],
  ] as const) {
    testWith(['corpus', 'tar', 'xz'], `has the size, the first place and the geometry of ${name}`, async () => {
      const image = corpusImage(name)
      const { size } = image.expected().virtualDisk
      const { blockCount, blockSize } = planVhd({ virtualSize: size })
      await using file = await FileDevice.open(await image.unpack())
      expect(imageSize({ blockCount, blockSize: blockSize! }, blocks)).toBe(file.size)
      const [geometry, table] = [Buffer.alloc(4), Buffer.alloc(blockCount * 4)]
      await file.read(56, geometry)
      await file.read(1536, table)
      const { cylinders, heads, sectorsPerTrack } = geometryOf(size / 512)
      expect([geometry.readUInt16BE(0), geometry[2], geometry[3]]).toEqual([cylinders, heads, sectorsPerTrack])
      const places = Array.from({ length: blockCount }, (_, i) => table.readUInt32BE(i * 4))
      if (blocks > 0) expect(Math.min(...places) * 512).toBe(0x1e00)
    })
  }

  test('may be written in any order within its blocks, and is no image before the end', async () => {
    const file = growing()
    const builder = await VhdBuilder.create(file, { virtualSize: 5 * MiB, blockSize: 512 * KiB })
    const places = [await builder.place(2), await builder.place(9)]
    await file.write(places[1]!, pattern(512 * KiB, 9 * 512 * KiB))
    await expect(VhdDevice.open(new MemoryDevice(Buffer.from(file.content)))).rejects.toThrow()
    await file.write(places[0]!, pattern(512 * KiB, 1024 * KiB))
    await builder.finish()
    expect(file.size).toBe(builder.fileSize)
    const disk = await VhdDevice.open(file)
    expect(disk).toMatchObject({
      size: 5 * MiB,
      type: 'dynamic',
      blockSize: 512 * KiB,
      findings: [],
      creator: 'vhdx 1.0',
    })
    const content = Buffer.alloc(5 * MiB)
    await disk.read(0, content)
    const expected = Buffer.alloc(5 * MiB)
    for (const block of [2, 9]) pattern(512 * KiB, block * 512 * KiB).copy(expected, block * 512 * KiB)
    expect(content.equals(expected)).toBe(true)
  })

  test('a power cut at any moment leaves no image, or the whole of it', async () => {
    const operations: ({ offset: number; bytes: Buffer } | 'flush')[] = []
    const file = new (class extends CountingDevice {
      protected override writeBytes(offset: number, source: Buffer) {
        operations.push({ offset, bytes: Buffer.from(source) })
        return super.writeBytes(offset, source)
      }
      override flush() {
        operations.push('flush')
        return super.flush()
      }
    })(growing())
    await build(file, { virtualSize: MiB + 512, blockSize: 512 * KiB }, [0, 2])
    const expected = await contentOf(file)

    let whole = 0
    const moment = fc.record({
      end: fc.integer({ min: 0, max: operations.length }),
      survivors: fc.array(fc.tuple(fc.boolean(), fc.nat(8)), { minLength: 1 }),
    })
    await fc.assert(
      fc.asyncProperty(moment, async ({ end, survivors }) => {
        const flushed = operations.slice(0, end).lastIndexOf('flush')
        const medium = growing()
        for (const [i, operation] of operations.slice(0, end).entries()) {
          if (operation === 'flush') continue
          const [survives, sectors] = i <= flushed ? [true, 8] : survivors[i % survivors.length]!
          // Of what was not flushed there may be a part, or nothing.
          const length = sectors === 8 ? operation.bytes.length : Math.min(operation.bytes.length, sectors * 512)
          if (survives) await medium.write(operation.offset, operation.bytes.subarray(0, length))
        }
        const content = await contentOf(medium).catch((error: { code?: string }) => error.code)
        if (content instanceof Buffer) {
          whole++
          expect(content.equals(expected)).toBe(true)
        } else expect(content).toMatch(/^VHD_/)
      }),
      { numRuns: 500, examples: [[{ end: operations.length, survivors: [[true, 8]] }]] },
    )
    expect(whole).toBeGreaterThan(0)
  })

  test('the table is written once, page by page, whatever the size of the disk', async () => {
    const counting = new CountingDevice(growing())
    const builder = await VhdBuilder.create(counting, { virtualSize: 2040 * GiB })
    await builder.finish()
    expect(counting.bytesWritten).toBe(builder.fileSize + 512 + 1024)
    expect(Math.max(...counting.writes.map(({ length }) => length))).toBe(MiB)
  })

  test('blocks out of order, twice, outside, and a file that is not whole are refused', async () => {
    const file = growing()
    const builder = await VhdBuilder.create(file, { virtualSize: 8 * MiB })
    await builder.place(2)
    for (const block of [1, 2, 4, 2.5]) await expect(builder.place(block)).rejects.toMatchObject({ code: 'BAD_BLOCK' })
    await expect(builder.finish()).rejects.toMatchObject({ code: 'INCOMPLETE' })
    await expect(finishFixed(file, planVhd({ virtualSize: MiB, fixed: true }))).rejects.toMatchObject({
      code: 'INCOMPLETE',
    })
    await expect(VhdBuilder.create(file, { virtualSize: MiB })).rejects.toMatchObject({ code: 'NOT_EMPTY' })
    await expect(VhdBuilder.create(growing(), { virtualSize: MiB, fixed: true })).rejects.toMatchObject({
      code: 'BAD_BLOCK_SIZE',
    })
  })
})

test.each([
  [{ virtualSize: 2040 * GiB + 512 }, 'BAD_VIRTUAL_SIZE'],
  [{ virtualSize: 0 }, 'BAD_VIRTUAL_SIZE'],
  [{ virtualSize: 1000 }, 'BAD_VIRTUAL_SIZE'],
  [{ virtualSize: 2 ** 53 }, 'BAD_VIRTUAL_SIZE'],
  [{ virtualSize: MiB, blockSize: MiB }, 'BAD_BLOCK_SIZE'],
  [{ virtualSize: MiB, blockSize: 2 * MiB, fixed: true }, 'BAD_BLOCK_SIZE'],
  // Its blocks would end at 2 TiB and 8 GiB.
  [{ virtualSize: 2040 * GiB, blockSize: 512 * KiB }, 'BAD_BLOCK_SIZE'],
  [{ virtualSize: MiB, uniqueId: 'mine' }, 'BAD_DISK_ID'],
] as const)('%o is refused', (options, code) => {
  expect(() => planVhd(options)).toThrow(expect.objectContaining({ code }))
})

test('the largest images still have places for all their blocks', () => {
  for (const options of [{ virtualSize: 2040 * GiB }, { virtualSize: 2030 * GiB, blockSize: 512 * KiB }]) {
    const { blockCount, blockSize } = planVhd(options)
    expect(imageSize({ blockCount, blockSize: blockSize! }, blockCount)).toBeLessThan(2 * TiB)
  }
})

/** Sizes around the steps of the geometry, and one that is a whole number of cylinders. */
const SIZES = [3 * MiB, 3 * MiB + 512, 17 * 4 * 512 * 100, 503 * MiB, 504 * MiB, 127 * GiB + 512, 2040 * GiB]

for (const virtualSize of SIZES) {
  testWith(['qemu-img', 'vhdiinfo', '7zz'], `ours → qemu, libvhdi, 7-Zip: dynamic, ${virtualSize} bytes`, async () => {
    await using folder = await scratch()
    const path = folder.path('image.vhd')
    const lastBlock = Math.ceil(virtualSize / (2 * MiB)) - 1
    {
      await using file = await FileDevice.open(path, { mode: 'create' })
      await build(file, { virtualSize, uniqueId: ID }, [0, lastBlock])
      expect(await file.isSparse()).toBe(false)
    }
    const info = JSON.parse((await run('qemu-img', ['info', '-f', 'vpc', '--output', 'json', path])).stdout)
    expect(info).toMatchObject({ format: 'vpc', 'virtual-size': virtualSize })
    const { stdout } = await run('vhdiinfo', [path])
    expect(stdout).toContain(`(${virtualSize} bytes)`)
    expect(stdout).toContain(ID)
    expect((await run('7zz', ['l', '-slt', path])).stdout).toContain(`Size = ${virtualSize}`)
  })
}

for (const blockSize of [2 * MiB, 512 * KiB]) {
  testWith(
    ['qemu-img', 'vhdimount', 'fuse', '7zz'],
    `ours → qemu, libvhdi, 7-Zip: every byte, blocks of ${blockSize}`,
    async () => {
      await using folder = await scratch()
      const path = folder.path('image.vhd')
      {
        await using file = await FileDevice.open(path, { mode: 'create' })
        await build(file, { virtualSize: 9 * MiB + 512, blockSize }, [0, 2, 4])
      }
      await using file = await FileDevice.open(path)
      const expected = await sha256(await VhdDevice.open(file))
      await run('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path, folder.path('back.raw')])
      expect(await hashFile(folder.path('back.raw'))).toBe(expected)
      expect(await withVhdi(path, hashFile)).toBe(expected)
      await run('7zz', ['x', '-y', `-o${folder.path('out')}`, path])
      expect(await hashFile(folder.path('out/image.img'))).toBe(expected)
    },
  )
}

testWith(['qemu-img', 'vhdimount', 'fuse'], 'ours → qemu, libvhdi: fixed', async () => {
  await using folder = await scratch()
  const path = folder.path('image.vhd')
  const virtualSize = 3 * MiB + 512
  {
    await using file = await FileDevice.open(path, { mode: 'create' })
    await buildFixed(file, { virtualSize })
    expect(file.size).toBe(fixedSize(planVhd({ virtualSize, fixed: true })))
  }
  await using file = await FileDevice.open(path)
  const disk = await VhdDevice.open(file)
  expect(disk).toMatchObject({ type: 'fixed', size: virtualSize, findings: [] })
  const expected = await sparseSha256(new MemoryDevice(pattern(virtualSize)))
  expect(await sparseSha256(disk)).toBe(expected)
  await run('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path, folder.path('back.raw')])
  expect(await hashFile(folder.path('back.raw'))).toBe(await sha256(disk))
  expect(await withVhdi(path, hashFile)).toBe(await sha256(disk))
})

testWith(['qemu-img', 'qemu-io'], 'ours → qemu writes → ours: a block more in our image', async () => {
  await using folder = await scratch()
  const path = folder.path('image.vhd')
  {
    await using file = await FileDevice.open(path, { mode: 'create' })
    await build(file, { virtualSize: 9 * MiB }, [1])
  }
  await run('qemu-io', ['-f', 'vpc', '-c', 'write -P 7 6M 64k', path])
  await using file = await FileDevice.open(path)
  const disk = await VhdDevice.open(file)
  expect(disk.findings).toEqual([])
  await run('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path, folder.path('back.raw')])
  expect(await sha256(disk)).toBe(await hashFile(folder.path('back.raw')))
  const piece = Buffer.alloc(64 * KiB)
  await disk.read(6 * MiB, piece)
  expect(piece.every(byte => byte === 7)).toBe(true)
})
