import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { endOf } from '../../lib/device/ranges.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { dynamicHeader, footer, type VhdType } from '../../lib/vhd/format.ts'
import { sectorRuns } from '../../lib/vhd/layout.ts'
import { VhdDevice } from '../../lib/vhd/vhd-device.ts'
import { describeBlockDevice } from '../device/conformance.ts'
import { collect } from '../helpers/collect.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { pattern } from '../helpers/pattern.ts'
import {
  CHILD_ID,
  device,
  entryAt,
  type MadeBlock,
  makeDynamic,
  makeFixed,
  makeFooter,
  PARENT_ID,
  setEntry,
} from './make-vhd.ts'

const BLOCK = 65_536

async function readAll(disk: BlockDevice): Promise<Buffer> {
  const content = Buffer.alloc(disk.size)
  await disk.read(0, content)
  return content
}

const codes = (disk: VhdDevice) => disk.findings.map(({ code }) => code)

/** The blocks of `content` that are not all zeros. */
function blocksOf(content: Buffer): Record<number, MadeBlock> {
  const blocks: Record<number, MadeBlock> = {}
  for (let at = 0; at < content.length; at += BLOCK) {
    const block = Buffer.alloc(BLOCK)
    content.copy(block, 0, at, at + BLOCK)
    if (!block.equals(Buffer.alloc(BLOCK))) blocks[at / BLOCK] = { content: block }
  }
  return blocks
}

describeBlockDevice('VhdDevice, fixed', {
  readOnly: async content => VhdDevice.open(device(makeFixed(content))),
})

describeBlockDevice('VhdDevice, dynamic', {
  readOnly: async content =>
    VhdDevice.open(device(makeDynamic({ size: content.length, blockSize: BLOCK, blocks: blocksOf(content) }))),
})

describeBlockDevice('VhdDevice, differencing: every second sector is in the child', {
  readOnly: async content => {
    // What the child has is wrong in the parent, and the other way round: neither may take the other's place.
    const parent = new MemoryDevice(Buffer.from(content))
    const sectors = Array.from({ length: BLOCK / 1024 }, (_, i) => i * 2)
    const blocks = Object.fromEntries(
      Object.entries(blocksOf(content)).map(([number, block]) => {
        const start = Number(number) * BLOCK
        for (let at = 0; at < BLOCK; at += 1024) {
          parent.content.subarray(start + at, start + at + 512).fill(0xee)
          block.content.fill(0xdd, at + 512, at + 1024)
        }
        return [number, { ...block, sectors }]
      }),
    )
    const file = makeDynamic({ size: content.length, blockSize: BLOCK, blocks, parent: { uniqueId: PARENT_ID } })
    return VhdDevice.open(device(file), { parent })
  },
})

