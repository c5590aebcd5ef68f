/** What differencing images on top of each other hold together: what of it shows, and whose it is. */
import type { HeldRange } from '../device/extents.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { subtractStream } from '../device/subtract-stream.ts'
import { unionRanges } from '../device/union-ranges.ts'

/** An image, as far as merging is concerned. */
export interface Layer {
  /** Bytes of its disk. */
  readonly size: number
  heldRanges(): AsyncIterable<HeldRange>
}

/** Data with no more than this between is copied in one piece, with what is between. */
const MAX_GAP = 32 * 1024

/**
 * What of the disk of the first of `layers` lies in one of them, each a child of the next: in order for each layer, the
 * first one's first. No two ranges overlap but for the small gaps that data has, which are whatever the first layer shows
 * there.
 */
export async function* heldByLayers(layers: readonly Layer[]): AsyncIterable<HeldRange> {
  const { size } = layers[0]!
  const extent = { offset: 0, length: size }
  for (const [index, layer] of layers.entries()) {
    const above = layers.slice(0, index).map(upper => ({ extent, ranges: () => hiddenBy(upper, size) }))
    yield* withoutSmallGaps(subtractStream(hiddenBy(layer, size), unionRanges(above)))
  }
}

/** What the layer hides of all below it: what it holds, and behind its end everything, for a disk of `size` bytes on top of it. */
async function* hiddenBy(layer: Layer, size: number): AsyncIterable<HeldRange> {
  for await (const range of layer.heldRanges()) {
    if (range.offset >= size) return
    yield { ...range, length: Math.min(range.length, size - range.offset) }
  }
  if (layer.size < size) yield { offset: layer.size, length: size - layer.size, content: 'zeros' }
}

async function* withoutSmallGaps(ranges: AsyncIterable<HeldRange>): AsyncIterable<HeldRange> {
  let last: HeldRange | undefined
  for await (const range of ranges) {
    if (last !== undefined && isNear(last, range)) last = { ...last, length: endOf(range) - last.offset }
    else {
      if (last !== undefined) yield last
      last = range
    }
  }
  if (last !== undefined) yield last
}

const isNear = (a: HeldRange, b: HeldRange) => a.content === 'data' && b.content === 'data' && distance(a, b) <= MAX_GAP

const distance = (a: Range, b: Range) => b.offset - endOf(a)
