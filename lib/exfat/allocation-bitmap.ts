/** The allocation bitmap: one bit for each cluster, the lowest first. spec-notes/exfat.md, "Allocation bitmap". */
import type { BlockDevice } from '../device/block-device.ts'
import { intersect, type Range } from '../device/ranges.ts'
import { formatError } from '../errors.ts'
import { ClusterChain, type ClusterRun } from '../volume/cluster-chain.ts'
import type { ClusterLinks } from '../volume/cluster-links.ts'
import type { BitmapEntry } from './format.ts'
import { bitmapBytesNeeded, clusterOffset, type ExfatLayout } from './layout.ts'

/** Bytes of the bitmap read at a time: a million clusters. */
const WINDOW_LENGTH = 128 * 1024

/** The bitmap of a volume, read in windows, however large it is. */
export class AllocationBitmap {
  readonly #device: BlockDevice
  readonly #layout: ExfatLayout
  /** Where the bitmap lies on the volume, piece by piece. */
  readonly #pieces: readonly Range[]

  private constructor(device: BlockDevice, layout: ExfatLayout, pieces: readonly Range[]) {
    this.#device = device
    this.#layout = layout
    this.#pieces = pieces
  }

  /**
   * The bitmap that `entry` of the root directory names.
   * Throws FormatError (EXFAT_BITMAP_BAD) when it is too short for the volume, or its chain is too short for it.
   */
  static async open(
    device: BlockDevice,
    layout: ExfatLayout,
    links: ClusterLinks,
    entry: BitmapEntry,
  ): Promise<AllocationBitmap> {
    const { clusterSize, clusterCount } = layout
    const needed = bitmapBytesNeeded(layout)
    const bad = (expected: string, actual: string) =>
      formatError('EXFAT_BITMAP_BAD', {
        structure: 'exFAT allocation bitmap',
        position: clusterOffset(layout, entry.firstCluster),
        expected,
        actual,
      })
    if (entry.dataLength < needed) {
      throw bad(`${needed} bytes or more, for ${clusterCount} clusters`, `${entry.dataLength} bytes`)
    }
    const length = Math.ceil(needed / clusterSize)
    const chain = await ClusterChain.follow(links, entry.firstCluster, length)
    if (chain.count < length) {
      throw bad(`a chain of ${length} clusters`, `one that ${chain.problem ?? 'ends'} after ${chain.count}`)
    }
    const pieces: Range[] = []
    for await (const { first, count } of chain.runs()) {
      pieces.push({ offset: clusterOffset(layout, first), length: count * clusterSize })
    }
    return new AllocationBitmap(device, layout, pieces)
  }

  /** How many clusters are used. */
  async count(signal?: AbortSignal): Promise<number> {
    let used = 0
    for await (const { count } of this.usedRuns()) {
      signal?.throwIfAborted()
      used += count
    }
    return used
  }

  /** The used clusters, in order. Runs that touch across a window come as two. */
  async *usedRuns(): AsyncIterable<ClusterRun> {
    const { clusterCount } = this.#layout
    const end = bitmapBytesNeeded(this.#layout)
    const buffer = Buffer.alloc(Math.min(WINDOW_LENGTH, end))
    for (let offset = 0; offset < end; offset += WINDOW_LENGTH) {
      const window = buffer.subarray(0, Math.min(WINDOW_LENGTH, end - offset))
      await this.#read(offset, window)
      const first = 2 + offset * 8
      const count = Math.min(window.length * 8, clusterCount - offset * 8)
      for (const run of runsOf(window, count)) yield { first: first + run.first, count: run.count }
    }
  }

  async #read(offset: number, target: Buffer): Promise<void> {
    const wanted = { offset, length: target.length }
    let start = 0
    for (const piece of this.#pieces) {
      const part = intersect({ offset: start, length: piece.length }, wanted)
      if (part !== undefined) {
        const to = part.offset - offset
        await this.#device.read(piece.offset + part.offset - start, target.subarray(to, to + part.length))
      }
      start += piece.length
    }
  }
}

/** The runs of ones among the first `count` bits. */
function* runsOf(bits: Buffer, count: number): Iterable<ClusterRun> {
  for (let first = nextBit(bits, 0, count, 1); first < count; ) {
    const end = nextBit(bits, first, count, 0)
    yield { first, count: end - first }
    first = nextBit(bits, end, count, 1)
  }
}

/** Hot: the first bit from `from` on that is `value`, or `count`. */
function nextBit(bits: Buffer, from: number, count: number, value: 0 | 1): number {
  const without = value === 1 ? 0x00 : 0xff
  for (let bit = from; bit < count; ) {
    if (bit % 8 === 0 && bits[bit >> 3] === without) bit += 8
    else if (((bits[bit >> 3]! >> (bit & 7)) & 1) === value) return bit
    else bit++
  }
  return count
}