describe('what an image says of itself', () => {
  test.each<[VhdType, Buffer]>([
    ['fixed', makeFixed(pattern(4096))],
    ['dynamic', makeDynamic({ size: 4096, blockSize: BLOCK })],
  ])('%s', async (type, file) => {
    await using disk = await VhdDevice.open(device(file))
    expect(disk).toMatchObject({ type, size: 4096, sectorSize: 512, readOnly: true, uniqueId: PARENT_ID })
    expect(disk).toMatchObject({ creator: 'test 1.2', findings: [], parentLink: undefined })
    expect(disk.created?.toISOString()).toBe('2020-10-14T14:13:20.000Z')
    expect(await disk.allocatedBlocks()).toBe(type === 'fixed' ? undefined : 0)
  })

  test('a differencing image, its parent in every way it can be named', async () => {
    const file = makeDynamic({
      size: 4096,
      parent: {
        uniqueId: PARENT_ID,
        timestamp: 60,
        name: 'C:\\disks\\parent.vhd',
        locators: {
          W2ku: 'C:\\disks\\parent.vhd',
          MacX: 'file:///disks/my%20parent.vhd',
          'Mac ': Buffer.from('an alias'),
          W2ru: '.\\parent.vhd\0rest',
          Wi2k: 'C:\\DISKS\\PARENT.VHD',
        },
      },
    })
    await expect(VhdDevice.open(device(file))).rejects.toMatchObject({
      name: 'UnsupportedError',
      code: 'PARENT_NOT_OPENED',
      message: expect.stringContaining("'.\\parent.vhd'"),
    })
    await using disk = await VhdDevice.open(device(file), { parent: new MemoryDevice(4096) })
    expect(disk).toMatchObject({ type: 'differencing', uniqueId: CHILD_ID, findings: [] })
    expect(disk.parentLink).toEqual({
      uniqueId: PARENT_ID,
      modified: new Date('2000-01-01T00:01:00Z'),
      paths: ['.\\parent.vhd', '/disks/my parent.vhd', 'C:\\disks\\parent.vhd', 'C:\\DISKS\\PARENT.VHD'],
    })
  })

  test.each([
    ['file://./parent.vhd', './parent.vhd'],
    ['file://localhost/a/parent.vhd', '/a/parent.vhd'],
    ['file:///a%ZZ', '/a%ZZ'],
  ])('the file URL %s', async (url, path) => {
    const file = makeDynamic({ size: 4096, parent: { uniqueId: PARENT_ID, locators: { MacX: url } } })
    await using disk = await VhdDevice.open(device(file), { parent: new MemoryDevice(4096) })
    expect(disk.parentLink?.paths).toEqual([path])
  })

  test('a locator that leads nowhere is passed over', async () => {
    const file = makeDynamic({ size: 4096, parent: { uniqueId: PARENT_ID, name: 'parent.vhd' } })
    const header = dynamicHeader.decode(file, 512)
    for (const [dataOffset, dataLength] of [
      [file.length, 2],
      [512, 65_537],
      [2 ** 50, 20],
      [2n ** 64n - 1n, 20],
    ] as const) {
      const lost = { platformCode: 0x57327275, dataSpace: 512, dataLength, dataOffset: BigInt(dataOffset) }
      const parentLocators = [lost, ...header.parentLocators.slice(1)]
      const changed = makeDynamic({
        size: 4096,
        parent: { uniqueId: PARENT_ID, name: 'parent.vhd' },
        header: { parentLocators },
      })
      await using disk = await VhdDevice.open(device(changed), { parent: new MemoryDevice(4096) })
      expect(codes(disk)).toEqual(['VHD_PARENT_LOCATOR'])
      expect(disk.parentLink?.paths).toEqual(['parent.vhd'])
    }
  })

  test('a parent of another size is refused', async () => {
    const file = makeDynamic({ size: 4096, parent: { uniqueId: PARENT_ID } })
    const expectRefused = async (size: number, footerAt: number) => {
      const opening = VhdDevice.open(device(file), { parent: new MemoryDevice(size) })
      const details = { position: footerAt + footer.offsetOf('currentSize'), expected: `${size}, as in its parent` }
      await expect(opening).rejects.toMatchObject({ name: 'FormatError', code: 'PARENT_SIZE', details })
    }
    for (const size of [4095, 8192]) await expectRefused(size, file.length - 512)
    // By the footer that was used.
    file.fill(0, file.length - 512)
    await expectRefused(8192, 0)
  })
})

