import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { DiskImageError, FormatError } from '../../lib/errors.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { header, REPAIR_NOTE } from '../../lib/vhdx/format.ts'
import { decodeRepairNote } from '../../lib/vhdx/repair-note.ts'
import { REPAIRS } from '../../lib/vhdx/repairs.ts'
import { RULES, type RuleCode } from '../../lib/vhdx/rules.ts'
import { readStructures } from '../../lib/vhdx/structures.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { BROKEN_IMAGES, type Case } from './broken-images.ts'
import { makeLayer } from './differencing-image.ts'
import { DIRTY_IMAGES, diskAfterReplay } from './dirty-images.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { differences, newlyReadable, readable, repair, takenBack } from './repair-image.ts'
import { BAT_AT, ITEMS_AT, METADATA_AT, TestImage } from './test-image.ts'

const SIZE = 8 * MiB
const OTHER_GUID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'

let base: TestImage
/** The disk of the base, by stretches. */
let disk: (Buffer | undefined)[]

beforeAll(async () => {
  base = await TestImage.make({ virtualSize: SIZE, blockSize: MiB }, [0, 3, 7])
  disk = await readable(base.content)
})

/** The parent of the children among the cases. */
const parent = new MemoryDevice(pattern(SIZE, 17), { readOnly: true })

/** Cases whose rules say less than what becomes of them. */
const REFUSED: Readonly<Record<string, RuleCode>> = {
  'no VHDX': 'IDENTIFIER_SIGNATURE',
  // Both copies have the same byte wrong, so that they agree on what cannot be.
  'regions: both bad': 'REGION_TABLE_NONE',
  'not at a MiB': 'REGION_PLACE',
  'beyond the end': 'REGION_BEYOND_END',
  overlapping: 'REGION_OVERLAP',
  'sectors of 520': 'SECTOR_SIZE',
}
/** That case puts a region where the block was. */
const FIRST_BLOCK = { offset: 0, length: MiB }
const REPAIRED = ['log place above 2^53', 'of no length']

/** The rule that the repair of a case is refused with; undefined for one that is repaired. */
function refusalOf(group: string, [name, , rules]: Case): RuleCode | undefined {
  if (REPAIRED.includes(name) && group !== 'BAT') return undefined
  const own = group === 'BAT' ? undefined : (REFUSED[`${group}: ${name}`] ?? REFUSED[name])
  return own ?? rules.find(code => REPAIRS[code].fate === 'refused')
}

const ALL = Object.entries(BROKEN_IMAGES).flatMap(([group, cases]) =>
  cases.map(each => [group, each[0], each] as const),
)

describe('every rule', () => {
  const seen = new Set<RuleCode>()

  test.each(ALL)('%s, %s', async (group, name, each) => {
    const [, change, rules] = each
    const image = base.copy()
    change(image)
    const refusal = refusalOf(group, each)
    if (refusal !== undefined) {
      seen.add(refusal)
      await expect(repair(image.content)).rejects.toMatchObject({ code: refusal })
      return
    }
    const before = await readable(image.content, parent)
    const repaired = await repair(image.content)
    const { plan, content } = repaired
    for (const { code } of plan.steps) seen.add(code)
    const { problems } = await checkVhdx(new MemoryDevice(content))
    for (const { code } of problems) seen.add(code)
    expect(problems.filter(({ code }) => REPAIRS[code].fate !== 'left')).toEqual([])
    expect(plan.steps.map(({ code }) => code).sort()).toEqual(
      rules.filter(code => REPAIRS[code].fate !== 'left' && !FOLLOWS.includes(code)).sort(),
    )
    // What could be read is the same; an image that could not be opened has the disk it was made with.
    const after = await readable(content, parent)
    const isOpen = before.length > 0
    if (!problems.some(({ severity }) => severity === 'error')) {
      const gone = name === 'a region twice' ? [FIRST_BLOCK] : plan.lost.ranges
      expect(differences(isOpen ? before : disk, after, gone)).toEqual([])
      if (isOpen) expect(newlyReadable(before, after, plan.lost.ranges)).toEqual([])
    }
    expect((await takenBack(repaired)).equals(image.content)).toBe(true)
    const again = await repair(content)
    expect(again.plan.stages).toEqual([])
  })

  test('is seen in one of these, or has a test of its own below', () => {
    const own: RuleCode[] = [
      'TRUNCATED',
      'IDENTIFIER_SIGNATURE',
      'LOG_TOO_LARGE',
      'PARENT_SECTOR_SIZE',
      'PARENT_SIZE',
      'FILE_SPARSE',
    ]
    const unseen = Object.keys(RULES).filter(code => !seen.has(code as RuleCode))
    expect(unseen).toEqual(own.filter(code => unseen.includes(code)))
  })
})

