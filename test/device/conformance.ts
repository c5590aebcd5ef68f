/** What every BlockDevice promises, as tests that each of them passes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { endOf, type Range, totalLength } from '../../lib/device/ranges.ts'
import { OutOfRangeError, ReadOnlyError } from '../../lib/errors.ts'
import { collect } from '../helpers/collect.ts'
import { pattern } from '../helpers/pattern.ts'

/** How to make the devices of a kind. What a kind cannot be is left out. */
export interface DeviceKind {
  /** A device that holds `content` and can be written. */
  writable?(content: Buffer): Promise<BlockDevice>
  /** A device that holds `content` and cannot be written. */
  readOnly?(content: Buffer): Promise<BlockDevice>
  /** An empty device that grows. */
  growable?(): Promise<BlockDevice>
}

/** A disk with data at its start and end and in odd places between, the rest zeros. 1 MiB and 3 sectors of 4096. */
const CONTENT = Buffer.alloc(2 ** 20 + 3 * 4096)
for (const [offset, length] of [
  [0, 70_000],
  [131_072, 4096],
  [300_001, 1],
  [524_288, 200_000],
  [CONTENT.length - 513, 513],
] as const) {
  pattern(length, offset).copy(CONTENT, offset)
}

/** Requests that miss the sectors, cross them, and end with the device. */
const REQUESTS: readonly Range[] = [
  { offset: 0, length: 512 },
  { offset: 0, length: 1 },
  { offset: 1, length: 511 },
  { offset: 511, length: 2 },
  { offset: 513, length: 1023 },
  { offset: 4095, length: 4098 },
  { offset: 69_999, length: 61_074 },
  { offset: 300_000, length: 3 },
  { offset: CONTENT.length - 1, length: 1 },
  { offset: CONTENT.length - 5000, length: 5000 },
  { offset: 0, length: CONTENT.length },
]

async function read(device: BlockDevice, { offset, length }: Range): Promise<Buffer> {
  const target = Buffer.alloc(length, 0xaa)
  await device.read(offset, target)
  return target
}

const expected = (content: Buffer, range: Range) => content.subarray(range.offset, endOf(range))

/** Ordered, not touching, inside `within`, and everything between them zeros. */
function expectDataRanges(ranges: readonly Range[], within: Range, content: Buffer): void {
  let end = within.offset
  for (const [i, range] of ranges.entries()) {
    expect(range.length).toBeGreaterThan(0)
    if (i === 0) expect(range.offset).toBeGreaterThanOrEqual(end)
    else expect(range.offset).toBeGreaterThan(end)
    expect(content.subarray(end, range.offset).every(byte => byte === 0)).toBe(true)
    end = endOf(range)
  }
  expect(end).toBeLessThanOrEqual(endOf(within))
  expect(content.subarray(end, endOf(within)).every(byte => byte === 0)).toBe(true)
}

/** Whether `request` fails with `error`, be it thrown or rejected. */
const failure = (request: () => unknown) =>
  Promise.resolve()
    .then(request)
    .then(
      () => undefined,
      (error: unknown) => error,
    )

/** The tests of the contract of BlockDevice, for the devices that `kind` makes. */
export function describeBlockDevice(name: string, kind: DeviceKind): void {
  describe(`${name} keeps the contract of a block device`, () => {
    const { writable, readOnly, growable } = kind
    const readable = readOnly ?? writable
    if (readable !== undefined) describeReading(content => readable(content))
    if (readOnly !== undefined) describeReadOnly(content => readOnly(content))
    if (writable !== undefined) describeWriting(content => writable(content))
    if (growable !== undefined) describeGrowing(() => growable())
  })
}