describe('footers', () => {
  const content = pattern(3 * BLOCK)
  const whole = makeDynamic({ size: content.length, blockSize: BLOCK, blocks: blocksOf(content) })
  const last = whole.length - 512

  test.each([
    ['its cookie', (file: Buffer) => void file.fill(0, last, last + 8)],
    ['its checksum', (file: Buffer) => void file.writeUInt32BE(1, last + footer.offsetOf('checksum'))],
    ['a byte of it', (file: Buffer) => void file.writeUInt8(0xff, last + 48)],
  ])('the last one bad in %s: the copy is used', async (_, damage) => {
    const file = Buffer.from(whole)
    damage(file)
    await using disk = await VhdDevice.open(device(file))
    expect(codes(disk)).toEqual(['VHD_FOOTER_COPY_USED'])
    expect((await readAll(disk)).equals(content)).toBe(true)
  })

  test('the last one cut off, and other bytes behind it', async () => {
    for (const file of [whole.subarray(0, last), Buffer.concat([whole, Buffer.alloc(1000, 1)])]) {
      await using disk = await VhdDevice.open(device(file))
      expect(codes(disk)).toEqual(['VHD_FOOTER_COPY_USED'])
      expect((await readAll(disk)).equals(content)).toBe(true)
    }
  })

  test('the copy bad, or another one', async () => {
    for (const [code, copy] of [
      ['VHD_FOOTER_COPY_BAD', Buffer.alloc(512)],
      ['VHD_FOOTER_COPY_BAD', Buffer.from(whole.subarray(0, 512)).fill(0, 100, 200).fill(1, 68, 70)],
      ['VHD_FOOTERS_DIFFER', makeFooter(content.length - 512, 3)],
    ] as const) {
      const file = Buffer.concat([copy, whole.subarray(512)])
      await using disk = await VhdDevice.open(device(file))
      expect(codes(disk)).toEqual([code])
      expect((await readAll(disk)).equals(content)).toBe(true)
    }
  })

  test('both bad', async () => {
    const file = Buffer.from(whole)
      .fill(0, 0, 8)
      .fill(0, last, last + 8)
    await expect(VhdDevice.open(device(file))).rejects.toMatchObject({ name: 'FormatError', code: 'VHD_FOOTER' })
    for (const length of [0, 8, 510, 511, 512]) {
      const opening = VhdDevice.open(device(Buffer.alloc(length)))
      await expect(opening).rejects.toMatchObject({ code: 'VHD_FOOTER' })
    }
  })

  test('511 bytes, as Virtual PC once wrote it', async () => {
    for (const [file, size] of [
      [makeFixed(content), content.length],
      [whole, content.length],
    ] as const) {
      await using disk = await VhdDevice.open(device(file.subarray(0, file.length - 1)))
      expect(disk).toMatchObject({ size, findings: [] })
      expect((await readAll(disk)).equals(content)).toBe(true)
    }
  })

  test('a fixed disk is believed in spite of a wrong checksum when the file has its size', async () => {
    const file = makeFixed(content)
    file.writeUInt32BE(1, content.length + footer.offsetOf('checksum'))
    await using disk = await VhdDevice.open(device(file))
    expect(codes(disk)).toEqual(['VHD_FOOTER_CHECKSUM'])
    expect((await readAll(disk)).equals(content)).toBe(true)
    const shorter = device(file.subarray(512))
    await expect(VhdDevice.open(shorter)).rejects.toMatchObject({ code: 'VHD_FOOTER' })
  })

  test('a fixed disk that says it is longer than its file', async () => {
    const file = makeFixed(content, { currentSize: content.length + 512 })
    await expect(VhdDevice.open(device(file))).rejects.toMatchObject({
      name: 'FormatError',
      code: 'VHD_TRUNCATED',
      message: expect.stringContaining('A raw disk that only ends like a VHD is read with --format raw'),
    })
  })

  test('a suspended machine, an unknown version and type', async () => {
    await using disk = await VhdDevice.open(device(makeFixed(content, { savedState: 1 })))
    expect(codes(disk)).toEqual(['VHD_SAVED_STATE'])
    for (const [code, changes] of [
      ['VHD_VERSION', { version: 0x2_0000 }],
      ['VHD_TYPE', { diskType: 5 }],
      ['VHD_TYPE', { diskType: 0 }],
    ] as const) {
      const opening = VhdDevice.open(device(makeFixed(content, changes)))
      await expect(opening).rejects.toMatchObject({ name: 'UnsupportedError', code })
    }
  })
})