/** Rules that are only broken because another one is: nothing is done about them by themselves. */
const FOLLOWS: readonly RuleCode[] = ['REGION_OVERLAP', 'BAT_TOO_SMALL']

describe('headers', () => {
  test('two different ones with one number: the user says which', async () => {
    const image = base.copy()
    image.editHeaders({ sequenceNumber: 7n })
    image.editHeader(1, { dataWriteGuid: OTHER_GUID })
    await expect(repair(image.content)).rejects.toMatchObject({
      code: 'HEADER_TIE',
      message: /--header 1 or --header 2/,
    })
    const guids = await Promise.all(
      ([1, 2] as const).map(async header => {
        const { content } = await repair(image.content, { header })
        expect(await codesOf(content)).toEqual([])
        return (await VhdxDevice.open(new MemoryDevice(content))).header.dataWriteGuid
      }),
    )
    expect(guids).toEqual([(await VhdxDevice.open(base.device)).header.dataWriteGuid, OTHER_GUID])
  })

  test('both wiped and an unused log: new ones, and children have to be told', async () => {
    const image = withoutHeaders(base.copy())
    const { plan, content } = await repair(image.content)
    expect(plan.findings.map(({ code }) => code)).toEqual(['NEW_DATA_WRITE_GUID'])
    expect(await codesOf(content)).toEqual([])
    expect(differences(disk, await readable(content))).toEqual([])
  })

  test('both wiped and a log that was replayed: it does not matter', async () => {
    const image = base.copy()
    const bytes = Buffer.from(image.content.subarray(BAT_AT, BAT_AT + 4096))
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, data: [{ fileOffset: BAT_AT, bytes }] }))
    const { content } = await repair(withoutHeaders(image).content)
    expect(differences(disk, await readable(content))).toEqual([])
  })

  test('both wiped and a log that would change the file: the user says what becomes of it', async () => {
    const image = base.copy()
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, data: [{ fileOffset: BAT_AT, bytes: Buffer.alloc(4096) }] }))
    withoutHeaders(image)
    await expect(repair(image.content)).rejects.toMatchObject({ code: 'HEADER_NONE', message: /--log replay/ })
    const replayed = await repair(image.content, { log: 'replay' })
    expect((await readable(replayed.content)).every(bytes => bytes!.equals(Buffer.alloc(bytes!.length)))).toBe(true)
    const discarded = await repair(image.content, { log: 'discard' })
    expect(discarded.plan.findings.map(({ code }) => code)).toContain('LOG_DISCARDED')
    expect(differences(disk, await readable(discarded.content))).toEqual([])
    expect([await codesOf(replayed.content), await codesOf(discarded.content)]).toEqual([[], []])
  })

  test('both wiped and two logs that would change the file: nothing says which', async () => {
    const image = base.copy()
    const entry = (logGuid: string, tail: number) =>
      logEntry({ sequenceNumber: 5n, tail, logGuid, data: [{ fileOffset: BAT_AT, bytes: Buffer.alloc(4096) }] })
    putInLog(image, 0, entry(LOG_GUID, 0))
    putInLog(image, 8192, entry(OTHER_GUID, 8192))
    await expect(repair(withoutHeaders(image).content, { log: 'replay' })).rejects.toMatchObject({
      code: 'HEADER_NONE',
    })
  })

  test('both bad in one bit each: what they agree on counts, the log too', async () => {
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, data: [{ fileOffset: BAT_AT, bytes: Buffer.alloc(4096) }] }))
    image.content[0x10040]! ^= 0
    image.content[0x10fff]! ^= 1
    image.content[0x20010]! ^= 1
    const { plan, content } = await repair(image.content)
    expect(plan.steps.map(({ code }) => code)).toEqual([
      'HEADER_COPY_BAD',
      'HEADER_COPY_BAD',
      'HEADER_NONE',
      'LOG_DIRTY',
    ])
    expect(plan.findings).toEqual([])
    expect((await readable(content)).every(bytes => bytes!.equals(Buffer.alloc(bytes!.length)))).toBe(true)
  })

  test('the last number there is: nothing is written', async () => {
    const image = base.copy()
    image.editHeader(1, { sequenceNumber: 2n ** 64n - 1n })
    image.content[0x10010]! ^= 1
    await expect(repair(image.content)).rejects.toMatchObject({ code: 'HEADER_SEQUENCE_END' })
  })

  /** As many as Windows leaves after each close. */
  test('afterwards both say the same, but for their numbers', async () => {
    const image = base.copy()
    image.content[0x10010]! ^= 1
    const { content } = await repair(image.content)
    const [first, second] = [0x10000, 0x20000].map(position => header.decode(content, position))
    expect(first).toMatchObject({ fileWriteGuid: second!.fileWriteGuid, logGuid: second!.logGuid })
    expect([first!.sequenceNumber - second!.sequenceNumber].map(n => n * n)).toEqual([1n])
    expect(first!.fileWriteGuid).not.toBe(header.decode(base.content, 0x20000).fileWriteGuid)
    expect(first!.dataWriteGuid).toBe(header.decode(base.content, 0x20000).dataWriteGuid)
  })
})

