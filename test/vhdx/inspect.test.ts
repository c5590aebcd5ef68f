import { beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { mapBlocks } from '../../lib/vhdx/block-map.ts'
import { virtualDiskSize } from '../../lib/vhdx/format.ts'
import { inspectVhdx } from '../../lib/vhdx/inspect.ts'
import type { InspectedStructure } from '../../lib/vhdx/structure-view.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { makeLayer } from './differencing-image.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { BAT_AT, ITEMS_AT, TestImage } from './test-image.ts'

const ID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'

let base: TestImage

beforeAll(async () => {
  const options = { virtualSize: 8 * MiB, blockSize: MiB, creator: 'a test', virtualDiskId: ID }
  base = await TestImage.make(options, [0, 3, 7], [{ itemId: LOG_GUID, data: pattern(100) }])
})

const named = (structures: readonly InspectedStructure[], name: string) => structures.find(s => s.name === name)!

const fieldsOf = ({ fields }: InspectedStructure) => Object.fromEntries(fields.map(({ name, value }) => [name, value]))

describe('inspect', () => {
  test('shows every structure, in the order a reader needs them, with places and values', async () => {
    const { fileSize, structures, problems } = await inspectVhdx(base.device)
    expect(fileSize).toBe(7 * MiB)
    expect(problems).toEqual([])
    expect(structures.map(({ name, position, status }) => [name, position, status])).toEqual([
      ['file identifier', 0, undefined],
      ['header 1', 0x10000, 'not current'],
      ['header 2', 0x20000, 'current'],
      ['region table 1', 0x30000, 'used'],
      ['region table 2', 0x40000, 'spare'],
      ['region entry: BAT', 0x30010, undefined],
      ['region entry: metadata', 0x30030, undefined],
      ['log', MiB, 'clean'],
      ['metadata table', 2 * MiB, undefined],
      ...[
        'file parameters',
        'virtual disk size',
        'logical sector size',
        'physical sector size',
        'virtual disk id',
      ].flatMap((name, n) => [
        [`metadata entry: ${name}`, 2 * MiB + 32 + n * 32, undefined],
        [`metadata item: ${name}`, ITEMS_AT + [0, 8, 16, 20, 24][n]!, undefined],
      ]),
      [`metadata entry: user ${LOG_GUID}`, 2 * MiB + 32 + 5 * 32, undefined],
      [`metadata item: user ${LOG_GUID}`, ITEMS_AT + 40, undefined],
      ['BAT', BAT_AT, undefined],
    ])
    expect(fieldsOf(named(structures, 'file identifier'))).toEqual({ signature: 'vhdxfile', creator: 'a test' })
    expect(named(structures, 'header 2').fields).toContainEqual({
      name: 'sequenceNumber',
      position: 0x20008,
      value: 2n,
    })
    expect(fieldsOf(named(structures, 'metadata item: file parameters'))).toEqual({ blockSize: MiB, flags: 0 })
    expect(fieldsOf(named(structures, 'metadata item: virtual disk id'))).toEqual({ virtualDiskId: ID })
    expect(fieldsOf(named(structures, 'BAT'))).toEqual({
      entries: 8,
      payloadBlocks: 8,
      chunkRatio: 4096,
      fullyPresent: 3,
      notPresent: 5,
    })
  })

  test('shows entries of the BAT when asked, as far as it goes', async () => {
    const image = base.copy()
    image.edit(virtualDiskSize, ITEMS_AT + 8, { virtualDiskSize: 4098 * MiB })
    image.setBat(4095, 2)
    image.setBat(4096, 6, 9)
    image.setBat(4097, 6, 5, 1)
    const { structures } = await inspectVhdx(image.device, { batEntries: { first: 4095, count: 1000 } })
    expect(named(structures, 'BAT entries').fields).toEqual([
      { name: 'block 4095', position: BAT_AT + 4095 * 8, value: 'zero' },
      { name: 'bitmap 0', position: BAT_AT + 4096 * 8, value: 'present at MiB 9' },
      { name: 'block 4096', position: BAT_AT + 4097 * 8, value: 'fullyPresent at MiB 5 reserved bits' },
      { name: 'block 4097', position: BAT_AT + 4098 * 8, value: 'notPresent' },
    ])
    const beyond = await inspectVhdx(image.device, { batEntries: { first: 10_000, count: 1 } })
    expect(named(beyond.structures, 'BAT entries').fields).toEqual([])
    const tooMany = inspectVhdx(image.device, { batEntries: { first: 0, count: 65537 } })
    await expect(tooMany).rejects.toMatchObject({ code: 'TOO_MANY_ENTRIES' })
  })

  test('shows the entries of the log, and which of them are to be replayed', async () => {
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    putInLog(image, 0, logEntry({ sequenceNumber: 5n }))
    const zeros = [{ fileOffset: BAT_AT, zeroLength: 8192 }]
    const data = [{ fileOffset: 2 * MiB, bytes: Buffer.from(image.content.subarray(2 * MiB, 2 * MiB + 4096)) }]
    putInLog(image, 4096, logEntry({ sequenceNumber: 6n, tail: 4096, zeros, data }))
    putInLog(image, 65536, logEntry({ sequenceNumber: 9n, logGuid: ID }))
    const { structures } = await inspectVhdx(image.device)
    expect(named(structures, 'log')).toMatchObject({ status: 'replayed in memory' })
    expect(fieldsOf(named(structures, 'log'))).toEqual({
      activeEntries: 2,
      replayFrom: MiB + 4096,
      lastSequenceNumber: 6n,
    })
    const entries = structures.filter(({ name }) => name === 'log entry')
    expect(entries.map(({ position, status }) => [position, status])).toEqual([
      [MiB, 'before the tail: not replayed'],
      [MiB + 4096, 'to be replayed'],
      [MiB + 65536, 'of an earlier session'],
    ])
    expect(entries[1]!.fields.filter(({ name }) => name === 'write')).toEqual([
      { name: 'write', position: MiB + 4096 + 64, value: '8192 bytes at 0x300000, zeros' },
      { name: 'write', position: MiB + 4096 + 96, value: '4096 bytes at 0x200000, from 0x102000' },
    ])
    // What the log changes is shown as it is after the replay, and says so.
    expect(named(structures, 'BAT')).toMatchObject({ status: 'after replay of the log' })
    expect(fieldsOf(named(structures, 'BAT'))).toMatchObject({ notPresent: 8 })
    expect(named(structures, 'metadata table')).toMatchObject({ status: 'after replay of the log' })
    expect(named(structures, 'metadata item: virtual disk id')).not.toHaveProperty('status')
  })

  test('a log that cannot be replayed, and an entry of many writes', async () => {
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    const zeros = Array.from({ length: 200 }, (_, n) => ({ fileOffset: n * 4096, zeroLength: 4096 }))
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, zeros }))
    const { structures, problems } = await inspectVhdx(image.device)
    expect(problems.map(({ code }) => code)).toEqual(['LOG_TARGET'])
    expect(named(structures, 'log')).toMatchObject({ status: 'cannot be replayed' })
    const { fields } = named(structures, 'log entry')
    expect(fields.filter(({ name }) => name === 'write')).toHaveLength(32)
    expect(fields.at(-1)).toMatchObject({ name: 'furtherWrites', value: 168 })
  })

  test('shows sector bitmaps, and says how much of each is in the file', async () => {
    const file = new MemoryDevice(0, { growable: true })
    const blocks = new Map([[3, { state: 7, written: [{ offset: 3 * MiB + 512, length: 9 * 512 }] }]])
    await makeLayer(file, { virtualSize: 8 * MiB, blockSize: MiB, blocks, locator: { relative_path: 'x' } })
    const { structures } = await inspectVhdx(file)
    expect(named(structures, 'sector bitmap 0')).toMatchObject({ position: 5 * MiB, size: MiB })
    expect(fieldsOf(named(structures, 'sector bitmap 0'))).toEqual({ sectorsInFile: 9 })
    file.content.writeBigUInt64LE(2n ** 63n + 6n, BAT_AT + 4096 * 8)
    const lost = named((await inspectVhdx(file)).structures, 'sector bitmap 0, by its BAT entry')
    expect(lost).toMatchObject({ position: BAT_AT + 4096 * 8, status: 'beyond the end of the file' })
  })

  test('shows a parent locator', async () => {
    const image = base.copy()
    image.makeChild({ parent_linkage: `{${ID}}`, relative_path: '..\\base.vhdx' })
    const { structures } = await inspectVhdx(image.device)
    expect(fieldsOf(named(structures, 'parent locator'))).toEqual({
      parent_linkage: `{${ID}}`,
      relative_path: '..\\base.vhdx',
    })
  })

  test('shows a bad structure with its bytes and what is wrong with it', async () => {
    const image = base.copy()
    image.content.fill(255, 0x20048, 0x20050)
    const { structures } = await inspectVhdx(image.device)
    const header = named(structures, 'header 2')
    expect(header).toMatchObject({ status: 'bad', problems: [{ code: 'HEADER_COPY_BAD' }] })
    expect(fieldsOf(header)).toMatchObject({ signature: 'head', logOffset: '0xffffffffffffffff' })
  })
})