describe('the header and the table', () => {
  const size = 3 * BLOCK
  test.each([
    ['VHD_HEADER', { footer: { dataOffset: 0n } }],
    ['VHD_HEADER', { footer: { dataOffset: 2n ** 63n } }],
    ['BAD_CONSTANT', { footer: { dataOffset: 1024n } }],
    ['VHD_HEADER', { header: { version: 0x2_0000 } }],
    ['VHD_BLOCK_SIZE', { header: { blockSize: 0 } }],
    ['VHD_BLOCK_SIZE', { header: { blockSize: 3 * 512 } }],
    ['VHD_BLOCK_SIZE', { header: { blockSize: 2 ** 31 } }],
    ['VHD_BAT_PLACE', { header: { maxTableEntries: 2 } }],
    ['VHD_BAT_PLACE', { header: { tableOffset: 0 } }],
    ['VHD_BAT_PLACE', { header: { tableOffset: 2 ** 40 } }],
    ['VHD_BAT_PLACE', { footer: { currentSize: 2 ** 50 }, header: { maxTableEntries: 2 ** 32 - 1 } }],
  ])('%s: %o', async (code, changes) => {
    const file = makeDynamic({ size, blockSize: BLOCK, ...changes })
    await expect(VhdDevice.open(device(file))).rejects.toMatchObject({ name: 'FormatError', code })
  })

  test('a checksum that is wrong', async () => {
    const file = makeDynamic({ size, blockSize: BLOCK })
    file[512 + 900] = 1
    await expect(VhdDevice.open(device(file))).rejects.toMatchObject({ name: 'FormatError', code: 'VHD_HEADER' })
  })

  test('an entry that cannot be costs its block and no other', async () => {
    const content = pattern(size)
    const whole = makeDynamic({ size, blockSize: BLOCK, blocks: blocksOf(content) })
    for (const [code, sector] of [
      ['VHD_BAT_ON_STRUCTURE', 0],
      ['VHD_BAT_ON_STRUCTURE', 2],
      ['VHD_BAT_ON_STRUCTURE', 3],
      ['VHD_BAT_BEYOND_END', 0xffff_fffe],
      ['VHD_BAT_BEYOND_END', (whole.length - BLOCK) / 512],
    ] as const) {
      const file = Buffer.from(whole)
      setEntry(file, 1, sector)
      await using disk = await VhdDevice.open(device(file))
      const reading = disk.read(BLOCK, Buffer.alloc(BLOCK))
      await expect(reading).rejects.toMatchObject({ name: 'FormatError', code, details: { position: entryAt(1) } })
      const others = Buffer.alloc(2 * BLOCK)
      await disk.read(0, others.subarray(0, BLOCK))
      await disk.read(2 * BLOCK, others.subarray(BLOCK))
      expect(others.equals(Buffer.concat([content.subarray(0, BLOCK), content.subarray(2 * BLOCK)]))).toBe(true)
      expect(await collect(disk.dataRanges())).toEqual([{ offset: 0, length: size }])
    }
  })

  test('the last block may be short on the disk', async () => {
    const content = pattern(BLOCK + 512)
    const file = makeDynamic({ size: content.length, blockSize: BLOCK, blocks: blocksOf(content) })
    await using disk = await VhdDevice.open(device(file))
    expect((await readAll(disk)).equals(content)).toBe(true)
    expect(await disk.allocatedBlocks()).toBe(2)
  })
})

