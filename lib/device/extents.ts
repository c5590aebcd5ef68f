/**
 * Disks that are put together: of the file of an image, of the disk of its parent, and of zeros. Where single sectors were
 * written, that changes from sector to sector. What lies near each other in one source is read at once, with what is
 * between, and then spread to where it belongs: a request for each run would take a hundred times as long.
 */
import { KiB, MiB } from '../binary/size.ts'
import { DiskImageError } from '../errors.ts'
import type { BlockDevice, ByteSource } from './block-device.ts'
import { endOf, type Range } from './ranges.ts'
import { settle } from './settle.ts'

/** A piece of the disk, and where its bytes lie one behind the other. */
export interface Extent extends Range {
  readonly source: 'file' | 'parent' | 'zeros'
  /** Byte of the file; of parent and zeros the same as `offset`. */
  readonly place: number
}

/** A piece of the disk that an image of a chain holds itself: whatever its parents have there does not show. */
export interface HeldRange extends Range {
  readonly content: 'data' | 'zeros'
}

/** Extents in order, of which those that go on where the last one ends become one with it. */
export class ExtentList {
  readonly list: Writable<Extent>[] = []

  add({ offset, length }: Range, source: Extent['source'], place: number): void {
    const last = this.list.at(-1)
    if (last?.source === source && last.place + last.length === place) last.length += length
    else this.list.push({ offset, length, source, place })
  }
}

/** Where extents are read from. */
export interface Sources {
  readonly file: ByteSource
  /** What lies behind its end reads as zeros. Undefined where no extent is the parent's. */
  readonly parent: BlockDevice | undefined
}

/** Fills `target` with `extents`, which follow each other without a gap and are as long as it is. */
export async function readExtents(extents: readonly Extent[], sources: Sources, target: Buffer): Promise<void> {
  const start = extents[0]?.offset ?? 0
  const partOf = (range: Range) => target.subarray(range.offset - start, endOf(range) - start)
  await settle(gather(extents).map(gathering => readGathering(gathering, sources, partOf)))
}

/** Where the bytes of `extents` lie, as `BlockDevice.placeOf` says. */
export async function placeOfExtents(
  extents: readonly Extent[],
  { file, parent }: { readonly file: BlockDevice; readonly parent: BlockDevice | undefined },
): ReturnType<BlockDevice['placeOf']> {
  const [extent] = extents
  if (extent === undefined || extents.length > 1 || extent.source === 'zeros') return undefined
  const device = extent.source === 'file' ? file : parent
  const range = { offset: extent.place, length: extent.length }
  return device !== undefined && endOf(range) <= device.size ? device.placeOf(range) : undefined
}

/** Extents of one source that one read gets, in order. `offset`: byte of the disk that byte `place` of the source is. */
interface Gathering extends Extent {
  readonly extents: readonly Extent[]
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** Bytes that are read for nothing rather than to read twice. */
const MAX_GAP = 32 * KiB
const MAX_LENGTH = MiB

/** The reads that get `extents`, which are in order. */
function gather(extents: readonly Extent[]): Gathering[] {
  const gatherings: (Writable<Extent> & { extents: Extent[] })[] = []
  const last = new Map<Extent['source'], (typeof gatherings)[number]>()
  for (const extent of extents) {
    const { source, offset, place } = extent
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
      const gathering = { ...extent, extents: [extent] }
      gatherings.push(gathering)
      last.set(source, gathering)
    }
  }
  return gatherings
}

async function readGathering(
  { source, place, offset, length, extents }: Gathering,
  sources: Sources,
  partOf: (range: Range) => Buffer,
): Promise<void> {
  if (extents.length > 1 && source !== 'zeros') {
    const content = Buffer.allocUnsafe(length)
    try {
      await readFrom(source, place, content, sources)
      for (const extent of extents) content.copy(partOf(extent), 0, extent.offset - offset, endOf(extent) - offset)
      return
    } catch (error) {
      // What cannot be read may be what nobody asked for.
      if (!(error instanceof DiskImageError)) throw error
    }
  }
  for (const extent of extents) await readFrom(source, extent.place, partOf(extent), sources)
}

async function readFrom(
  source: Extent['source'],
  place: number,
  target: Buffer,
  { file, parent }: Sources,
): Promise<void> {
  if (source === 'file') return file.read(place, target)
  const reached = source === 'parent' && parent !== undefined ? parent.size - place : 0
  const length = Math.max(0, Math.min(target.length, reached))
  if (length > 0) await parent!.read(place, target.subarray(0, length))
  target.fill(0, length)
}
