/** Which blocks of an image hold anything that is needed, by their content and by what the file systems in them use. */
import { roundDown } from '../binary/size.ts'
import type { ByteSource } from '../device/block-device.ts'
import { RangeCursor } from '../device/range-cursor.ts'
import { endOf, intersect, type Range, subtractRanges } from '../device/ranges.ts'
import { BlockSet } from '../vhdx/block-set.ts'
import { PayloadBlocks } from '../vhdx/payload-blocks.ts'
import type { SoundStructures } from '../vhdx/structures.ts'
import type { VhdxDevice } from '../vhdx/vhdx-device.ts'
import type { WriteSession } from '../vhdx/write-session.ts'
import { isZero } from './content-hash.ts'
import { mapInOrder } from './map-in-order.ts'

/** A block that has its bytes in the file, and what of them is in use, in bytes of the disk. */
interface PresentBlock {
  readonly block: number
  readonly used: readonly Range[]
}

/** What the blocks of an image are needed for. */
export interface BlockNeeds {
  /** Blocks that need no place in the file: all that is used of them is zeros. */
  readonly dropped: BlockSet
  /** Of these, how many have content that nothing uses. The others are zeros. */
  readonly freeBlocks: number
  /** Blocks that are kept and have such content. */
  readonly stale: BlockSet
  /** How much of it, in bytes. */
  readonly staleBytes: number
  /** Blocks that have a place in the file now. */
  readonly presentBlocks: number
}

/** An image whose blocks are judged. */
export interface JudgedImage {
  readonly disk: VhdxDevice
  readonly structures: SoundStructures
  /** All of the disk that is in use, in order. */
  used(): AsyncIterable<Range>
}

export interface JudgeOptions {
  /** Whether blocks may lose their places: not those of a fixed image. */
  readonly mayDrop: boolean
  /** Whether to look for what is not needed in blocks that are kept. */
  readonly findStale: boolean
  /** Called with the bytes of blocks that have been judged since the last call. */
  readonly onProgress?: (bytes: number) => void
  readonly signal?: AbortSignal | undefined
}

/** Blocks that are looked at at the same time. */
const AT_ONCE = 4

/** Bytes that are read at once. Most blocks show in their first bytes that they are needed. */
const WINDOW = 128 * 1024

/** What is cleared is found at this grain, in bytes: no sector and no page of a host is smaller. */
const GRAIN = 4096

/** Reads as much of every block as tells whether it is needed. */
export async function judgeBlocks(image: JudgedImage, options: JudgeOptions): Promise<BlockNeeds> {
  const { disk, structures } = image
  const { file, regionTables, geometry, areas } = structures
  const blocks = new PayloadBlocks(file, regionTables.bat.offset, geometry, areas)
  const [dropped, stale] = [new BlockSet(), new BlockSet()]
  const totals = { freeBlocks: 0, staleBytes: 0, presentBlocks: 0 }
  const buffers = windowBuffers()
  const judge = async ({ block, used }: PresentBlock, slot: number) => {
    options.signal?.throwIfAborted()
    const buffer = buffers[slot]!
    const free = subtractRanges([rangeOf(disk, block)], used)
    const isNeeded = !options.mayDrop || (await hasData(disk, used, buffer))
    if (!isNeeded) return { block, isNeeded, staleBytes: (await hasData(disk, free, buffer)) ? 1 : 0 }
    let staleBytes = 0
    if (options.findStale) {
      for await (const { length } of staleRanges(free, blocks, file, buffer)) staleBytes += length
    }
    return { block, isNeeded, staleBytes }
  }
  for await (const { block, isNeeded, staleBytes } of mapInOrder(presentBlocks(image), AT_ONCE, judge)) {
    totals.presentBlocks++
    if (!isNeeded) {
      dropped.add(block)
      if (staleBytes > 0) totals.freeBlocks++
    } else if (staleBytes > 0) {
      stale.add(block)
      totals.staleBytes += staleBytes
    }
    options.onProgress?.(geometry.blockSize)
  }
  return { dropped, stale, ...totals }
}

/**
 * Writes zeros over what is not needed in the blocks in `stale` of `image`, where the image of `session` has them: the same
 * or its copy. Not durable before the next commit.
 */
