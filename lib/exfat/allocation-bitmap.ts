/** The allocation bitmap: one bit for each cluster, the lowest first. spec-notes/exfat.md, "Allocation bitmap". */
import type { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { formatError } from '../errors.ts'
import { ClusterChain, type ClusterRun } from '../volume/cluster-chain.ts'
import { ClusterContent } from '../volume/cluster-content.ts'
import type { ClusterLinks } from '../volume/cluster-links.ts'
import type { BitmapEntry } from './format.ts'
import { bitmapBytesNeeded, clusterOffset, type ExfatLayout } from './layout.ts'

/** Bytes of the bitmap read at a time: a million clusters. */
const WINDOW_LENGTH = 128 * 1024
/** Bytes of the bitmap kept while it is looked at here and there. */
const CACHE_SIZE = 1024 * 1024

/** The bitmap of a volume, read in windows, however large it is. */
export class AllocationBitmap {
  /** The clusters the bitmap lies in. */
  readonly chain: ClusterChain
  readonly #content: BlockDevice
  /** For a look here and there. */
  readonly #cached: BlockDevice
  readonly #layout: ExfatLayout

  private constructor(content: BlockDevice, layout: ExfatLayout, chain: ClusterChain) {
    this.chain = chain
    this.#content = content
    this.#cached = new CachedDevice(content, { capacity: CACHE_SIZE })
    this.#layout = layout
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
    const places = { clusterSize, offsetOf: (number: number) => clusterOffset(layout, number) }
    return new AllocationBitmap(new ClusterContent(device, places, chain, needed), layout, chain)
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
      await this.#content.read(offset, window)
      const first = 2 + offset * 8
      const count = Math.min(window.length * 8, clusterCount - offset * 8)
      for (const run of runsOf(window, count)) yield { first: first + run.first, count: run.count }
    }
  }

  /** What of `run`, clusters of the volume, the bitmap has as free. */
  async *freeRuns({ first, count }: ClusterRun): AsyncIterable<ClusterRun> {
    const end = first - 2 + count
    for (let bit = first - 2; bit < end; ) {
      const offset = Math.floor(bit / 8)
      const window = Buffer.alloc(Math.min(Math.ceil(end / 8) - offset, WINDOW_LENGTH))
      await this.#cached.read(offset, window)
      const bits = Math.min(window.length * 8, end - offset * 8)
      for (let from = nextBit(window, bit % 8, bits, 0); from < bits; ) {
        const to = nextBit(window, from, bits, 1)
        yield { first: 2 + offset * 8 + from, count: to - from }
        from = nextBit(window, to, bits, 0)
      }
      bit = (offset + window.length) * 8
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
