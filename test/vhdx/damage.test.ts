/** Each byte of each structure flipped, and the file cut everywhere: the right answer or a named error, nothing else. */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import {
  HEADER_POSITIONS,
  header,
  metadataEntry,
  metadataTableHeader,
  REGION_TABLE_POSITIONS,
  regionEntry,
  regionTableHeader,
} from '../../lib/vhdx/format.ts'
import { inspectVhdx } from '../../lib/vhdx/inspect.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { BAT_AT, ITEMS_AT, METADATA_AT, TestImage } from './test-image.ts'

const SIZE = 4 * MiB
const BLOCKS = [0, 2]

let base: TestImage
let disk: Buffer

beforeAll(async () => {
  base = await TestImage.make({ virtualSize: SIZE, blockSize: MiB }, BLOCKS)
  disk = Buffer.alloc(SIZE)
  for (const block of BLOCKS) pattern(MiB, block * MiB).copy(disk, block * MiB)
})

type Outcome = 'right' | 'wrong' | 'refused' | 'failed'

/** What a reader gets, and that nothing but our own errors comes out of anything. */
async function outcomeOf(image: TestImage): Promise<Outcome> {
  try {
    const opened = await VhdxDevice.open(image.device)
    const content = Buffer.alloc(SIZE)
    if (opened.size !== SIZE) return 'wrong'
    await opened.read(0, content)
    return content.equals(disk) ? 'right' : 'wrong'
  } catch (error) {
    return error instanceof DiskImageError ? 'refused' : 'failed'
  }
}

interface Place {
  readonly offset: number
  readonly length: number
}

/** The flips of `place` after which `isBad` finds something to complain about. */
async function flips(
  place: Place,
  repair: boolean,
  isBad: (outcome: Outcome, errors: number, warnings: number) => boolean,
): Promise<string[]> {
  const bad: string[] = []
  for (let at = place.offset; at < place.offset + place.length; at++) {
    for (const bits of [0x01, 0x80, 0xff]) {
      const image = base.copy()
      image.content[at]! ^= bits
      if (repair) image.repair()
      const outcome = await outcomeOf(image)
      const { errors, warnings } = (await checkVhdx(image.device)).summary
      await inspectVhdx(image.device, { batEntries: { first: 0, count: 8 } })
      if (isBad(outcome, errors, warnings)) bad.push(`0x${at.toString(16)} ^ ${bits}: ${outcome}, ${errors} errors`)
    }
  }
  return bad
}