function describeReading(open: (content: Buffer) => Promise<BlockDevice>): void {
  test('its size and sectors are what they are', async () => {
    await using device = await open(CONTENT)
    expect(device.size).toBe(CONTENT.length)
    expect([512, 4096]).toContain(device.sectorSize)
    expect(device.physicalSectorSize).toBeGreaterThanOrEqual(device.sectorSize)
  })

  test.each(REQUESTS)('reads $length bytes at byte $offset', async range => {
    await using device = await open(CONTENT)
    expect((await read(device, range)).equals(expected(CONTENT, range))).toBe(true)
  })

  test('reads into a part of a buffer and leaves the rest alone', async () => {
    await using device = await open(CONTENT)
    const target = Buffer.alloc(3000, 0xaa)
    await device.read(1000, target.subarray(7, 2007))
    expect(target.subarray(7, 2007).equals(CONTENT.subarray(1000, 3000))).toBe(true)
    expect([...target.subarray(0, 7), ...target.subarray(2007)].every(byte => byte === 0xaa)).toBe(true)
  })

  test('reads nothing anywhere, its end included', async () => {
    await using device = await open(CONTENT)
    for (const offset of [0, 1, device.size]) await device.read(offset, Buffer.alloc(0))
  })

  test('refuses to read outside', async () => {
    await using device = await open(CONTENT)
    for (const [offset, length] of [
      [device.size, 1],
      [device.size - 1, 2],
      [device.size + 1, 0],
      [-1, 1],
      [0.5, 1],
      [Number.NaN, 1],
      [Number.MAX_SAFE_INTEGER, 1],
      [2 ** 53, 512],
    ] as const) {
      expect(await failure(() => device.read(offset, Buffer.alloc(length)))).toBeInstanceOf(OutOfRangeError)
    }
    expect(await failure(() => device.dataRanges({ offset: 1, length: device.size }))).toBeInstanceOf(OutOfRangeError)
  })

  test('reads many places at a time', async () => {
    await using device = await open(CONTENT)
    const ranges = Array.from({ length: 64 }, (_, i) => ({ offset: (i * 7919) % 900_000, length: 1 + i * 700 }))
    const results = await Promise.all(ranges.map(range => read(device, range)))
    for (const [i, result] of results.entries()) expect(result.equals(expected(CONTENT, ranges[i]!))).toBe(true)
  })

  test('says where data may be', async () => {
    await using device = await open(CONTENT)
    const everything = { offset: 0, length: device.size }
    expectDataRanges(await collect(device.dataRanges()), everything, CONTENT)
    await fc.assert(
      fc.asyncProperty(fc.nat(device.size), fc.nat(device.size), async (a, b) => {
        const within = { offset: Math.min(a, b), length: Math.abs(a - b) }
        expectDataRanges(await collect(device.dataRanges(within)), within, CONTENT)
      }),
      { numRuns: 30 },
    )
  })

  test('has no data in an empty range', async () => {
    await using device = await open(CONTENT)
    for (const offset of [0, 300_001, device.size]) {
      expect(await collect(device.dataRanges({ offset, length: 0 }))).toEqual([])
    }
  })

  test('closes twice', async () => {
    const device = await open(CONTENT)
    await device.close()
    await device.close()
  })
}

function describeReadOnly(open: (content: Buffer) => Promise<BlockDevice>): void {
  test('is read-only, and says so when written', async () => {
    await using device = await open(CONTENT)
    expect(device.readOnly).toBe(true)
    expect(await failure(() => device.write(0, Buffer.alloc(1)))).toBeInstanceOf(ReadOnlyError)
    expect(await failure(() => device.zero(0, 1))).toBeInstanceOf(ReadOnlyError)
    await device.flush()
    expect((await read(device, { offset: 0, length: 512 })).equals(CONTENT.subarray(0, 512))).toBe(true)
  })
}