describe('a log', () => {
  test.each(DIRTY_IMAGES)('is replayed: $name', async dirty => {
    const image = base.copy()
    dirty.make(image)
    const repaired = await repair(image.content)
    expect(await codesOf(repaired.content)).toEqual([])
    const opened = await VhdxDevice.open(new MemoryDevice(repaired.content))
    expect(opened.log).toBe('clean')
    const content = Buffer.alloc(SIZE)
    await opened.read(0, content)
    expect(content.equals(diskAfterReplay(dirty, image.content))).toBe(true)
    expect((await takenBack(repaired)).equals(image.content)).toBe(true)
  })

  test.each(['dirty and empty', 'a logged write at 0', 'log version 1, log dirty'])(
    'that cannot be replayed is given up when the user says so: %s',
    async name => {
      const image = base.copy()
      ALL.find(([, each]) => each === name)![2][1](image)
      const { plan, content } = await repair(image.content, { log: 'discard' })
      expect(plan.findings.map(({ code }) => code)).toEqual(['LOG_DISCARDED'])
      expect(plan.steps.map(({ fate }) => fate)).toEqual(['dropped'])
      expect(await codesOf(content)).toEqual([])
      expect(await noteIn(content)).toMatchObject({ isLogDiscarded: true, lostBytes: 0, ranges: [] })
    },
  )

  test('that can be replayed is never given up', async () => {
    const image = base.copy()
    DIRTY_IMAGES[0]!.make(image)
    const { plan } = await repair(image.content, { log: 'discard' })
    expect(plan.findings).toEqual([])
    expect(plan.steps.map(({ code }) => code)).toEqual(['LOG_DIRTY'])
  })

  test('of a file that was cut since: what lay behind the end is lost, though the replay makes the file longer', async () => {
    const image = base.copy()
    image.editHeaders({ logGuid: LOG_GUID })
    const bytes = Buffer.from(image.content.subarray(BAT_AT, BAT_AT + 4096))
    const offsets = { flushedFileOffset: 7 * MiB, lastFileOffset: 7 * MiB }
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, ...offsets, data: [{ fileOffset: BAT_AT, bytes }] }))
    image.content = image.content.subarray(0, 5 * MiB + 4096)
    const { plan, content } = await repair(image.content)
    expect(plan.lost.ranges.map(({ offset, length }) => [offset, length])).toEqual([
      [3 * MiB + 4096, MiB - 4096],
      [7 * MiB, MiB],
    ])
    expect(differences(disk, await readable(content), plan.lost.ranges)).toEqual([])
    expect(await codesOf(content)).toEqual([])
  })
})

