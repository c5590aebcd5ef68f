import { beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { BAT_REGION, METADATA_REGION } from '../../lib/vhdx/format.ts'
import { RULES, type RuleCode, type Severity } from '../../lib/vhdx/rules.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { BROKEN_IMAGES } from './broken-images.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { BAT_AT, TestImage } from './test-image.ts'

let base: TestImage

beforeAll(async () => {
  base = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
})

/** 'opens' if the image opens and all of its disk can be read, else the code of the error. */
async function openAndRead(image: TestImage): Promise<string> {
  try {
    const disk = await VhdxDevice.open(image.device)
    for (let offset = 0; offset < 8 * MiB; offset += MiB) await disk.read(offset, Buffer.alloc(MiB))
    return 'opens'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe.each(Object.entries(BROKEN_IMAGES))('%s', (_, cases) => {
  test.each(cases)('%s', async (_, change, rules, open) => {
    const image = base.copy()
    change(image)
    const { problems, summary } = await checkVhdx(image.device)
    expect(problems.map(({ code }) => code)).toEqual(rules)
    const countOf = (severity: Severity) => rules.filter(code => RULES[code].severity === severity).length
    expect(summary).toMatchObject({ errors: countOf('error'), warnings: countOf('warning'), notes: countOf('note') })
    expect(await openAndRead(image)).toBe(open)
  })
})

test('every rule has a case', () => {
  const tested = new Set(Object.values(BROKEN_IMAGES).flatMap(cases => cases.flatMap(([, , rules]) => rules)))
  // These need a cut file, a log of 32 MiB, a parent, or holes, and have tests of their own.
  const own: RuleCode[] = ['TRUNCATED', 'LOG_TOO_LARGE', 'PARENT_SECTOR_SIZE', 'PARENT_SIZE', 'FILE_SPARSE']
  expect(Object.keys(RULES).filter(code => !tested.has(code as RuleCode))).toEqual(own)
})

test('a problem says what, where, what Windows answers and what to do', async () => {
  const image = base.copy()
  image.setBat(1, 6, 5)
  const { problems } = await checkVhdx(image.device)
  expect(problems).toEqual([
    {
      code: 'BAT_OVERLAP',
      severity: 'error',
      section: '2.5.1',
      position: BAT_AT + 3 * 8,
      message:
        'VHDX BAT entry of block 3 at byte 0x300018 is at MiB 5, where another block lies, expected in free space',
      details: {
        structure: 'VHDX BAT entry of block 3',
        position: BAT_AT + 3 * 8,
        expected: 'in free space',
        actual: 'at MiB 5, where another block lies',
      },
      windows: '0xC03A000A ERROR_VHD_BLOCK_ALLOCATION_TABLE_CORRUPT',
      advice: expect.stringContaining('restore the file from a copy'),
    },
  ])
})

test('a bitmap of 1 MiB among blocks of 8: what is named is what it lies on, not what a block would', async () => {
  const image = await TestImage.make({ virtualSize: 16 * MiB, blockSize: 8 * MiB })
  image.makeChild({ parent_linkage: `{${LOG_GUID}}`, relative_path: '.\\base.vhdx' })
  image.setBat(512, 6, 2)
  const { problems } = await checkVhdx(image.device)
  expect(problems.find(({ code }) => code === 'BAT_ON_STRUCTURE')?.details).toMatchObject({
    structure: 'VHDX BAT entry of sector bitmap 0',
    actual: 'at MiB 2, on the metadata',
  })
})

test('a file with holes', async () => {
  const { problems } = await checkVhdx(base.device, { allocatedBytes: base.content.length - 4096 })
  expect(problems).toMatchObject(
    [{ code: 'FILE_SPARSE', severity: 'warning', windows: /0xC03A001A/ }].map(p => ({
      ...p,
      windows: expect.stringMatching(p.windows),
    })),
  )
  expect((await checkVhdx(base.device, { allocatedBytes: base.content.length })).problems).toEqual([])
})

test('a log that cannot be replayed leaves the BAT unjudged', async () => {
  const image = base.copy()
  image.editHeaders({ logGuid: LOG_GUID })
  image.setBat(1, 6, 5)
  const { problems, summary } = await checkVhdx(image.device)
  expect(problems.map(({ code }) => code)).toEqual(['LOG_NO_SEQUENCE'])
  expect(summary.blocks).toBeUndefined()
})

test('with a dirty log, what is judged is the image after the replay', async () => {
  const image = base.copy()
  const goodBat = Buffer.from(image.content.subarray(BAT_AT, BAT_AT + 4096))
  image.setBat(1, 6, 5)
  const badBat = Buffer.from(image.content.subarray(BAT_AT, BAT_AT + 4096))
  image.editHeaders({ logGuid: LOG_GUID })
  const codesAfter = async (bytes: Buffer) => {
    putInLog(image, 0, logEntry({ sequenceNumber: 5n, data: [{ fileOffset: BAT_AT, bytes }] }))
    const { problems, summary } = await checkVhdx(image.device)
    return [...problems.map(({ code }) => code), summary.blocks?.fullyPresent]
  }
  expect(await codesAfter(goodBat)).toEqual(['LOG_DIRTY', 3])
  goodBat.copy(image.content, BAT_AT)
  expect(await codesAfter(badBat)).toEqual(['LOG_DIRTY', 'BAT_OVERLAP', 4])
})

test('the states of all blocks are counted', async () => {
  const { image, summary } = await checkVhdx(base.device)
  expect(image).toEqual({
    type: 'dynamic',
    creator: 'vhdx',
    fileSize: 7 * MiB,
    virtualSize: 8 * MiB,
    blockSize: MiB,
  })
  expect(summary.blocks).toMatchObject({ notPresent: 5, fullyPresent: 3 })
})

test('a table of nothing but bad entries is told briefly and counted fully', async () => {
  const image = await TestImage.make({ virtualSize: 1000 * MiB, blockSize: MiB })
  for (let block = 0; block < 1000; block++) image.setBat(block, 5)
  const { problems, summary } = await checkVhdx(image.device)
  expect(problems).toHaveLength(100)
  expect(summary).toMatchObject({ errors: 1000, counts: { BAT_STATE: 1000 } })
})

test('the regions of the copy in use are found by their GUIDs, in any order', async () => {
  const image = base.copy()
  image.editRegion(0, { guid: METADATA_REGION, fileOffset: 2 * MiB })
  image.editRegion(1, { guid: BAT_REGION, fileOffset: 3 * MiB })
  expect((await checkVhdx(image.device)).problems).toEqual([])
  expect(await openAndRead(image)).toBe('opens')
})
