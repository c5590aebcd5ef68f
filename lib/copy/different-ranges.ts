/** Where two buffers differ. */
import { normalizeRanges, type Range } from '../device/ranges.ts'

/**
 * The ranges, in whole units of `unit` bytes, in which `a` and `b` differ, which are equally long and lie at byte `offset`
 * of a disk: in order, not touching each other.
 */
export function differentRanges(offset: number, a: Buffer, b: Buffer, unit: number): Range[] {
  if (a.equals(b)) return []
  const ranges: Range[] = []
  for (let at = 0; at < b.length; at += unit) {
    const end = Math.min(at + unit, b.length)
    if (a.compare(b, at, end, at, end) !== 0) ranges.push({ offset: offset + at, length: end - at })
  }
  return normalizeRanges(ranges)
}