describe('bitmaps', () => {
  test('runs of sectors, against bits looked at one by one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(159), fc.nat(159), (bytes, a, b) => {
        const bitmap = Buffer.from(bytes)
        const [first, end] = [Math.min(a, b), Math.max(a, b)]
          .map(at => at % (bitmap.length * 8 + 1))
          .sort((x, y) => x - y)
        const bits = [...bitmap].map(byte => byte.toString(2).padStart(8, '0')).join('')
        const runs = sectorRuns(bitmap, first!, end!)
        expect(runs.map(({ count, present }) => (present ? '1' : '0').repeat(count)).join('')).toBe(
          bits.slice(first, end),
        )
        for (const [i, run] of runs.entries()) {
          expect(run.sector).toBe(i === 0 ? first : runs[i - 1]!.sector + runs[i - 1]!.count)
          if (i > 0) expect(run.present).not.toBe(runs[i - 1]!.present)
        }
      }),
    )
  })

  test('of a dynamic image: what is in a block counts, whatever its bits say', async () => {
    const content = pattern(BLOCK)
    const file = makeDynamic({ size: BLOCK, blockSize: BLOCK, blocks: { 0: { content, sectors: [1] } } })
    await using disk = await VhdDevice.open(device(file))
    expect((await readAll(disk)).equals(content)).toBe(true)
  })

  test('of a differencing image, in any order and with any bits: as a flat copy has it', async () => {
    const size = 4 * BLOCK
    const below = pattern(size, 7)
    const block = fc.record({
      block: fc.nat(3),
      sectors: fc.uniqueArray(fc.nat(BLOCK / 512 - 1), { maxLength: 40 }),
    })
    const blocks = fc.uniqueArray(block, { selector: ({ block }) => block, maxLength: 4 })
    const reads = fc.array(fc.tuple(fc.nat(size - 1), fc.nat(3 * BLOCK)), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(blocks, reads, async (blocks, reads) => {
        const flat = Buffer.from(below)
        const made: Record<number, { content: Buffer; sectors: number[] }> = {}
        for (const { block, sectors } of blocks) {
          const content = pattern(BLOCK, 1000 + block)
          made[block] = { content, sectors }
          for (const sector of sectors) {
            content.copy(flat, block * BLOCK + sector * 512, sector * 512, sector * 512 + 512)
          }
        }
        const file = makeDynamic({ size, blockSize: BLOCK, blocks: made, parent: { uniqueId: PARENT_ID } })
        await using disk = await VhdDevice.open(device(file), { parent: new MemoryDevice(below) })
        for (const [offset, length] of reads) {
          const target = Buffer.alloc(Math.min(length, size - offset), 0xaa)
          await disk.read(offset, target)
          expect(target.equals(flat.subarray(offset, offset + target.length))).toBe(true)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('sectors that are here and there by turns are few requests, of file and parent', async () => {
    const parent = new CountingDevice(new MemoryDevice(pattern(BLOCK, 7)))
    const sectors = Array.from({ length: BLOCK / 1024 }, (_, i) => i * 2)
    const blocks = { 0: { content: pattern(BLOCK), sectors } }
    const file = new CountingDevice(
      device(makeDynamic({ size: BLOCK, blockSize: BLOCK, blocks, parent: { uniqueId: PARENT_ID } })),
    )
    const disk = await VhdDevice.open(file, { parent })
    await disk.read(0, Buffer.alloc(512))
    const before = file.reads.length + parent.reads.length
    const content = await readAll(disk)
    expect(file.reads.length + parent.reads.length - before).toBe(2)
    for (let sector = 0; sector < BLOCK / 512; sector++) {
      const expected = pattern(BLOCK, sector % 2 === 0 ? 0 : 7).subarray(sector * 512, sector * 512 + 512)
      expect(content.subarray(sector * 512, sector * 512 + 512).equals(expected)).toBe(true)
    }
  })

  test('what a child does not have is data where it is data in the parent', async () => {
    const size = 4 * BLOCK
    const parent = await VhdDevice.open(
      device(makeDynamic({ size, blockSize: BLOCK, blocks: { 2: { content: pattern(BLOCK) } } })),
    )
    const child = makeDynamic({
      size,
      blockSize: BLOCK,
      blocks: { 0: { content: pattern(BLOCK), sectors: [5] } },
      parent: { uniqueId: PARENT_ID },
    })
    await using disk = await VhdDevice.open(device(child), { parent })
    const ranges = await collect(disk.dataRanges())
    expect(ranges).toEqual([
      { offset: 0, length: BLOCK },
      { offset: 2 * BLOCK, length: BLOCK },
    ])
    expect(endOf(ranges[1]!)).toBeLessThan(size)
  })
})

test('a disk of 2 TiB: opening and reading a sector read little', async () => {
  const size = 2040 * 2 ** 30
  const file = makeDynamic({ size, blocks: { 1000000: { content: pattern(2 ** 21) } } })
  const counted = new CountingDevice(device(file))
  const disk = await VhdDevice.open(counted)
  expect(counted.bytesRead).toBeLessThan(4096)
  const target = Buffer.alloc(512)
  await disk.read(1_000_000 * 2 ** 21, target)
  expect(target).toEqual(pattern(512))
  expect(counted.bytesRead).toBeLessThan(80_000)
  expect(await disk.allocatedBlocks()).toBe(1)
})

test('bytes changed at random: the disk, or an error with a code', async () => {
  const content = pattern(4 * BLOCK)
  const parent = { uniqueId: PARENT_ID, name: 'p.vhd', locators: { W2ru: '.\\p.vhd', MacX: 'file://./p.vhd' } }
  const files = [
    makeDynamic({ size: content.length, blockSize: BLOCK, blocks: blocksOf(content) }),
    makeDynamic({
      size: content.length,
      blockSize: BLOCK,
      blocks: { 1: { content: pattern(BLOCK), sectors: [1, 2, 9] } },
      parent,
    }),
  ]
  const at = fc.oneof(fc.nat(2560), fc.nat(5 * BLOCK))
  const changes = fc.array(fc.record({ at, byte: fc.nat(255) }), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...files), changes, fc.boolean(), async (whole, changes, repaired) => {
      const file = Buffer.from(whole)
      for (const { at, byte } of changes) file[at % file.length] = byte
      if (repaired) repair(file)
      try {
        const disk = await VhdDevice.open(device(file), { parent: new MemoryDevice(content.length) })
        await collect(disk.dataRanges())
        await disk.read(0, Buffer.alloc(Math.min(disk.size, 2 ** 20)))
      } catch (error) {
        if (!(error instanceof DiskImageError)) throw error
      }
    }),
    { numRuns: 300 },
  )
})

/** Makes all checksums good. */
function repair(file: Buffer): void {
  for (const [at, structure] of [
    [0, footer],
    [512, dynamicHeader],
    [file.length - 512, footer],
  ] as const) {
    const field = at + structure.offsetOf('checksum')
    let sum = 0
    for (let i = at; i < at + structure.size; i++) if (i < field || i >= field + 4) sum += file[i]!
    file.writeUInt32BE(0xffff_ffff - sum, field)
  }
}
