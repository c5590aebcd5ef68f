/** The used ranges of a disk, read in aligned windows in which everything else is zero. */
import { roundDown } from '../binary/size.ts'
import { endOf, intersect, type Range } from '../device/ranges.ts'
import type { Patch } from '../volume/volume.ts'
import type { RescuingReader } from './rescuing-reader.ts'

/** Bytes of a window, and of the largest request. */
export const WINDOW = 4 * 2 ** 20

/** Ranges with no more than this between them are read in one request; what lies between is zeroed afterwards. */
const GAP_READ_ACROSS = 128 * 1024

/** The used ranges of one window of the disk. */
export interface UsedWindow {
  readonly offset: number
  readonly length: number
  readonly ranges: readonly Range[]
}

/**
 * Cuts ordered `ranges` into the windows of a disk of `size` bytes, and off at its end. Windows that no range touches do
 * not come.
 */
export async function* usedWindows(ranges: AsyncIterable<Range>, size: number): AsyncIterable<UsedWindow> {
  let window: { offset: number; length: number; ranges: Range[] } | undefined
  for await (const { offset: start, length } of ranges) {
    const range = intersect({ offset: start, length }, { offset: 0, length: size })
    if (range === undefined) continue
    for (let at = range.offset; at < endOf(range); ) {
      const offset = roundDown(at, WINDOW)
      if (window?.offset !== offset) {
        if (window !== undefined) yield window
        window = { offset, length: Math.min(WINDOW, size - offset), ranges: [] }
      }
      const end = Math.min(endOf(range), offset + WINDOW)
      window.ranges.push({ offset: at, length: end - at })
      at = end
    }
  }
  if (window !== undefined) yield window
}

/**
 * Fills `target` with the window: its used ranges and patches, and zeros everywhere else. What a request read between
 * two ranges is stale data, so it is zeroed whatever it was.
 */
export async function readUsedWindow(
  reader: RescuingReader,
  window: UsedWindow,
  patches: readonly Patch[],
  target: Buffer,
): Promise<Buffer> {
  const bytes = target.subarray(0, window.length)
  await Promise.all(requestsOf(window.ranges).map(ranges => reader.readRanges(ranges, bytes, window.offset)))
  const at = (offset: number) => offset - window.offset
  let clean = window.offset
  for (const range of window.ranges) {
    bytes.fill(0, at(clean), at(range.offset))
    clean = endOf(range)
  }
  bytes.fill(0, at(clean))
  for (const patch of patches) apply(patch, window, bytes)
  return bytes
}

/** Ordered ranges in groups of those that lie close together: each is read at once. */
export function requestsOf(ranges: readonly Range[]): Range[][] {
  const requests: Range[][] = []
  for (const range of ranges) {
    const last = requests.at(-1)?.at(-1)
    if (last !== undefined && range.offset - endOf(last) <= GAP_READ_ACROSS) requests.at(-1)!.push(range)
    else requests.push([range])
  }
  return requests
}

function apply(patch: Patch, window: UsedWindow, bytes: Buffer): void {
  const part = intersect({ offset: patch.offset, length: patch.bytes.length }, window)
  if (part === undefined) return
  patch.bytes.copy(bytes, part.offset - window.offset, part.offset - patch.offset, endOf(part) - patch.offset)
}
