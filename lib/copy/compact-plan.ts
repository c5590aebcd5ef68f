/** What making an image smaller would do, found out before anything is changed. */
import { FileDevice } from '../device/file-device.ts'
import type { Finding } from '../finding.ts'
import { demandVhdx } from '../image/container.ts'
import { HostFolders, hostFile } from '../image/open-host-files.ts'
import { type OpenedImage, openImage } from '../image/open-image.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { Bat } from '../vhdx/bat.ts'
import { checkVhdx } from '../vhdx/check.ts'
import { packedSize } from '../vhdx/packed-copy.ts'
import { Packing } from '../vhdx/packing.ts'
import { regionName } from '../vhdx/region-table.ts'
import { errorOf } from '../vhdx/rules.ts'
import { readSoundStructures, type SoundStructures } from '../vhdx/structures.ts'
import type { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { type BlockNeeds, type JudgedImage, judgeBlocks } from './block-needs.ts'
import { findUsedRanges, type WholeVolumeReason } from './used-ranges.ts'

/** How `compactImage` works. */
export interface CompactOptions extends ParentOptions {
  /** Writes a packed copy there, and leaves the image as it is. Default: the image itself is changed. */
  readonly to?: string | undefined
  /** Clears what nothing uses in blocks that are kept, too. */
  readonly zeroFree?: boolean
  /** Finds out what would be gained, and changes nothing. */
  readonly dryRun?: boolean
  /** Although the image has children, which do not fit it any more when it reads differently; and replaces a file at `to`. */
  readonly force?: boolean
  /** Who makes the copy: for people. */
  readonly creator?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (report: { phase: string; done: number; total: number }) => void
}

/** An image that is made smaller, and its file. */
export interface OpenedVhdx extends OpenedImage {
  readonly path: string
  readonly file: FileDevice
  readonly disk: VhdxDevice
}

/** What is done when blocks have been dropped. Sizes are bytes. */
export interface PackingResult {
  readonly sizeAfter: number
  /** What went to another place, or into the copy. */
  readonly movedBytes: number
}

/** All that is known before anything is changed. */
export interface CompactionPlan {
  readonly type: 'dynamic' | 'fixed' | 'differencing'
  readonly judged: JudgedImage
  readonly needs: BlockNeeds
  readonly sizeBefore: number
  readonly contentChanged: boolean
  readonly wholeVolumes: readonly WholeVolumeReason[]
  readonly findings: readonly Finding[]
  readonly expected: PackingResult
}

/** The disk is only read in any case; `writable` is whether its file may be written, and nobody else may then use it. */
export async function openForCompaction(
  path: string,
  writable: boolean,
  { parent, search }: ParentOptions,
): Promise<OpenedVhdx> {
  const file = await FileDevice.open(path, { mode: writable ? 'write' : 'read' })
  try {
    await demandVhdx(file, path)
    const where = { ...(parent !== undefined && { parent }), ...(search && { search }) }
    const image = await openImage(await hostFile(file), new HostFolders(), { ...where, format: 'vhdx' })
    return { ...image, path, file, disk: image.disk as VhdxDevice }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Reads what has to be read to know all that will be done. Throws FormatError where the BAT cannot be trusted. */
export async function planCompaction({ file, disk }: OpenedVhdx, options: CompactOptions): Promise<CompactionPlan> {
  const { zeroFree = false, to, signal, onProgress } = options
  const { problems } = await checkVhdx(file)
  const broken = problems.find(({ severity }) => severity === 'error')
  if (broken !== undefined) throw errorOf(broken)
  const structures = await readSoundStructures(file)
  const { hasParent, leaveBlocksAllocated } = structures.metadataRegion.metadata
  const type = hasParent ? 'differencing' : leaveBlocksAllocated ? 'fixed' : 'dynamic'
  onProgress?.({ phase: 'surveying', done: 0, total: 0 })
  const { whole, ranges } = await findUsedRanges(disk, signal)
  const judged: JudgedImage = { disk, structures, used: ranges }
  const total = (await disk.allocatedBlocks()) * disk.geometry.blockSize
  const needs = await judgeBlocks(judged, {
    mayDrop: type !== 'fixed',
    findStale: zeroFree,
    onProgress: counted('reading', total, onProgress),
    signal,
  })
  return {
    type,
    judged,
    needs,
    sizeBefore: file.size,
    contentChanged: needs.freeBlocks > 0 || needs.staleBytes > 0,
    wholeVolumes: whole,
    findings: [...fixedFindings(type, zeroFree), ...(to === undefined ? [] : droppedRegions(structures))],
    expected: await expect(file, type, structures, needs, to),
  }
}

function fixedFindings(type: CompactionPlan['type'], zeroFree: boolean): Finding[] {
  if (type !== 'fixed') return []
  const rest = zeroFree ? '' : ', and nothing else was asked for (--zero-free)'
  const message = `a fixed image keeps a place for every block, so it gets no smaller${rest}. Convert it to a dynamic one for that`
  return [{ code: 'FIXED_KEEPS_BLOCKS', message }]
}

/** What a copy does not get: nobody here knows whether it would fit there. */
function droppedRegions({ regionTables: { regions, bat, metadata } }: SoundStructures): Finding[] {
  return regions
    .filter(region => region !== bat && region !== metadata)
    .map(({ guid }) => ({ code: 'REGION_DROPPED', message: `the copy does not have the ${regionName(guid)}` }))
}

/** What would be done, from the BAT alone. */
async function expect(
  file: FileDevice,
  type: CompactionPlan['type'],
  structures: SoundStructures,
  { dropped }: BlockNeeds,
  to: string | undefined,
): Promise<PackingResult> {
  const { geometry, areas, regionTables } = structures
  const bat = new Bat(structures.file, regionTables.bat.offset, geometry)
  const packing = await Packing.plan(bat, geometry, areas, dropped)
  if (to !== undefined) {
    const movedBytes = packing.contentLength
    return { sizeAfter: packedSize(structures, movedBytes), movedBytes }
  }
  if (type === 'fixed') return { sizeAfter: file.size, movedBytes: 0 }
  let movedBytes = 0
  for await (const { length } of packing.moves()) movedBytes += length
  return { sizeAfter: packing.end, movedBytes }
}

/** Adds up bytes and reports how many of `total` they are. */
export function counted(
  phase: string,
  total: number,
  onProgress: CompactOptions['onProgress'],
): (bytes: number) => void {
  let done = 0
  return bytes => {
    done += bytes
    onProgress?.({ phase, done, total })
  }
}
