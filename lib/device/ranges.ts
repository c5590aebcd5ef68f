/** Ranges of bytes, and what is done with sorted lists of them. */

/** `length` bytes from byte `offset`. */
export interface Range {
  readonly offset: number
  readonly length: number
}

export const endOf = (range: Range) => range.offset + range.length

/** The part of `range` that lies in `within`; undefined when there is none. */
export function intersect(range: Range, within: Range): Range | undefined {
  const offset = Math.max(range.offset, within.offset)
  const length = Math.min(endOf(range), endOf(within)) - offset
  return length > 0 ? { offset, length } : undefined
}

/** `range` moved by `distance` bytes, which may be negative. */
export const shift = (range: Range, distance: number): Range => ({
  offset: range.offset + distance,
  length: range.length,
})

/** Sorted, merged where they touch or overlap, empty ones dropped. */
export function normalizeRanges(ranges: readonly Range[]): Range[] {
  const sorted = ranges.filter(range => range.length > 0).sort((a, b) => a.offset - b.offset)
  const merged: Range[] = []
  for (const range of sorted) {
    const last = merged.at(-1)
    if (last === undefined || range.offset > endOf(last)) merged.push(range)
    else if (endOf(range) > endOf(last)) {
      merged[merged.length - 1] = {
        offset: last.offset,
        length: endOf(range) - last.offset,
      }
    }
  }
  return merged
}

/** What of the normalized `ranges` is not in the normalized `holes`. */
export function subtractRanges(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  const left: Range[] = []
  let next = 0
  for (const range of ranges) {
    let from = range.offset
    while (next < holes.length && endOf(holes[next]!) <= from) next++
    for (let i = next; i < holes.length && holes[i]!.offset < endOf(range); i++) {
      const hole = holes[i]!
      if (hole.offset > from) left.push({ offset: from, length: hole.offset - from })
      from = Math.max(from, endOf(hole))
    }
    if (from < endOf(range)) left.push({ offset: from, length: endOf(range) - from })
  }
  return left
}

/** What lies in both of two normalized lists. */
export function intersectRanges(a: readonly Range[], b: readonly Range[]): Range[] {
  const common: Range[] = []
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const both = intersect(a[i]!, b[j]!)
    if (both !== undefined) common.push(both)
    if (endOf(a[i]!) <= endOf(b[j]!)) i++
    else j++
  }
  return common
}

/** The bytes in a list of ranges that do not overlap. */
export const totalLength = (ranges: readonly Range[]) => ranges.reduce((sum, range) => sum + range.length, 0)

/** A list as a stream. */
export async function* streamOf(ranges: readonly Range[]): AsyncIterable<Range> {
  yield* ranges
}

/** Every range of an iteration that is already in order, with those that touch merged. */
export async function* mergeTouching(ranges: AsyncIterable<Range>): AsyncIterable<Range> {
  let last: Range | undefined
  for await (const range of ranges) {
    if (range.length === 0) continue
    if (last !== undefined && range.offset <= endOf(last)) {
      last = {
        offset: last.offset,
        length: Math.max(endOf(last), endOf(range)) - last.offset,
      }
    } else {
      if (last !== undefined) yield last
      last = range
    }
  }
  if (last !== undefined) yield last
}