describe('the picture of the disk', () => {
  const mapOf = async (cells: number, image = base) => mapBlocks(await VhdxDevice.open(image.device), cells)

  test('shares of the parts, more parts than blocks, and parts that blocks do not fill evenly', async () => {
    expect((await mapOf(8)).cells).toEqual([1, 0, 0, 1, 0, 0, 0, 1])
    expect((await mapOf(1024)).cells).toHaveLength(8)
    expect((await mapOf(2)).cells).toEqual([0.5, 0.25])
    // 8 blocks in 3 parts: 3, 3 and 2 of them.
    expect((await mapOf(3)).cells).toEqual([1 / 3, 1 / 3, 1 / 2])
    expect((await mapOf(1)).blocks).toMatchObject({ notPresent: 5, fullyPresent: 3 })
  })

  test('no block is lost or counted twice, however many parts', async () => {
    const image = await TestImage.make({ virtualSize: 997 * MiB, blockSize: MiB }, [])
    for (let block = 0; block < 997; block++) if (block % 7 < 3) image.setBat(block, 6, 4)
    for (const count of [1, 2, 10, 64, 500, 996, 997]) {
      const { cells } = await mapOf(count, image)
      const lengths = cells.map((_, cell) => Math.ceil(((cell + 1) * 997) / count) - Math.ceil((cell * 997) / count))
      const present = cells.reduce((sum, share, cell) => sum + share * lengths[cell]!, 0)
      expect(Math.round(present * 1e6) / 1e6).toBe(
        Array.from({ length: 997 }, (_, n) => n).filter(n => n % 7 < 3).length,
      )
    }
  })
})