export async function clearStale(
  image: JudgedImage,
  stale: BlockSet,
  { file, pages, structures }: WriteSession,
  { onProgress, signal }: Pick<JudgeOptions, 'onProgress' | 'signal'> = {},
): Promise<void> {
  const { regionTables, geometry, areas } = structures
  const blocks = new PayloadBlocks(pages, regionTables.bat.offset, geometry, areas, pages)
  const buffers = windowBuffers()
  const clear = async ({ block, used }: PresentBlock, slot: number) => {
    signal?.throwIfAborted()
    const free = subtractRanges([rangeOf(image.disk, block)], used)
    for await (const { offset, length } of staleRanges(free, blocks, pages, buffers[slot]!)) {
      await file.zero(offset, length)
      onProgress?.(length)
    }
  }
  for await (const _ of mapInOrder(presentBlocks(image, stale), AT_ONCE, clear));
}

const windowBuffers = () => Array.from({ length: AT_ONCE }, () => Buffer.allocUnsafeSlow(WINDOW))

const rangeOf = ({ geometry, size }: VhdxDevice, block: number): Range =>
  intersect({ offset: block * geometry.blockSize, length: geometry.blockSize }, { offset: 0, length: size })!

/** The blocks that have a place in the file, in order; of them those in `only`. */
async function* presentBlocks({ disk, used }: JudgedImage, only?: BlockSet): AsyncIterable<PresentBlock> {
  await using cursor = new RangeCursor(used())
  for await (const { block: first, count, state } of disk.blockStates()) {
    if (state !== 'fullyPresent' && state !== 'partiallyPresent') continue
    for (let block = first; block < first + count; block++) {
      if (only?.has(block) === false) continue
      yield { block, used: await cursor.within(rangeOf(disk, block)) }
    }
  }
}

/** Whether `source` has anything but zeros in `ranges`, which are in order. */
async function hasData(source: ByteSource, ranges: readonly Range[], buffer: Buffer): Promise<boolean> {
  for (const { hull, parts } of windowsOf(ranges)) {
    const bytes = buffer.subarray(0, hull.length)
    await source.read(hull.offset, bytes)
    if (parts.some(part => !isZero(partOf(bytes, hull, part)))) return true
  }
  return false
}

/** Where in `file` the image itself has anything but zeros for `ranges` of its disk, at a grain of 4 KiB. */
async function* staleRanges(
  ranges: readonly Range[],
  blocks: PayloadBlocks,
  file: ByteSource,
  buffer: Buffer,
): AsyncIterable<Range> {
  for (const { hull, parts } of windowsOf(ranges)) {
    for (const extent of await blocks.extents(hull)) {
      if (extent.source !== 'file') continue
      const bytes = buffer.subarray(0, extent.length)
      await file.read(extent.place, bytes)
      const toPlace = extent.place - extent.offset
      for (const part of parts) {
        const own = intersect(part, extent)
        if (own !== undefined) yield* dataIn(bytes, { offset: own.offset + toPlace, length: own.length }, extent.place)
      }
    }
  }
}

/** Where in `range` of a file `bytes`, which lie at byte `position` of it, are not zeros. */
function* dataIn(bytes: Buffer, range: Range, position: number): Iterable<Range> {
  let start: number | undefined
  for (let at = range.offset; at < endOf(range); at = roundDown(at, GRAIN) + GRAIN) {
    const grain = intersect({ offset: roundDown(at, GRAIN), length: GRAIN }, range)!
    const hasData = !isZero(bytes.subarray(grain.offset - position, endOf(grain) - position))
    if (hasData) start ??= at
    else if (start !== undefined) {
      yield { offset: start, length: at - start }
      start = undefined
    }
  }
  if (start !== undefined) yield { offset: start, length: endOf(range) - start }
}

const partOf = (bytes: Buffer, { offset }: Range, part: Range) =>
  bytes.subarray(part.offset - offset, endOf(part) - offset)

/** Ordered ranges by the windows that are read at once: what to read, and which parts of it count. */
function* windowsOf(ranges: readonly Range[]): Iterable<{ hull: Range; parts: Range[] }> {
  let parts: Range[] = []
  const hull = () => ({ offset: parts[0]!.offset, length: endOf(parts.at(-1)!) - parts[0]!.offset })
  for (const range of ranges) {
    for (let at = range.offset; at < endOf(range); ) {
      const end = Math.min(endOf(range), roundDown(at, WINDOW) + WINDOW)
      if (parts.length > 0 && roundDown(parts[0]!.offset, WINDOW) !== roundDown(at, WINDOW)) {
        yield { hull: hull(), parts }
        parts = []
      }
      parts.push({ offset: at, length: end - at })
      at = end
    }
  }
  if (parts.length > 0) yield { hull: hull(), parts }
}