describe('region tables', () => {
  test('the second copy serves where the first one leads nowhere', async () => {
    const image = base.copy()
    image.editRegion(0, { fileOffset: 64 * MiB })
    base.content.copy(image.content, 0x40000, 0x40000, 0x50000)
    const { content } = await repair(image.content)
    expect(differences(disk, await readable(content))).toEqual([])
    expect(await codesOf(content)).toEqual([])
  })

  test('two bad ones agree on where things are', async () => {
    const image = base.copy()
    image.content[0x30fff]! ^= 1
    image.content[0x40004]! ^= 1
    const { plan, content } = await repair(image.content)
    expect(plan.steps.map(({ code }) => code)).toContain('REGION_TABLE_NONE')
    expect(differences(disk, await readable(content))).toEqual([])
    expect(await codesOf(content)).toEqual([])
  })

  test('an unknown region behind the end is taken out', async () => {
    const image = base.copy()
    image.setRegionCount(3)
    image.editRegion(2, { guid: OTHER_GUID, fileOffset: 64 * MiB, length: MiB, flags: 0 })
    const { plan, content } = await repair(image.content)
    expect(plan.steps).toMatchObject([{ code: 'REGION_BEYOND_END', fate: 'dropped' }])
    expect(await codesOf(content)).toEqual([])
  })

  test('the BAT is cut: blocks behind the cut are lost, and the file gets a whole table', async () => {
    const image = base.copy()
    const at = 8 * MiB
    image.content = Buffer.concat([image.content, Buffer.alloc(2 * MiB)])
    image.content.copy(image.content, at, BAT_AT, BAT_AT + MiB)
    image.editRegion(0, { fileOffset: at })
    // Five entries and a half.
    image.content = image.content.subarray(0, at + 44)
    const { plan, content } = await repair(image.content)
    expect(plan.lost).toMatchObject({
      bytes: 3 * MiB,
      ranges: [{ offset: 5 * MiB, length: 3 * MiB, reason: 'REGION_BEYOND_END' }],
    })
    expect(differences(disk, await readable(content), plan.lost.ranges)).toEqual([])
    expect([await codesOf(content), content.length]).toEqual([[], 9 * MiB])
  })
})

