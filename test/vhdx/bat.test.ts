import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { Bat, type BlockRun } from '../../lib/vhdx/bat.ts'
import { highAt, lowAt, mebibyteOf, reservedBitsOf, stateOf, writeEntry } from '../../lib/vhdx/bat-entry.ts'
import { BatWriter } from '../../lib/vhdx/bat-writer.ts'
import { FULLY_PRESENT } from '../../lib/vhdx/format.ts'
import { type Geometry, geometryOf, isBitmapEntry, payloadEntryIndex } from '../../lib/vhdx/layout.ts'
import { collect } from '../helpers/collect.ts'
import { CountingDevice } from '../helpers/counting-device.ts'

/** Blocks of 256 MiB: 16 to a chunk, so that bitmap entries are everywhere. */
const geometry = (blockCount: number): Geometry =>
  geometryOf({
    virtualSize: blockCount * 256 * MiB,
    blockSize: 256 * MiB,
    logicalSectorSize: 512,
    physicalSectorSize: 512,
    hasParent: false,
  })

/** A table with these states, every bitmap entry set so that counting one as a block shows. */
function tableOf(states: Uint8Array, { batEntryCount, chunkRatio }: Geometry): Buffer {
  const table = Buffer.alloc(batEntryCount * 8)
  for (let index = chunkRatio; index < batEntryCount; index += chunkRatio + 1) table[index * 8] = 6
  for (const [block, state] of states.entries()) table[payloadEntryIndex(block, chunkRatio) * 8] = state
  return table
}

/** One block after the other. */
function slowRuns(states: Uint8Array, first: number, end: number): BlockRun[] {
  const runs: { kind: number; block: number; count: number }[] = []
  for (let block = first; block < end; block++) {
    const last = runs.at(-1)
    if (last !== undefined && last.kind === states[block]) last.count++
    else runs.push({ kind: states[block]!, block, count: 1 })
  }
  return runs
}

describe('runs of blocks in one state', () => {
  test('as a slow model has them, in tables of several pages, from anywhere to anywhere', async () => {
    const changes = fc.array(fc.tuple(fc.nat(299_999), fc.integer({ min: 1, max: 40_000 }), fc.nat(7)), {
      maxLength: 20,
    })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 300_000 }),
        changes,
        fc.nat(),
        fc.nat(),
        async (blockCount, changes, a, b) => {
          const states = new Uint8Array(blockCount)
          for (const [block, count, state] of changes) states.fill(state, block, block + count)
          const shape = geometry(blockCount)
          const bat = new Bat(new MemoryDevice(tableOf(states, shape)), 0, shape)
          const [first, end] = [Math.min(a % blockCount, b % blockCount), Math.max(a % blockCount, b % blockCount) + 1]
          expect(await collect(bat.runs(stateOf))).toEqual(slowRuns(states, 0, blockCount))
          expect(await collect(bat.runs(stateOf, first, end))).toEqual(slowRuns(states, first, end))
          expect(await bat.presentCount()).toBe(states.filter(state => state >= 6).length)
        },
      ),
      { numRuns: 30 },
    )
  })

  test('states that change at every block', async () => {
    const states = Uint8Array.from({ length: 1000 }, (_, n) => [0, 6, 2][n % 3]!)
    const shape = geometry(1000)
    const bat = new Bat(new MemoryDevice(tableOf(states, shape)), 0, shape)
    expect(await collect(bat.runs(stateOf))).toEqual(slowRuns(states, 0, 1000))
  })

  test('of no blocks', async () => {
    const bat = new Bat(new MemoryDevice(0), 0, geometry(1))
    expect(await collect(bat.runs(stateOf, 1, 1))).toEqual([])
  })
})

