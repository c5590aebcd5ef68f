/**
 * Sectors of a partially present block can change from file to parent and back at every sector. What lies near each
 * other in one of the two is read at once, with what is between, and then spread to where it belongs.
 */
import { KiB, MiB } from '../binary/size.ts'
import { endOf, type Range } from '../device/ranges.ts'
import type { Extent } from './payload-blocks.ts'

/** Extents of one source that one read gets, in order. `offset`: byte of the disk that byte `place` of the source is. */
export interface Gathering extends Range {
  readonly source: Extent['source']
  readonly place: number
  readonly extents: readonly Extent[]
}

/** Bytes that are read for nothing rather than to read twice. */
const MAX_GAP = 32 * KiB
const MAX_LENGTH = MiB

/** The reads that get `extents`, which are in order. */
export function gather(extents: readonly Extent[]): Gathering[] {
  const gatherings: { source: Extent['source']; place: number; offset: number; length: number; extents: Extent[] }[] =
    []
  const last = new Map<Extent['source'], (typeof gatherings)[number]>()
  for (const extent of extents) {
    const { source, offset, length, place } = extent
    const open = last.get(source)
    const fits =
      open !== undefined &&
      place - offset === open.place - open.offset &&
      offset - endOf(open) <= MAX_GAP &&
      endOf(extent) - open.offset <= MAX_LENGTH
    if (fits) {
      open.extents.push(extent)
      open.length = endOf(extent) - open.offset
    } else {
      const gathering = { source, place, offset, length, extents: [extent] }
      gatherings.push(gathering)
      last.set(source, gathering)
    }
  }
  return gatherings
}
