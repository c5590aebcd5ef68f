/** A copy of an image without what it does not need: block by block, in the order of the disk, with no gaps. */
import { KiB, MiB } from '../binary/size.ts'
import type { ResizableDevice } from '../device/block-device.ts'
import type { RangeCopier } from '../device/range-copier.ts'
import { endOf } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { Bat, type BatPage } from './bat.ts'
import { writeEntry } from './bat-entry.ts'
import { BatSweep } from './bat-sweep.ts'
import type { BlockSet } from './block-set.ts'
import { HEADER_SECTION_SIZE, LOG_SECTOR_SIZE } from './format.ts'
import { batRegionLength } from './layout.ts'
import { NEW_LOG, newFileIdentifier, newHeaders, newRegionTables } from './new-image.ts'
import type { SoundStructures } from './structures.ts'
import { WriteSession } from './write-session.ts'

/** What a copy becomes. */
export interface PackedCopyOptions {
  readonly creator: string
  /** What children of the copy know it by: that of its source where their disks are the same. */
  readonly dataWriteGuid: string
  /** Blocks that read as zeros in the copy. */
  readonly dropped: BlockSet
  readonly copier: RangeCopier
}

/**
 * Writes the image of `source` to `target`, which is empty: the metadata as they are, the blocks without those in
 * `dropped`. Gives the session that it was written in: the copy is whole when the caller has closed it.
 */
export async function copyPacked(
  source: SoundStructures,
  target: ResizableDevice,
  options: PackedCopyOptions,
): Promise<WriteSession> {
  await writeStructures(source, target, options)
  const session = await WriteSession.open(target)
  await session.begin(false)
  const sweep = new BatSweep(source.geometry, options.dropped)
  const from = new Bat(source.file, source.regionTables.bat.offset, source.geometry)
  const to = new Bat(session.pages, session.structures.regionTables.bat.offset, source.geometry)
  const copyOne = (offset: number, length: number) =>
    session.allocate(length, place =>
      options.copier.copy({ source: source.file, from: { offset, length }, target, offset: place }),
    )
  for await (const page of from.pages()) {
    for (const entries of sectorsOf(page, sweep)) {
      const places = entries.map(({ offset, length }) => (length > 0 ? copyOne(offset, length) : Promise.resolve(0)))
      await settle(places)
      const first = Math.floor(entries[0]!.at / LOG_SECTOR_SIZE) * LOG_SECTOR_SIZE
      const bytes = Buffer.alloc(Math.min(LOG_SECTOR_SIZE, page.bytes.length - first))
      for (const [n, { at, state }] of entries.entries()) writeEntry(bytes, at - first, state, await places[n]!)
      await session.change([{ position: to.positionOf(page.index) + first, bytes }])
    }
  }
  return session
}

/** An entry of the copy's BAT at byte `at` of a page, and what of the source's file it stands for. */
interface CopiedEntry {
  readonly at: number
  readonly state: number
  readonly offset: number
  readonly length: number
}

/** The entries of `page` that say anything, those in one sector of the log together. */
function sectorsOf(page: BatPage, sweep: BatSweep): readonly (readonly CopiedEntry[])[] {
  const sectors = new Map<number, CopiedEntry[]>()
  sweep.page(page, (at, state, mebibyte, count) => {
    const sector = Math.floor(at / LOG_SECTOR_SIZE)
    const entry = { at, state, offset: mebibyte * MiB, length: count * MiB }
    const entries = sectors.get(sector)
    if (entries === undefined) sectors.set(sector, [entry])
    else entries.push(entry)
  })
  return [...sectors.values()]
}

/** Where a copy has its metadata and its BAT. */
function regionsOf({ geometry, regionTables }: SoundStructures) {
  const metadata = { offset: endOf(NEW_LOG), length: regionTables.metadata.length }
  const bat = { offset: endOf(metadata), length: batRegionLength(geometry.batEntryCount) }
  return { metadata, bat }
}

/** Bytes of a copy with `contentLength` bytes of blocks and bitmaps. */
export const packedSize = (source: SoundStructures, contentLength: number) =>
  endOf(regionsOf(source).bat) + contentLength

/** An image of the same disk, and with the same metadata, that has no block yet. */
async function writeStructures(
  source: SoundStructures,
  target: ResizableDevice,
  { creator, dataWriteGuid, copier }: PackedCopyOptions,
): Promise<void> {
  const { metadata, bat } = regionsOf(source)
  await target.write(0, newFileIdentifier(creator))
  await target.write(64 * KiB, Buffer.alloc(HEADER_SECTION_SIZE - 64 * KiB))
  await target.zero(NEW_LOG.offset, NEW_LOG.length)
  const { file, regionTables } = source
  await copier.copy({ source: file, from: regionTables.metadata, target, offset: metadata.offset })
  await target.zero(bat.offset, bat.length)
  for (const { position, bytes } of newRegionTables(bat, metadata)) await target.write(position, bytes)
  await target.flush()
  for (const { position, bytes } of newHeaders(dataWriteGuid)) await target.write(position, bytes)
  await target.flush()
}