function describeWriting(open: (content: Buffer) => Promise<BlockDevice>): void {
  const everything = { offset: 0, length: CONTENT.length }

  test.each(REQUESTS)('writes $length bytes at byte $offset and nothing else', async ({ offset, length }) => {
    await using device = await open(CONTENT)
    const content = Buffer.from(CONTENT)
    pattern(length, offset + 100).copy(content, offset)
    await device.write(offset, pattern(length, offset + 100))
    await device.flush()
    expect((await read(device, everything)).equals(content)).toBe(true)
    expectDataRanges(await collect(device.dataRanges()), everything, content)
  })

  test('leaves what it is given to write as it was', async () => {
    await using device = await open(CONTENT)
    const source = pattern(5000, 3)
    await device.write(1234, source)
    expect(source.equals(pattern(5000, 3))).toBe(true)
  })

  test.each(REQUESTS)('zeroes $length bytes at byte $offset and nothing else', async ({ offset, length }) => {
    await using device = await open(CONTENT)
    const content = Buffer.from(CONTENT).fill(0, offset, offset + length)
    await device.zero(offset, length)
    expect((await read(device, everything)).equals(content)).toBe(true)
    expectDataRanges(await collect(device.dataRanges()), everything, content)
  })

  test('writes to different bytes at a time do not disturb each other', async () => {
    await using device = await open(Buffer.alloc(CONTENT.length))
    const content = pattern(CONTENT.length)
    const pieces: Range[] = []
    for (let offset = 0; offset < content.length; offset += pieces.at(-1)!.length) {
      pieces.push({ offset, length: Math.min(1 + ((pieces.length * 3571) % 30_000), content.length - offset) })
    }
    // Odd ones first, so that neighbours do not come one after the other.
    const mixed = [...pieces.filter((_, i) => i % 2 === 1), ...pieces.filter((_, i) => i % 2 === 0)]
    await Promise.all(mixed.map(range => device.write(range.offset, expected(content, range))))
    expect(totalLength(pieces)).toBe(content.length)
    expect((await read(device, everything)).equals(content)).toBe(true)
  })

  test('refuses to write outside, unless it grows', async () => {
    await using device = await open(CONTENT)
    const requests: [number, number][] = [
      [-1, 1],
      [0.5, 1],
      [Number.MAX_SAFE_INTEGER, 1],
    ]
    if (!device.growable) requests.push([device.size, 1], [device.size - 1, 2], [device.size + 1, 0])
    for (const [offset, length] of requests) {
      expect(await failure(() => device.write(offset, Buffer.alloc(length)))).toBeInstanceOf(OutOfRangeError)
      expect(await failure(() => device.zero(offset, length))).toBeInstanceOf(OutOfRangeError)
    }
    expect(device.size).toBe(CONTENT.length)
    expect((await read(device, everything)).equals(CONTENT)).toBe(true)
  })

  test('writes nothing anywhere, its end included', async () => {
    await using device = await open(CONTENT)
    for (const offset of [0, 1, device.size]) {
      await device.write(offset, Buffer.alloc(0))
      await device.zero(offset, 0)
    }
    expect((await read(device, everything)).equals(CONTENT)).toBe(true)
  })

  test('does what a slow model does, whatever comes', async () => {
    const request = fc.record({
      verb: fc.constantFrom('read', 'write', 'zero'),
      offset: fc.nat(CONTENT.length),
      length: fc.oneof(fc.nat(20), fc.nat(10_000), fc.nat(200_000)),
      seed: fc.nat(250),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 12 }), async requests => {
        await using device = await open(CONTENT)
        const model = Buffer.from(CONTENT)
        for (const { verb, offset, length: wanted, seed } of requests) {
          const length = Math.min(wanted, CONTENT.length - offset)
          if (verb === 'read') {
            expect((await read(device, { offset, length })).equals(expected(model, { offset, length }))).toBe(true)
          } else if (verb === 'write') {
            pattern(length, seed).copy(model, offset)
            await device.write(offset, pattern(length, seed))
          } else {
            model.fill(0, offset, offset + length)
            await device.zero(offset, length)
          }
        }
        expect((await read(device, everything)).equals(model)).toBe(true)
        expectDataRanges(await collect(device.dataRanges()), everything, model)
      }),
      { numRuns: 15 },
    )
  })
}

function describeGrowing(open: () => Promise<BlockDevice>): void {
  test('grows as it is written, with zeros between', async () => {
    await using device = await open()
    expect(device.size).toBe(0)
    await device.write(0, pattern(1000))
    expect(device.size).toBe(1000)
    await device.write(70_001, pattern(500, 70_001))
    expect(device.size).toBe(70_501)
    await device.write(10, pattern(5, 10))
    await device.zero(70_501, 99)
    expect(device.size).toBe(70_600)
    const content = Buffer.alloc(70_600)
    pattern(1000).copy(content)
    pattern(500, 70_001).copy(content, 70_001)
    expect((await read(device, { offset: 0, length: device.size })).equals(content)).toBe(true)
    expectDataRanges(await collect(device.dataRanges()), { offset: 0, length: device.size }, content)
    expect(await failure(() => device.read(70_600, Buffer.alloc(1)))).toBeInstanceOf(OutOfRangeError)
  })

  test('writes past its end at a time end up where they belong', async () => {
    await using device = await open()
    const content = pattern(400_000)
    const offsets = [300_000, 0, 200_000, 100_000]
    await Promise.all(offsets.map(offset => device.write(offset, content.subarray(offset, offset + 100_000))))
    expect(device.size).toBe(400_000)
    expect((await read(device, { offset: 0, length: 400_000 })).equals(content)).toBe(true)
  })
}