describe('single entries', () => {
  test('every block, at the end of each page too', async () => {
    const shape = geometry(20_000)
    const table = Buffer.alloc(shape.batEntryCount * 8)
    for (let block = 0; block < shape.blockCount; block++) {
      writeEntry(table, payloadEntryIndex(block, shape.chunkRatio) * 8, FULLY_PRESENT, (block + 1) * 256 * MiB)
    }
    const bat = new Bat(new MemoryDevice(table), 0, shape)
    const wrong: number[] = []
    for (let block = 0; block < shape.blockCount; block++) {
      const { state, mebibyte, reservedBits, position } = await bat.entry(block)
      const isRight = state === 6 && mebibyte === (block + 1) * 256 && reservedBits === 0
      if (!isRight || position !== payloadEntryIndex(block, 16) * 8) wrong.push(block)
    }
    expect(wrong).toEqual([])
  })

  test('pages are read once while they are kept, 64 of them', async () => {
    const shape = geometry(1_000_000)
    const device = new CountingDevice(new MemoryDevice(shape.batEntryCount * 8))
    const bat = new Bat(device, 0, shape)
    await Promise.all([bat.entry(0), bat.entry(1), bat.entry(2)])
    await bat.entry(7000)
    expect(device.reads).toEqual([{ offset: 0, length: 65536 }])
    for (let page = 1; page < 64; page++) await bat.entry(page * 7800)
    await bat.entry(0)
    expect(device.reads).toHaveLength(64)
    for (let page = 64; page < 128; page++) await bat.entry(page * 7800)
    await bat.entry(0)
    expect(device.reads).toHaveLength(129)
  })

  test('a page that could not be read is asked for again', async () => {
    const shape = geometry(10)
    let isBroken = true
    const file = {
      size: 80,
      async read() {
        if (isBroken) throw new Error('not now')
      },
    }
    const bat = new Bat(file, 0, shape)
    await expect(bat.entry(0)).rejects.toThrow('not now')
    isBroken = false
    expect(await bat.entry(0)).toMatchObject({ state: 0 })
  })
})

describe('an entry', () => {
  test.each([1, 4, 4095, 4096, 2 ** 20, 2 ** 28, 2 ** 33])('written at MiB %i', mebibyte => {
    const entry = Buffer.alloc(8)
    writeEntry(entry, 0, FULLY_PRESENT, mebibyte * MiB)
    expect(entry.readBigUInt64LE()).toBe(BigInt(mebibyte) * 2n ** 20n + 6n)
    expect(mebibyteOf(lowAt(entry, 0), highAt(entry, 0))).toBe(mebibyte)
  })

  test('takes its 64 bits apart as a bigint does', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), value => {
        const entry = Buffer.alloc(8)
        entry.writeBigUInt64LE(value)
        const [low, high] = [lowAt(entry, 0), highAt(entry, 0)]
        expect(stateOf(low)).toBe(Number(value & 7n))
        expect(reservedBitsOf(low)).toBe(Number((value >> 3n) & 0x1ffffn))
        expect(mebibyteOf(low, high)).toBe(Number(value >> 20n))
      }),
    )
  })
})

test('the writer writes every page in order, whatever blocks are set', async () => {
  const shape = geometry(300_000)
  const regionLength = 3 * MiB
  const pages: { offset: number; page: Buffer }[] = []
  const writer = new BatWriter(shape.chunkRatio, regionLength, async (offset, page) => {
    pages.push({ offset, page: Buffer.from(page) })
  })
  const blocks = [0, 15, 16, 17, 123_359, 123_360, 299_999]
  for (const block of blocks) await writer.setPresent(block, (block + 1) * MiB)
  await writer.finish()
  expect(pages.map(({ offset }) => offset)).toEqual([0, MiB, 2 * MiB])
  const table = Buffer.concat(pages.map(({ page }) => page))
  const present = blocks.map(block => payloadEntryIndex(block, 16))
  for (let index = 0; index < regionLength / 8; index++) {
    const value = table.readBigUInt64LE(index * 8)
    const block = blocks[present.indexOf(index)]
    if (value !== (block === undefined ? 0n : BigInt(block + 1) * 2n ** 20n + 6n)) expect.fail(`entry ${index}`)
    if (block !== undefined && isBitmapEntry(index, 16)) expect.fail(`entry ${index} is a bitmap's`)
  }
})