describe('the BAT', () => {
  test('what is lost is undefined, and in a child does not show the parent', async () => {
    const image = base.copy()
    image.makeChild({ parent_linkage: `{${OTHER_GUID}}`, relative_path: '..\\base.vhdx' })
    image.setBat(3, 6, 5, 1)
    const { plan, content } = await repair(image.content)
    expect(plan.lost.ranges).toEqual([
      { offset: 3 * MiB, length: MiB, reason: 'BAT_RESERVED_BITS', fileOffset: 5 * MiB },
    ])
    expect(content.readBigUInt64LE(BAT_AT + 3 * 8)).toBe(1n)
  })

  test('blocks in one place each get their own, up to a hundred of them', async () => {
    const image = await TestImage.make({ virtualSize: 200 * MiB, blockSize: MiB }, [0])
    for (let block = 1; block < 150; block++) image.setBat(block, 6, 4)
    const repaired = await repair(image.content)
    const { plan, content } = repaired
    expect([plan.lost.bytes, plan.lost.ranges[0]]).toMatchObject([
      49 * MiB,
      { offset: 101 * MiB, reason: 'BAT_OVERLAP' },
    ])
    expect([content.length, await codesOf(content)]).toEqual([105 * MiB, []])
    expect(plan.findings).toMatchObject([{ code: 'BLOCKS_SHARED', details: { ranges: { length: 100 } } }])
    const opened = await VhdxDevice.open(new MemoryDevice(content))
    for (const block of [0, 1, 100]) {
      const bytes = Buffer.alloc(MiB)
      await opened.read(block * MiB, bytes)
      expect(bytes.equals(pattern(MiB))).toBe(true)
    }
    expect((await takenBack(repaired)).equals(image.content)).toBe(true)
  })

  test('a bitmap where a block lies, and its own place free: it gets a place that is in the file already', async () => {
    const locator = { parent_linkage: `{${OTHER_GUID}}`, relative_path: '.\\base.vhdx' }
    const blocks = new Map([
      [0, { state: 6, written: [{ offset: 0, length: MiB }] }],
      [3, { state: 7, written: [{ offset: 3 * MiB, length: 4096 }] }],
    ])
    const file = new MemoryDevice(0, { growable: true })
    await makeLayer(file, { virtualSize: SIZE, blockSize: MiB, locator, blocks })
    const image = new TestImage(file.content)
    image.setBat(4096, 6, 4)
    const before = await readable(image.content, parent)
    const repaired = await repair(image.content)
    expect(repaired.content.length).toBe(image.content.length)
    expect(differences(before, await readable(repaired.content, parent))).toEqual([])
    expect((await takenBack(repaired)).equals(image.content)).toBe(true)
  })

  test('space that is kept for a block, and that another one lies in', async () => {
    const image = base.copy()
    image.setBat(1, 3, 5)
    image.setBat(5, 3, 9)
    const { content } = await repair(image.content)
    expect([1, 5].map(block => content.readBigUInt64LE(BAT_AT + block * 8))).toEqual([3n, 3n])
    expect(differences(disk, await readable(content))).toEqual([])
  })

  test('a table of nothing but bad entries: one range', async () => {
    const image = await TestImage.make({ virtualSize: 1000 * MiB, blockSize: MiB })
    for (let block = 0; block < 1000; block++) image.setBat(block, 5)
    const { plan } = await repair(image.content)
    expect(plan.lost).toEqual({
      bytes: 1000 * MiB,
      ranges: [{ offset: 0, length: 1000 * MiB, reason: 'BAT_STATE', fileOffset: null }],
      truncated: false,
    })
    expect(plan.steps).toHaveLength(1)
  })

  test('more lost ranges than are worth naming', async () => {
    const image = await TestImage.make({ virtualSize: 4000 * MiB, blockSize: MiB })
    for (let block = 0; block < 4000; block += 2) image.setBat(block, 4)
    const { plan, content } = await repair(image.content)
    expect([plan.lost.ranges.length, plan.lost.bytes, plan.lost.truncated]).toEqual([1000, 2000 * MiB, true])
    expect(await noteIn(content)).toMatchObject({ lostBytes: 2000 * MiB, isTruncated: true })
  })

  test('what is lost is noted in the image, and added to by the next repair', async () => {
    const image = base.copy()
    image.setBat(1, 4)
    const once = new TestImage((await repair(image.content)).content)
    expect(await noteIn(once.content)).toMatchObject({
      lostBytes: MiB,
      ranges: [{ offset: MiB, length: MiB }],
      isLogDiscarded: false,
    })
    once.setBat(2, 5)
    const twice = await repair(once.content)
    expect(await noteIn(twice.content)).toMatchObject({
      lostBytes: 2 * MiB,
      ranges: [{ offset: MiB, length: 2 * MiB }],
    })
  })

  test.each([512, 4096])(
    'bitmaps of a child, sectors of %i: a chunk that loses its bitmap loses its partial blocks only',
    async sector => {
      const locator = { parent_linkage: `{${OTHER_GUID}}`, relative_path: '.\\base.vhdx' }
      const blocks = new Map([
        [0, { state: 7, written: [{ offset: sector, length: sector }] }],
        [1, { state: 6, written: [{ offset: MiB, length: MiB }] }],
        [2, { state: 2 }],
      ])
      const file = new MemoryDevice(0, { growable: true })
      const options = { virtualSize: SIZE, blockSize: MiB, logicalSectorSize: sector }
      await makeLayer(file, { ...options, locator, blocks })
      const image = new TestImage(file.content)
      const over = new MemoryDevice(pattern(SIZE, 17), { readOnly: true, sectorSize: sector })
      const before = await readable(image.content, over)
      expect(before.every(bytes => bytes !== undefined)).toBe(true)
      const entry = (2 ** 23 * sector) / MiB
      image.setBat(entry, 6, 200)
      const { plan, content } = await repair(image.content)
      expect(plan.lost.ranges).toMatchObject([{ offset: 0, length: MiB, reason: 'BAT_PARTIAL_NO_BITMAP' }])
      expect(differences(before, await readable(content, over), plan.lost.ranges)).toEqual([])
      expect(await codesOf(content)).toEqual(['PARENT_NOT_OPENED'])
    },
  )
})

