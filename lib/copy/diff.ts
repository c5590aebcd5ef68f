/** Two disks beside each other: the ranges in which they differ. */
import type { BlockDevice } from '../device/block-device.ts'
import { fileIdentity } from '../device/file-identity.ts'
import { endOf, mergeTouching, type Range, totalLength } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { unionRanges } from '../device/union-ranges.ts'
import type { ChainImage } from '../image/chain-image.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import { allHeld, openHeldRanges } from '../image/open-held-ranges.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { differentRanges } from './different-ranges.ts'
import { mapInOrder } from './map-in-order.ts'
import { requestsOf, type UsedWindow, usedWindows, WINDOW } from './used-windows.ts'

/** Windows that are compared at a time: each takes two buffers of 4 MiB. */
const IN_FLIGHT = 2

/** How `DiskDiff.open` opens and compares. `parent` is that of the first image; where the others are is for `search` to say. */
export interface DiffOptions extends ParentOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (report: { phase: string; done: number; total: number }) => void
}

/** What comparing two disks found. */
export interface DiffReport {
  /** Bytes of the first disk and of the second. */
  readonly sizes: readonly [number, number]
  /** Whether both have one size and nothing differs. */
  readonly same: boolean
  /** Ranges that differ, and the bytes in them. */
  readonly ranges: number
  readonly differentBytes: number
  /** Bytes that were held against each other: all else is empty in both, or lies in an image that both are made of. */
  readonly comparedBytes: number
}

/**
 * Two disks of which the differing ranges are asked for, once. A disk that is shorter counts as one that goes on in zeros.
 * Memory is bounded whatever their size.
 */
export class DiskDiff implements AsyncDisposable {
  readonly #disks: readonly [OpenedDisk, OpenedDisk]
  readonly #options: DiffOptions
  readonly #candidates: Candidates
  #ranges = 0
  #differentBytes = 0
  #comparedBytes = 0

  private constructor(disks: readonly [OpenedDisk, OpenedDisk], candidates: Candidates, options: DiffOptions) {
    this.#disks = disks
    this.#candidates = candidates
    this.#options = options
  }

  /** Opens the images or disks at `a` and `b`, with their parents. Throws what `openDisk` throws. */
  static async open(a: string, b: string, options: DiffOptions = {}): Promise<DiskDiff> {
    const opened: OpenedDisk[] = []
    try {
      const { parent, search = [] } = options
      opened.push(await openDisk(a, { search, ...(parent === undefined ? {} : { parent }) }))
      opened.push(await openDisk(b, { search }))
      const [first, second] = opened as [OpenedDisk, OpenedDisk]
      return new DiskDiff([first, second], await candidatesOf(first, second), options)
    } catch (error) {
      await settle(opened.map(disk => disk.close()))
      throw error
    }
  }

  /** What was found so far: the whole report when `ranges` has ended. */
  get report(): DiffReport {
    const [first, second] = this.#disks
    const sizes = [first.disk.size, second.disk.size] as const
    const same = this.#ranges === 0 && sizes[0] === sizes[1]
    const [ranges, differentBytes, comparedBytes] = [this.#ranges, this.#differentBytes, this.#comparedBytes]
    return { sizes, same, ranges, differentBytes, comparedBytes }
  }

  /** The ranges that differ, in whole sectors, in order, not touching each other. */
  async *ranges(): AsyncIterable<Range> {
    for await (const range of mergeTouching(this.#differences())) {
      this.#ranges++
      this.#differentBytes += range.length
      yield range
    }
  }

  async *#differences(): AsyncIterable<Range> {
    const [a, b] = this.#disks.map(({ disk }) => disk) as [BlockDevice, BlockDevice]
    const { signal, onProgress } = this.#options
    const size = Math.max(a.size, b.size)
    const unit = Math.max(a.sectorSize, b.sectorSize)
    const makeBuffers = () => Array.from({ length: IN_FLIGHT }, () => Buffer.allocUnsafeSlow(WINDOW))
    const [ofA, ofB] = [makeBuffers(), makeBuffers()]
    const total = await this.#lengthOfAll()
    const compare = async (window: UsedWindow, slot: number) => {
      signal?.throwIfAborted()
      const found: Range[] = []
      for (const { offset, length } of requestsOf(window.ranges).map(hullOf)) {
        const [first, second] = [ofA[slot]!.subarray(0, length), ofB[slot]!.subarray(0, length)]
        await settle([readPadded(a, offset, first), readPadded(b, offset, second)])
        found.push(...differentRanges(offset, first, second, unit))
      }
      return { found, length: totalLength(window.ranges) }
    }
    for await (const { found, length } of mapInOrder(usedWindows(this.#candidates(), size), IN_FLIGHT, compare)) {
      yield* found
      this.#comparedBytes += length
      onProgress?.({ phase: 'comparing', done: this.#comparedBytes, total })
    }
  }

  async #lengthOfAll(): Promise<number> {
    let length = 0
    for await (const range of this.#candidates()) {
      this.#options.signal?.throwIfAborted()
      length += range.length
    }
    return length
  }

  async close(): Promise<void> {
    await settle(this.#disks.map(opened => opened.close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** The ranges in which two disks can differ, in order. Can be asked for more than once. */
type Candidates = () => AsyncIterable<Range>

async function candidatesOf(a: OpenedDisk, b: OpenedDisk): Promise<Candidates> {
  const own = await imagesOfOne(a.chain, b.chain)
  const extentOf = ({ size: length }: { readonly size: number }) => ({ offset: 0, length })
  if (own === undefined) {
    const streams = [a.disk, b.disk].map(disk => ({ extent: extentOf(disk), ranges: () => disk.dataRanges() }))
    return () => unionRanges(streams)
  }
  return () => unionRanges(own.map(({ path }) => ({ extent: extentOf(a.disk), ranges: () => heldIn(path) })))
}

/**
 * The images that only one of two chains has, before the first that both have: from there on they are alike. Undefined
 * where no image is in both, and where not all of them have one size: what an image cuts off its parent is no change of its own.
 */
async function imagesOfOne(
  a: readonly ChainImage[],
  b: readonly ChainImage[],
): Promise<readonly ChainImage[] | undefined> {
  const [ofA, ofB] = await Promise.all([a, b].map(chain => Promise.all(chain.map(({ path }) => fileIdentity(path)))))
  const end = ofA!.findIndex(identity => identity !== undefined && ofB!.includes(identity))
  if (end < 0) return undefined
  const [own, other] = [a.slice(0, end), b.slice(0, ofB!.indexOf(ofA![end]))]
  const { virtualSize } = a[end]!
  return [...own, ...other].every(image => image.virtualSize === virtualSize) ? [...own, ...other] : undefined
}

async function* heldIn(path: string): AsyncIterable<Range> {
  await using image = await openHeldRanges(path)
  yield* allHeld(image)
}

/** From the first range to the last, with what is between. */
function hullOf(ranges: readonly Range[]): Range {
  const { offset } = ranges[0]!
  return { offset, length: endOf(ranges.at(-1)!) - offset }
}

/** Fills `target` with what `disk` has from byte `offset` on, and with zeros behind its end. */
async function readPadded(disk: BlockDevice, offset: number, target: Buffer): Promise<void> {
  const length = Math.max(0, Math.min(target.length, disk.size - offset))
  if (length > 0) await disk.read(offset, target.subarray(0, length))
  target.fill(0, length)
}
