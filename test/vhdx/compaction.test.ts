/** Blocks lose their places and the file its gaps: in place, through power cuts, and in a copy. */
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import type { BlockDevice, ResizableDevice } from '../../lib/device/block-device.ts'
import { RangeCopier } from '../../lib/device/range-copier.ts'
import { whileOpen } from '../../lib/device/while-open.ts'
import { StorageError } from '../../lib/errors.ts'
import { BlockSet } from '../../lib/vhdx/block-set.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { dropBlocks, packFile } from '../../lib/vhdx/compaction.ts'
import { FULLY_PRESENT, PARTIALLY_PRESENT } from '../../lib/vhdx/format.ts'
import { copyPacked, packedSize } from '../../lib/vhdx/packed-copy.ts'
import { readSoundStructures } from '../../lib/vhdx/structures.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { WriteSession } from '../../lib/vhdx/write-session.ts'
import { Random } from '../fuzz/random.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { afterAll, afterSome, RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { type LayerBlock, locatorOf, makeLayer } from './differencing-image.ts'

const BLOCK = 2 * MiB
/** Three chunks of 4 GiB, the last one not whole; and a block that the disk ends in. */
const BLOCK_COUNT = 5000
const SIZE = BLOCK_COUNT * BLOCK - MiB
const SHAPE = { virtualSize: SIZE, blockSize: BLOCK, logicalSectorSize: 512, physicalSectorSize: 4096 }
const LENGTH = 9 * 4096

type Kind = 'dynamic' | 'differencing'

/** Blocks by chance, in an order by chance, and around the ends of chunks. */
function randomBlocks(random: Random, kind: Kind): Map<number, LayerBlock> {
  const numbers = new Set([0, 2047, 2048, 4095, 4096, BLOCK_COUNT - 1])
  while (numbers.size < 16) numbers.add(random.below(BLOCK_COUNT))
  const blocks = new Map<number, LayerBlock>()
  for (const block of [...numbers].sort(() => random.below(3) - 1)) {
    const state = random.pick(kind === 'dynamic' ? [6, 6, 6, 2, 3] : [6, 6, 7, 7, 2, 3])
    const offset = block * BLOCK + random.below(20) * 4096
    blocks.set(block, state < FULLY_PRESENT ? { state } : { state, written: [{ offset, length: LENGTH }] })
  }
  return blocks
}

interface Case {
  readonly file: SparseFile
  readonly parent: BlockDevice | undefined
  readonly blocks: ReadonlyMap<number, LayerBlock>
  readonly present: readonly number[]
}

async function makeCase(random: Random, kind: Kind): Promise<Case> {
  const blocks = randomBlocks(random, kind)
  const file = new SparseFile()
  const present = [...blocks].filter(([, { state }]) => state >= FULLY_PRESENT).map(([block]) => block)
  if (kind === 'dynamic') {
    await makeLayer(file, { ...SHAPE, blocks, seed: 101 })
    return { file, parent: undefined, blocks, present }
  }
  const base = new SparseFile()
  const whole = (block: number): LayerBlock => ({
    state: FULLY_PRESENT,
    written: [{ offset: block * BLOCK, length: MiB / 8 }],
  })
  await makeLayer(base, { ...SHAPE, blocks: new Map([...blocks.keys(), 77].map(block => [block, whole(block)])) })
  await makeLayer(file, { ...SHAPE, blocks, seed: 101, locator: await locatorOf(base, { relative_path: 'p' }) })
  return { file, parent: await VhdxDevice.open(base), blocks, present }
}

function setOf(blocks: readonly number[]): BlockSet {
  const set = new BlockSet()
  for (const block of blocks) set.add(block)
  return set
}

/** The first bytes of each block that is anything, and of two others: whatever was written lies there. */
async function contentOf(file: BlockDevice, { parent, blocks }: Case): Promise<Map<number, Buffer>> {
  const disk = await VhdxDevice.open(file, { parent })
  const content = new Map<number, Buffer>()
  for (const block of [...blocks.keys(), 77, 78]) {
    const bytes = Buffer.alloc(MiB / 8)
    await disk.read(block * BLOCK, bytes)
    content.set(block, bytes)
  }
  return content
}

