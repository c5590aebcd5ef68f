/**
 * Giving the disk in an image another size. What the new size needs is made where nothing names it yet; then size and
 * region tables change in one commit; what the old size had besides is taken away after that. So the disk has the one
 * size or the other at every moment, and doing it again finishes what was interrupted.
 */
import { crc32c } from '../binary/crc32c.ts'
import { MiB, roundDown } from '../binary/size.ts'
import type { ResizableDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { writeEntry } from './bat-entry.ts'
import {
  BAT_ENTRY_SIZE,
  FULLY_PRESENT,
  IS_REQUIRED,
  IS_VIRTUAL_DISK,
  LOG_SECTOR_SIZE,
  regionEntry,
  regionTableHeader,
  VIRTUAL_DISK_SIZE,
  virtualDiskSize,
} from './format.ts'
import { checkVirtualSize } from './image-plan.ts'
import { batRegionLength, blockOfEntry, type Geometry, geometryOf, payloadEntryIndex } from './layout.ts'
import type { MetadataChange } from './metadata-pages.ts'
import { PayloadBlocks } from './payload-blocks.ts'
import type { SoundStructures } from './structures.ts'
import { clearUnusedEntries } from './unused-entries.ts'
import { WriteSession, type WriteSessionOptions } from './write-session.ts'

/** What another size means for the file. */
export interface ResizePlan {
  readonly before: Geometry
  readonly after: Geometry
  /** The BAT has to go where there is more room for it. */
  readonly movesBat: boolean
  /** Bytes of zeros that are written to a fixed image. */
  readonly addedBytes: number
}

/** How `resizeVhdx` works. */
export interface ResizeOptions extends WriteSessionOptions {
  readonly signal?: AbortSignal | undefined
  /** Called as blocks of a fixed image are written, with bytes. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** What it takes to give the disk of an image `virtualSize` bytes. Throws OptionError (BAD_VIRTUAL_SIZE). */
export function planResize(
  { geometry, regionTables, metadataRegion }: SoundStructures,
  virtualSize: number,
): ResizePlan {
  checkVirtualSize(virtualSize, geometry.logicalSectorSize)
  const after = geometryOf({ ...geometry, virtualSize })
  const added = Math.max(0, after.blockCount - geometry.blockCount)
  return {
    before: geometry,
    after,
    movesBat: batRegionLength(after.batEntryCount) > regionTables.bat.length,
    addedBytes: metadataRegion.metadata.leaveBlocksAllocated ? added * geometry.blockSize : 0,
  }
}

/**
 * Gives the disk of the image in `file`, which stays the caller's, `virtualSize` bytes. What it has more reads as zeros,
 * in a differencing image as its parent does there; what it has less is gone, with its blocks. The file system and the
 * partition table on the disk are not looked at. Children of the image do not fit it any more.
 * Throws what `planResize` and `WriteSession.open` throw, FormatError where entries of the BAT are broken, and the
 * signal's reason: then the disk has the size it had.
 */
export async function resizeVhdx(
  file: ResizableDevice,
  virtualSize: number,
  options: ResizeOptions = {},
): Promise<void> {
  const session = await WriteSession.open(file, options)
  const plan = planResize(session.structures, virtualSize)
  // Throws where entries of the BAT are broken, before anything has changed.
  await session.freeSpace()
  const made = new Unnamed(session)
  try {
    if (plan.after.virtualSize > plan.before.virtualSize) await grow(session, plan, made, options)
    else if (plan.after.virtualSize < plan.before.virtualSize) await setSize(session, plan)
  } catch (error) {
    await made.giveBack()
    await session.close().catch(() => {})
    throw error
  }
  await session.close()
  await tidy(file)
}

/** Takes away what a disk that was larger has left behind, or an attempt that was interrupted: entries, and blocks. */
async function tidy(file: ResizableDevice): Promise<void> {
  const session = await WriteSession.open(file)
  await clearUnusedEntries(session)
  // Known from the BAT of the size that the disk has now. The close cuts the file to it.
  const { end } = await session.freeSpace()
  if (end < file.size) await session.begin(false)
  await session.close()
}

async function grow(session: WriteSession, plan: ResizePlan, made: Unnamed, options: ResizeOptions): Promise<void> {
  await session.begin(false)
  await clearUnusedEntries(session)
  await clearLastBlock(session, plan)
  const { bat } = session.structures.regionTables
  const blocks = plan.addedBytes > 0 ? await made.allocate(plan.addedBytes, writeZeros(session, plan, options)) : 0
  if (!plan.movesBat) {
    if (plan.addedBytes > 0) await addEntries(session, plan, blocks)
    return setSize(session, plan)
  }
  const length = batRegionLength(plan.after.batEntryCount)
  const place = await made.allocate(length, place => copyBat(session, plan, { offset: place, length }, blocks))
  await setSize(session, plan, movedBat(session.structures, { offset: place, length }))
  const freeSpace = await session.freeSpace()
  freeSpace.release(bat)
}

/** Space of the file that nothing names before the size changes: given back when it comes to nothing. */
class Unnamed {
  readonly #session: WriteSession
  readonly #ranges: Range[] = []

  constructor(session: WriteSession) {
    this.#session = session
  }

  async allocate(length: number, fill: (place: number) => Promise<void>): Promise<number> {
    const offset = await this.#session.allocate(length, fill)
    this.#ranges.push({ offset, length })
    return offset
  }

  async giveBack(): Promise<void> {
    if (this.#ranges.length === 0) return
    const freeSpace = await this.#session.freeSpace()
    for (const range of this.#ranges) freeSpace.free(range)
  }
}

/** The one change that counts: the size, together with `also`. */
async function setSize(
  session: WriteSession,
  { after }: ResizePlan,
  also: readonly MetadataChange[] = [],
): Promise<void> {
  const data = virtualDiskSize.toBuffer({ virtualDiskSize: after.virtualSize })
  await session.begin(true)
  await session.setItems([{ itemId: VIRTUAL_DISK_SIZE, flags: IS_VIRTUAL_DISK + IS_REQUIRED, data }], [], also)
}

/** Zeros in what the disk gets of the block that it ended in: nobody saw what is there. */
async function clearLastBlock(session: WriteSession, { before, after }: ResizePlan): Promise<void> {
  const { blockSize, virtualSize } = before
  const end = Math.min(before.blockCount * blockSize, after.virtualSize)
  if (virtualSize === end) return
  const { regionTables, areas } = session.structures
  const blocks = new PayloadBlocks(session.pages, regionTables.bat.offset, before, areas, session.pages)
  const { place } = await blocks.locate({ offset: virtualSize, length: end - virtualSize })
  if (place !== undefined) await session.file.zero(place, end - virtualSize)
}

const ZEROS_STEP = 4 * MiB

const writeZeros =
  ({ file }: WriteSession, { addedBytes }: ResizePlan, { signal, onProgress }: ResizeOptions) =>
  async (place: number): Promise<void> => {
    for (let done = 0; done < addedBytes; ) {
      signal?.throwIfAborted()
      const length = Math.min(ZEROS_STEP, addedBytes - done)
      await file.zero(place + done, length)
      done += length
      onProgress?.(done, addedBytes)
    }
  }

/** Puts the entries of the new blocks, which lie from byte `blocks` of the file on, behind those that there are. */
async function addEntries(session: WriteSession, plan: ResizePlan, blocks: number): Promise<void> {
  const { bat } = session.structures.regionTables
  const { before, after } = plan
  const first = payloadEntryIndex(before.blockCount, before.chunkRatio) * BAT_ENTRY_SIZE
  const sector = Buffer.alloc(LOG_SECTOR_SIZE)
  for (
    let offset = roundDown(first, sector.length);
    offset < after.batEntryCount * BAT_ENTRY_SIZE;
    offset += sector.length
  ) {
    await session.pages.read(bat.offset + offset, sector)
    setEntries(sector, offset, plan, blocks)
    await session.change([{ position: bat.offset + offset, bytes: Buffer.from(sector) }])
  }
}

/** Writes the BAT as it will be to `target`. */
async function copyBat(session: WriteSession, plan: ResizePlan, target: Range, blocks: number): Promise<void> {
  const { bat } = session.structures.regionTables
  for (let offset = 0; offset < target.length; offset += MiB) {
    const page = Buffer.alloc(MiB)
    if (offset < bat.length) await session.pages.read(bat.offset + offset, page)
    if (plan.addedBytes > 0) setEntries(page, offset, plan, blocks)
    await session.file.write(target.offset + offset, page)
  }
}

/** In `page`, which lies at byte `offset` of the BAT, the entries of blocks that the disk gets. Hot: once per block. */
function setEntries(page: Buffer, offset: number, { before, after }: ResizePlan, blocks: number): void {
  const { blockSize, chunkRatio, blockCount } = before
  const first = Math.max(blockCount, blockOfEntry(offset / BAT_ENTRY_SIZE, chunkRatio))
  for (let block = first; block < after.blockCount; block++) {
    const at = payloadEntryIndex(block, chunkRatio) * BAT_ENTRY_SIZE - offset
    if (at >= page.length) return
    writeEntry(page, at, FULLY_PRESENT, blocks + (block - blockCount) * blockSize)
  }
}

/** Both region tables with the BAT at `place`. */
function movedBat({ regionTables: { copies, bat } }: SoundStructures, place: Range): MetadataChange[] {
  const used = copies.find(copy => copy.valid)!
  const bytes = Buffer.from(used.bytes!)
  const at = bat.position - used.position
  regionEntry.encode({ ...regionEntry.decode(bytes, at), fileOffset: place.offset, length: place.length }, bytes, at)
  const checksum = regionTableHeader.offsetOf('checksum')
  bytes.writeUInt32LE(0, checksum)
  bytes.writeUInt32LE(crc32c(bytes), checksum)
  return copies.map(({ position }) => ({ position, bytes }))
}