describe('each byte flipped', () => {
  test('of the signature: no VHDX', async () => {
    expect(await flips({ offset: 0, length: 8 }, false, outcome => outcome !== 'refused')).toEqual([])
  })

  test('of the creator: nobody minds', async () => {
    const isBad = (outcome: Outcome, errors: number, warnings: number) => outcome !== 'right' || errors + warnings > 0
    expect(await flips({ offset: 8, length: 24 }, false, isBad)).toEqual([])
  })

  test.each(HEADER_POSITIONS)('of the header at %i: the other one serves, with a warning', async position => {
    const isBad = (outcome: Outcome, errors: number, warnings: number) =>
      outcome !== 'right' || errors !== 0 || warnings !== 1
    expect(await flips({ offset: position, length: header.size }, false, isBad)).toEqual([])
    expect(await flips({ offset: position + 4090, length: 6 }, false, isBad)).toEqual([])
  })

  test.each(REGION_TABLE_POSITIONS)(
    'of the region table at %i: the other one serves, with a warning',
    async position => {
      const length = regionTableHeader.size + 2 * regionEntry.size
      const isBad = (outcome: Outcome, errors: number, warnings: number) =>
        outcome !== 'right' || errors !== 0 || warnings !== 1
      expect(await flips({ offset: position, length }, false, isBad)).toEqual([])
    },
  )

  test.each(HEADER_POSITIONS)('of the header at %i, with a good checksum: right or refused', async position => {
    const isBad = (outcome: Outcome) => outcome !== 'right' && outcome !== 'refused'
    expect(await flips({ offset: position, length: header.size }, true, isBad)).toEqual([])
  })

  test.each(REGION_TABLE_POSITIONS)(
    'of the region table at %i, with a good checksum: never wrong unseen',
    async position => {
      const length = regionTableHeader.size + 2 * regionEntry.size
      const isBad = (outcome: Outcome, errors: number, warnings: number) =>
        outcome === 'failed' || (outcome === 'wrong' && errors + warnings === 0)
      expect(await flips({ offset: position, length }, true, isBad)).toEqual([])
    },
  )

  test('of the metadata table: right or refused', async () => {
    const length = metadataTableHeader.size + 5 * metadataEntry.size
    const isBad = (outcome: Outcome) => outcome === 'failed' || outcome === 'wrong'
    expect(await flips({ offset: METADATA_AT, length }, false, isBad)).toEqual([])
  })

  /** Nothing guards these: a disk that is said to have another size has it. */
  test('of the metadata items: right, refused or another disk', async () => {
    expect(await flips({ offset: ITEMS_AT, length: 40 }, false, outcome => outcome === 'failed')).toEqual([])
  })

  test('of the BAT: never wrong unseen by check', async () => {
    const isBad = (outcome: Outcome, errors: number, warnings: number) =>
      outcome === 'failed' || (outcome === 'wrong' && errors + warnings === 0)
    expect(await flips({ offset: BAT_AT, length: 4 * 8 }, false, isBad)).toEqual([])
  })

  test('of a parent locator: never opened, and nothing but our own errors', async () => {
    const child = base.copy()
    child.makeChild({ parent_linkage: `{${LOG_GUID}}`, relative_path: '..\\base.vhdx' })
    const locator = METADATA_AT + 0x25000
    expect(await outcomeOf(child)).toBe('refused')
    for (let at = locator; at < locator + 200; at++) {
      const image = child.copy()
      image.content[at]! ^= 0xff
      expect(await outcomeOf(image)).toBe('refused')
      expect(Object.keys((await checkVhdx(image.device)).summary.counts)).toContain('PARENT_NOT_OPENED')
      await inspectVhdx(image.device)
    }
  })

  test('of everything at once: nothing but our own errors', async () => {
    const places = [0x10000, 0x20000, 0x30000, 0x40000, METADATA_AT, ITEMS_AT, BAT_AT].map(offset =>
      fc.tuple(fc.constant(offset), fc.array(fc.tuple(fc.nat(191), fc.nat(255)), { maxLength: 2 })),
    )
    await fc.assert(
      fc.asyncProperty(fc.tuple(...places), async places => {
        const image = base.copy()
        for (const [offset, bytes] of places) for (const [at, value] of bytes) image.content[offset + at] = value
        image.repair()
        expect(await outcomeOf(image)).not.toBe('failed')
        await checkVhdx(image.device)
        await inspectVhdx(image.device, { batEntries: { first: 0, count: 100 } })
      }),
      { numRuns: 300 },
    )
  })

  test('of the only entry of a log: never opened', async () => {
    const dirty = base.copy()
    dirty.editHeaders({ logGuid: LOG_GUID })
    putInLog(dirty, 0, logEntry({ sequenceNumber: 5n, data: [{ fileOffset: 3 * MiB, bytes: pattern(4096) }] }))
    for (let at = MiB; at < MiB + 8192; at += 61) {
      const image = dirty.copy()
      image.content[at]! ^= 0xff
      expect(await outcomeOf(image)).toBe('refused')
      expect((await checkVhdx(image.device)).summary.counts).toEqual({ LOG_NO_SEQUENCE: 1 })
    }
  })
})

describe('cut short', () => {
  const places = [
    0,
    1,
    7,
    8,
    519,
    520,
    4096,
    0x10000,
    0x10050,
    0x11000,
    0x20000,
    0x20fff,
    0x21000,
    0x30000,
    0x30010,
    0x40000,
    0x4ffff,
    0x50000,
    MiB,
    MiB + 4096,
    2 * MiB,
    2 * MiB + 31,
    METADATA_AT + 0xffff,
    ITEMS_AT,
    ITEMS_AT + 39,
    3 * MiB - 1,
    3 * MiB,
    3 * MiB + 8,
    4 * MiB - 1,
    4 * MiB,
    5 * MiB - 1,
    5 * MiB,
    6 * MiB - 1,
  ]
  test.each(places)('at byte %i', async size => {
    const image = base.copy()
    image.content = image.content.subarray(0, size)
    expect(await outcomeOf(image)).toBe('refused')
    const { summary } = await checkVhdx(image.device)
    expect(summary.errors).toBeGreaterThan(0)
    const { fileSize, problems } = await inspectVhdx(image.device)
    expect(fileSize).toBe(size)
    // What the header section and the metadata say is all there: only a block is missing.
    if (size < 4 * MiB) expect(problems.some(({ severity }) => severity === 'error')).toBe(true)
  })

  test('what is left of a cut image can be read', async () => {
    const image = base.copy()
    image.content = image.content.subarray(0, 5 * MiB + 1000)
    const opened = await VhdxDevice.open(image.device)
    const target = Buffer.alloc(MiB)
    await opened.read(0, target)
    expect(target.equals(pattern(MiB))).toBe(true)
    await opened.read(2 * MiB, target.subarray(0, 1000))
    expect(target.subarray(0, 1000).equals(pattern(1000, 2 * MiB))).toBe(true)
    await expect(opened.read(2 * MiB + 1, target.subarray(0, 1000))).rejects.toMatchObject({ code: 'BAT_BEYOND_END' })
  })
})