const isZero = (bytes: Buffer) => bytes.equals(Buffer.alloc(bytes.length))

function expectContent(actual: Map<number, Buffer>, before: Map<number, Buffer>, dropped: BlockSet): void {
  const wrong = [...before].filter(([block, bytes]) =>
    dropped.has(block) ? !isZero(actual.get(block)!) : !actual.get(block)!.equals(bytes),
  )
  expect(wrong.map(([block]) => block)).toEqual([])
}

async function expectSound(file: BlockDevice, severities = ['error', 'warning']): Promise<void> {
  const { problems } = await checkVhdx(file)
  const wrong = problems.filter(({ code, severity }) => severities.includes(severity) && code !== 'PARENT_NOT_OPENED')
  expect(wrong).toEqual([])
}

async function compact(file: ResizableDevice, dropped: BlockSet): Promise<void> {
  const session = await WriteSession.open(file)
  await whileOpen(session, async () => {
    await dropBlocks(session, dropped)
    await packFile(session, new RangeCopier())
  })
}

/** What a file with these blocks has at least: everything in it, and nothing between. */
async function leastSize(file: BlockDevice, blocks: Case['blocks'], dropped: BlockSet): Promise<number> {
  const { areas, geometry } = await readSoundStructures(file)
  const kept = [...blocks].filter(([block, { state }]) => state >= FULLY_PRESENT && !dropped.has(block))
  const chunks = new Set(
    kept
      .filter(([, { state }]) => state === PARTIALLY_PRESENT)
      .map(([block]) => Math.floor(block / geometry.chunkRatio)),
  )
  return areas.reduce((sum, { length }) => sum + length, 0) + kept.length * BLOCK + chunks.size * MiB
}

