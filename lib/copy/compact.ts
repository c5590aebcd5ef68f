/** An image becomes smaller: blocks that hold nothing lose their places, and the file its gaps. */
import { MiB } from '../binary/size.ts'
import { FileDevice } from '../device/file-device.ts'
import { RangeCopier } from '../device/range-copier.ts'
import { whileOpen } from '../device/while-open.ts'
import { RefusedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { demandVhdx } from '../image/container.ts'
import { refuseChildren } from '../image/open-children.ts'
import { HostFolders, hostFile } from '../image/open-host-files.ts'
import { type OpenedImage, openImage } from '../image/open-image.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { Bat } from '../vhdx/bat.ts'
import { checkVhdx } from '../vhdx/check.ts'
import { dropBlocks, packFile } from '../vhdx/compaction.ts'
import { IS_REQUIRED, PARENT_LOCATOR } from '../vhdx/format.ts'
import { copyPacked, packedSize } from '../vhdx/packed-copy.ts'
import { Packing } from '../vhdx/packing.ts'
import { parentLocatorBytes, withPaths } from '../vhdx/parent-locator.ts'
import { regionName } from '../vhdx/region-table.ts'
import { errorOf } from '../vhdx/rules.ts'
import { readSoundStructures, type SoundStructures } from '../vhdx/structures.ts'
import type { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { WriteSession } from '../vhdx/write-session.ts'
import { type BlockNeeds, clearStale, type JudgedImage, judgeBlocks } from './block-needs.ts'
import { checkWrittenVhdx } from './check-written.ts'
import { OutputFile, refuseFullTarget, refuseSources } from './output-file.ts'
import { pathsToParent } from './parent-paths.ts'
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

/** What was done, or with `dryRun` would be. Sizes are bytes. */
export interface CompactReport {
  readonly path: string
  /** The copy; the same as `path` when the image itself is changed. */
  readonly target: string
  readonly type: 'dynamic' | 'fixed' | 'differencing'
  readonly sizeBefore: number
  readonly sizeAfter: number
  /** Blocks that had a place in the file. */
  readonly blocks: number
  /** Of these, those that lost it: zeros, and content of clusters that nothing uses. */
  readonly zeroBlocks: number
  readonly freeBlocks: number
  /** What nothing used in other blocks, and is zeros now. */
  readonly clearedBytes: number
  /** What went to another place, and how much of that the file system shares instead of having copied it. */
  readonly movedBytes: number
  readonly sharedBytes: number
  /** Whether anything reads differently: then the image, or its copy, has a new DataWriteGuid. */
  readonly contentChanged: boolean
  /** Volumes of which every sector was taken for used. */
  readonly wholeVolumes: readonly WholeVolumeReason[]
  readonly dryRun: boolean
  readonly seconds: number
  readonly findings: readonly Finding[]
}

/**
 * Takes their places from the blocks of the VHDX at `path` of which nothing is needed: what is used of them is zeros, by
 * the file systems NTFS, FAT and exFAT in the image. Then it packs the file, or writes a packed copy. The files on the disk
 * stay what they are; where a file system is dirty, damaged or unknown nothing of its volume is given up but zeros.
 *
 * The image is whole at every moment, and what was interrupted can be done again. A fixed image keeps all of its blocks.
 * Throws what `openDisk` throws, UnsupportedError (NOT_VHDX), FormatError for a broken BAT, RefusedError (HAS_CHILDREN,
 * TARGET_EXISTS), OptionError (SAME_FILE, PARENT_NAME), StorageError.
 */
export async function compactImage(path: string, options: CompactOptions = {}): Promise<CompactReport> {
  const started = Date.now()
  const { to, dryRun = false } = options
  await using image = await openForCompaction(path, to === undefined && !dryRun, options)
  if (to !== undefined) await refuseSources(to, [path, ...image.chain.slice(1).map(parent => parent.path)])
  const plan = await planCompaction(image, options)
  const findings: Finding[] = [...image.findings, ...plan.findings]
  if (to === undefined && plan.contentChanged && !options.force) findings.push(...(await sayChildren(image, dryRun)))
  const job = { image, plan, options }
  const done = dryRun ? plan.expected : to === undefined ? await compactInPlace(job) : await compactTo(job, to)
  const { needs, wholeVolumes, contentChanged } = plan
  return {
    path,
    target: to ?? path,
    type: plan.type,
    sizeBefore: plan.sizeBefore,
    blocks: needs.presentBlocks,
    zeroBlocks: needs.dropped.count - needs.freeBlocks,
    freeBlocks: needs.freeBlocks,
    clearedBytes: needs.staleBytes,
    ...done,
    contentChanged,
    wholeVolumes,
    dryRun,
    seconds: (Date.now() - started) / 1000,
    findings: [...findings, ...done.findings],
  }
}

interface OpenedVhdx extends OpenedImage {
  readonly path: string
  readonly file: FileDevice
  readonly disk: VhdxDevice
}

type Done = Pick<CompactReport, 'sizeAfter' | 'movedBytes' | 'sharedBytes' | 'findings'>

interface CompactionPlan {
  readonly type: CompactReport['type']
  readonly judged: JudgedImage
  readonly needs: BlockNeeds
  readonly sizeBefore: number
  readonly contentChanged: boolean
  readonly wholeVolumes: readonly WholeVolumeReason[]
  readonly findings: readonly Finding[]
  readonly expected: Done
}

interface CompactionJob {
  readonly image: OpenedVhdx
  readonly plan: CompactionPlan
  readonly options: CompactOptions
}

/** The disk is only read in any case; `writable` is whether its file may be written, and nobody else may then use it. */
async function openForCompaction(path: string, writable: boolean, options: ParentOptions): Promise<OpenedVhdx> {
  const file = await FileDevice.open(path, { mode: writable ? 'write' : 'read' })
  try {
    await demandVhdx(file, path)
    const image = await openImage(await hostFile(file), new HostFolders(), { ...options, format: 'vhdx' })
    return { ...image, path, file, disk: image.disk as VhdxDevice }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Reads what has to be read to know all that will be done. Throws FormatError where the BAT cannot be trusted. */
async function planCompaction({ file, disk }: OpenedVhdx, options: CompactOptions): Promise<CompactionPlan> {
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

function fixedFindings(type: CompactReport['type'], zeroFree: boolean): Finding[] {
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
  type: CompactReport['type'],
  structures: SoundStructures,
  { dropped }: BlockNeeds,
  to: string | undefined,
): Promise<Done> {
  const { geometry, areas, regionTables } = structures
  const bat = new Bat(structures.file, regionTables.bat.offset, geometry)
  const packing = await Packing.plan(bat, geometry, areas, dropped)
  if (to !== undefined) {
    const movedBytes = packing.contentLength
    return { sizeAfter: packedSize(structures, movedBytes), movedBytes, sharedBytes: 0, findings: [] }
  }
  if (type === 'fixed') return { sizeAfter: file.size, movedBytes: 0, sharedBytes: 0, findings: [] }
  let movedBytes = 0
  for await (const { length } of packing.moves()) movedBytes += length
  return { sizeAfter: packing.end, movedBytes, sharedBytes: 0, findings: [] }
}

async function compactInPlace({ image, plan, options }: CompactionJob): Promise<Done> {
  const { file } = image
  const { needs, judged, type, expected } = plan
  const session = await WriteSession.open(file)
  const copier = copierFor('moving', expected.movedBytes, options)
  await whileOpen(session, async () => {
    if (plan.contentChanged) await session.begin(true)
    await clear(judged, needs, session, options)
    if (type === 'fixed') return
    await dropBlocks(session, needs.dropped)
    await packFile(session, copier)
  })
  return { ...expected, sizeAfter: file.size, sharedBytes: copier.cloned }
}

async function compactTo({ image, plan, options }: CompactionJob, to: string): Promise<Done> {
  const { file, chain, disk } = image
  const { needs, judged, expected } = plan
  const { force = false, creator = 'vhdx' } = options
  await using output = await OutputFile.create(to, { overwrite: force, needed: 0 })
  // Blocks that are shared with the image take no space.
  if (!(await output.device.cloneFrom(file, 0, 0, MiB))) await refuseFullTarget(to, expected.sizeAfter)
  const copier = copierFor('copying', expected.movedBytes, options)
  const dataWriteGuid = plan.contentChanged ? crypto.randomUUID() : disk.header.dataWriteGuid
  const { structures } = judged
  const session = await copyPacked(structures, output.device, {
    creator,
    dataWriteGuid,
    dropped: needs.dropped,
    copier,
  })
  await whileOpen(session, async () => {
    await clear(judged, needs, session, options)
    const parent = chain[1]
    const { parentLocator } = disk.metadata
    if (parent === undefined || parentLocator === undefined) return
    const entries = withPaths(parentLocator.entries, await pathsToParent(to, parent.path))
    await session.setItems([{ itemId: PARENT_LOCATOR, flags: IS_REQUIRED, data: parentLocatorBytes(entries) }])
  })
  const findings = await checkWrittenVhdx(output.device)
  options.signal?.throwIfAborted()
  await output.complete()
  return { ...expected, sizeAfter: output.device.size, sharedBytes: copier.cloned, findings }
}

async function clear(
  judged: JudgedImage,
  { stale, staleBytes }: BlockNeeds,
  session: WriteSession,
  { signal, onProgress }: CompactOptions,
): Promise<void> {
  if (stale.count === 0) return
  await clearStale(judged, stale, session, { onProgress: counted('clearing', staleBytes, onProgress), signal })
}

const copierFor = (phase: string, total: number, { signal, onProgress }: CompactOptions) =>
  new RangeCopier({ onProgress: counted(phase, total, onProgress), signal })

/** Adds up bytes and reports how many of `total` they are. */
function counted(phase: string, total: number, onProgress: CompactOptions['onProgress']): (bytes: number) => void {
  let done = 0
  return bytes => {
    done += bytes
    onProgress?.({ phase, done, total })
  }
}

/** Children of an image that would read differently: refused, or for a dry run told. */
async function sayChildren({ path, file, disk }: OpenedVhdx, dryRun: boolean): Promise<readonly Finding[]> {
  const parent = { path, identity: file.identity, id: disk.header.dataWriteGuid }
  if (!dryRun) return refuseChildren(parent)
  return refuseChildren(parent).catch(error => {
    if (!(error instanceof RefusedError)) throw error
    return [{ code: error.code, message: error.message, details: error.details }]
  })
}