describe('a cut file', () => {
  const places = [0, 1, 520, 0x10000, 0x11000, 0x21000, 0x30010, 0x40000, 0x50000, MiB, 2 * MiB, METADATA_AT + 0xffff]
  test.each(places)('at byte %i: refused', async size => {
    await expect(repair(base.content.subarray(0, size))).rejects.toThrow(FormatError)
  })

  const more = [
    ITEMS_AT,
    ITEMS_AT + 40,
    3 * MiB - 1,
    3 * MiB,
    3 * MiB + 8,
    3 * MiB + 32,
    4 * MiB - 1,
    4 * MiB,
    5 * MiB - 1,
    5 * MiB,
    5 * MiB + 1000,
    6 * MiB,
    7 * MiB - 1,
  ]
  test.each(more)('at byte %i: what is there stays, what is not is told, or it is refused', async size => {
    const original = base.content.subarray(0, size)
    const before = await readable(original)
    try {
      const repaired = await repair(original)
      const { content, plan } = repaired
      const after = await readable(content)
      expect(await codesOf(content)).toEqual([])
      expect(differences(before, after, plan.lost.ranges)).toEqual([])
      expect(differences(disk, after, plan.lost.ranges)).toEqual([])
      expect((await takenBack(repaired)).equals(original)).toBe(true)
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError)
      // Where the BAT begins, it can be repaired.
      expect(size).toBeLessThanOrEqual(3 * MiB)
    }
  })
})

test('too long a log is for Windows to replay', async () => {
  const image = await TestImage.make({ virtualSize: SIZE, blockSize: MiB })
  image.editHeaders({ logGuid: LOG_GUID, logOffset: 4 * MiB, logLength: 40 * MiB })
  image.content = Buffer.concat([image.content, Buffer.alloc(40 * MiB)])
  const count = 2 ** 20 + 1
  const zeros = Array.from({ length: count }, () => ({ fileOffset: MiB, zeroLength: 4096 }))
  logEntry({ sequenceNumber: 1n, zeros }).copy(image.content, 4 * MiB)
  await expect(repair(image.content)).rejects.toMatchObject({ code: 'LOG_TOO_LARGE', name: 'UnsupportedError' })
})

test('any bytes of any structures: nothing but our own errors, and nothing is lost that could be read', async () => {
  const places = [0x10000, 0x20000, 0x30000, 0x40000, METADATA_AT, ITEMS_AT, BAT_AT].map(offset =>
    fc.tuple(fc.constant(offset), fc.array(fc.tuple(fc.nat(191), fc.nat(255)), { maxLength: 2 })),
  )
  const outcomes = { repaired: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(fc.tuple(...places), fc.boolean(), fc.nat(8 * MiB), async (places, isCut, size) => {
      const image = base.copy()
      for (const [offset, bytes] of places) for (const [at, value] of bytes) image.content[offset + at] = value
      image.repair()
      const original = isCut ? image.content.subarray(0, Math.max(size, 3 * MiB)) : image.content
      const before = await readable(original, parent)
      try {
        const { content, plan } = await repair(original)
        outcomes.repaired++
        const left = (await codesOf(content)).filter(code => REPAIRS[code].fate !== 'left')
        expect(left).toEqual([])
        expect(differences(before, await readable(content, parent), plan.lost.ranges)).toEqual([])
      } catch (error) {
        if (!(error instanceof DiskImageError)) throw error
        outcomes.refused++
      }
    }),
    { numRuns: 80 },
  )
  expect(Math.min(outcomes.repaired, outcomes.refused)).toBeGreaterThan(5)
})

const codesOf = async (content: Buffer) => (await checkVhdx(new MemoryDevice(content))).problems.map(({ code }) => code)

function withoutHeaders(image: TestImage): TestImage {
  image.content.fill(0, 0x10000, 0x30000)
  return image
}

/** What the image says it lost. */
async function noteIn(content: Buffer) {
  const { metadataRegion } = await readStructures(new MemoryDevice(content))
  const item = metadataRegion!.items.find(({ itemId, isUser }) => isUser && itemId === REPAIR_NOTE)!
  return decodeRepairNote(content.subarray(item.offset, item.offset + item.length), item.offset)
}