describe.each<Kind>(['dynamic', 'differencing'])('%s', kind => {
  test.each([1, 2, 3])('blocks lose their places and the others move together (%i)', async seed => {
    const random = new Random(`${kind} ${seed}`)
    const start = await makeCase(random, kind)
    const { file, blocks, present } = start
    const before = await contentOf(file, start)
    const dropped = setOf(present.filter(() => random.onceIn(seed % 3)))
    const { headers } = await readSoundStructures(file)
    const least = await leastSize(file, blocks, dropped)
    await compact(file, dropped)
    await expectSound(file)
    expectContent(await contentOf(file, start), before, dropped)
    // Single MiB between blocks of two may stay, where bitmaps were.
    expect([0, 1, 2].map(gaps => least + gaps * MiB)).toContain(file.size)
    const after = (await readSoundStructures(file)).headers.current.header
    expect(after.dataWriteGuid).toBe(headers.current.header.dataWriteGuid)
    expect(after.fileWriteGuid).not.toBe(headers.current.header.fileWriteGuid)
    const disk = await VhdxDevice.open(file, { parent: start.parent })
    for await (const { block, state } of disk.blockStates()) {
      if (dropped.has(block)) expect([block, state]).toEqual([block, kind === 'dynamic' ? 'notPresent' : 'zero'])
    }

    // Done again there is nothing to do, and nothing is written.
    const again = new CountingDevice(file)
    await compact(Object.assign(again, { resize: (size: number) => file.resize(size) }), dropped)
    expect(again.writes).toEqual([])
  })

  test('no more is moved than lies behind the end that the file gets', async () => {
    const start = await makeCase(new Random(`${kind} moved`), kind)
    const { file, blocks } = start
    // In the order in which they lie in the file.
    const present = [...blocks].filter(([, { state }]) => state >= FULLY_PRESENT).map(([block]) => block)
    const dropped = setOf(present.slice(3, 6))
    const counted = new CountingDevice(file)
    await compact(Object.assign(counted, { resize: (size: number) => file.resize(size) }), dropped)
    const moved = counted.writes.filter(({ offset }) => offset >= 4 * MiB).reduce((sum, { length }) => sum + length, 0)
    // Each of the three gaps is filled at most once, and a bitmap may go on from there.
    expect(moved).toBeLessThanOrEqual(4 * BLOCK)
  })

  test.each([1, 2])(
    'the power is cut: the disk is that of before or after, and it can be done again (%i)',
    async seed => {
      const random = new Random(`${kind} cut ${seed}`)
      const start = await makeCase(random, kind)
      const dropped = setOf(start.present.filter(() => random.onceIn(2)))
      const before = await contentOf(start.file, start)
      const medium = new RecordingDevice(start.file.copy(), { random })
      await compact(medium, dropped)
      const seen = new Set<boolean>()
      const every = Math.ceil(medium.moments.length / 12)
      for (let n = 0; n < medium.moments.length; n += 1 + random.below(every)) {
        const moment = medium.moments[n]!
        for (const file of [afterAll(moment), afterSome(moment, random), afterSome(moment, random)]) {
          const disk = await VhdxDevice.open(file, { parent: start.parent })
          const after = await contentOf(file, start)
          // All blocks are dropped in one commit.
          const isDropped = isZero(
            after.get([...before.keys()].find(block => dropped.has(block) && !isZero(before.get(block)!))!)!,
          )
          expectContent(after, before, isDropped ? dropped : setOf([]))
          seen.add(isDropped)
          expect(disk.size).toBe(SIZE)
          if (!random.onceIn(5)) continue
          await compact(file, dropped)
          await expectSound(file)
          expectContent(await contentOf(file, start), before, dropped)
        }
      }
      expect(seen.size).toBe(2)
    },
  )

  test('a request fails: it is said, the disk is that of before or after, and it can be done again', async () => {
    const random = new Random(`${kind} fault`)
    const start = await makeCase(random, kind)
    const dropped = setOf(start.present.filter(() => random.onceIn(2)))
    const before = await contentOf(start.file, start)
    const counted = new RecordingDevice(start.file.copy())
    await compact(counted, dropped)
    for (let trial = 0; trial < 12; trial++) {
      const at = 1 + random.below(counted.operations)
      const medium = new RecordingDevice(start.file.copy(), {
        fault: (_, operations) => {
          if (operations >= at) throw new StorageError('NO_SPACE', 'no space is left')
        },
      })
      await expect(compact(medium, dropped)).rejects.toMatchObject({ code: 'NO_SPACE' })
      const file = afterSome(medium.moments.at(-1) ?? { durable: start.file.copy(), pending: [] }, random)
      const after = await contentOf(file, start)
      const known = [...before].find(([block, bytes]) => dropped.has(block) && !isZero(bytes))![0]
      expectContent(after, before, isZero(after.get(known)!) ? dropped : setOf([]))
      await compact(file, dropped)
      await expectSound(file)
      expectContent(await contentOf(file, start), before, dropped)
    }
  })

  test.each([1, 2])('a packed copy has what is kept, in the order of the disk, and no gap (%i)', async seed => {
    const random = new Random(`${kind} copy ${seed}`)
    const start = await makeCase(random, kind)
    const { file, blocks, present } = start
    const before = await contentOf(file, start)
    const dropped = setOf(present.filter(() => random.onceIn(3)))
    const target = new SparseFile()
    const structures = await readSoundStructures(file)
    const dataWriteGuid = '11111111-2222-3333-4444-555555555555'
    const copier = new RangeCopier()
    const session = await copyPacked(structures, target, { creator: 'test', dataWriteGuid, dropped, copier })
    await session.close()
    await expectSound(target)
    expectContent(await contentOf(target, start), before, dropped)
    const least = await leastSize(file, blocks, dropped)
    expect(target.size).toBe(least)
    expect(packedSize(structures, least - 4 * MiB)).toBe(least)
    const copied = await readSoundStructures(target)
    expect(copied.headers.current.header.dataWriteGuid).toBe(dataWriteGuid)
    expect(copied.metadataRegion.metadata).toEqual(structures.metadataRegion.metadata)
  })
})
