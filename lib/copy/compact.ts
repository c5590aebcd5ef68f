/** An image becomes smaller: blocks that hold nothing lose their places, and the file its gaps. */
import { MiB } from '../binary/size.ts'
import { RangeCopier } from '../device/range-copier.ts'
import { whileOpen } from '../device/while-open.ts'
import { RefusedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { refuseChildren } from '../image/open-children.ts'
import { hostFileSystem } from '../platform/host-file-system.ts'
import { dropBlocks, packFile } from '../vhdx/compaction.ts'
import { IS_REQUIRED, PARENT_LOCATOR } from '../vhdx/format.ts'
import { copyPacked } from '../vhdx/packed-copy.ts'
import { parentLocatorBytes, withPaths } from '../vhdx/parent-locator.ts'
import { WriteSession } from '../vhdx/write-session.ts'
import { clearStale } from './block-needs.ts'
import { checkWrittenVhdx } from './check-written.ts'
import {
  type CompactionPlan,
  type CompactOptions,
  counted,
  type OpenedVhdx,
  openForCompaction,
  type PackingResult,
  planCompaction,
} from './compact-plan.ts'
import { OutputFile, refuseFullTarget, refuseSources, refuseTarget } from './output-file.ts'
import { pathsToParent } from './parent-paths.ts'
import type { WholeVolumeReason } from './used-ranges.ts'

/** What was done, or with `dryRun` would be. Sizes are bytes. */
export interface CompactReport {
  readonly path: string
  /** The copy; the same as `path` when the image itself is changed. */
  readonly target: string
  readonly type: CompactionPlan['type']
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
  if (to !== undefined && !dryRun) await refuseTarget(to, options.force ?? false)
  const plan = await planCompaction(image, options)
  const findings: Finding[] = [...image.findings, ...plan.findings]
  if (to === undefined && plan.contentChanged && !options.force) findings.push(...(await sayChildren(image, dryRun)))
  const job = { image, plan, options }
  const nothing = { ...plan.expected, sharedBytes: 0, findings: [] }
  const done = dryRun ? nothing : to === undefined ? await compactInPlace(job) : await compactTo(job, to)
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

type Done = PackingResult & Pick<CompactReport, 'sharedBytes' | 'findings'>

interface CompactionJob {
  readonly image: OpenedVhdx
  readonly plan: CompactionPlan
  readonly options: CompactOptions
}

async function compactInPlace({ image, plan, options }: CompactionJob): Promise<Done> {
  const { file } = image
  const { needs, type, expected } = plan
  const session = await WriteSession.open(file)
  const copier = copierFor('moving', expected.movedBytes, options)
  await whileOpen(session, async () => {
    if (plan.contentChanged) await session.begin(true)
    await clear(plan, session, options)
    if (type === 'fixed') return
    await dropBlocks(session, needs.dropped)
    await packFile(session, copier)
  })
  return { ...expected, sizeAfter: file.size, sharedBytes: copier.cloned, findings: [] }
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
  const copied = { creator, dataWriteGuid, dropped: needs.dropped, copier }
  const session = await copyPacked(judged.structures, output.device, copied)
  await whileOpen(session, async () => {
    await clear(plan, session, options)
    const parent = chain[1]
    const { parentLocator } = disk.metadata
    if (parent === undefined || parentLocator === undefined) return
    const entries = withPaths(parentLocator.entries, await pathsToParent(to, parent.path))
    await session.setItems([{ itemId: PARENT_LOCATOR, flags: IS_REQUIRED, data: parentLocatorBytes(entries) }])
  })
  const findings = [...(await hostFileSystem(to)).findings, ...(await checkWrittenVhdx(output.device))]
  options.signal?.throwIfAborted()
  await output.complete()
  return { ...expected, sizeAfter: output.device.size, sharedBytes: copier.cloned, findings }
}

async function clear(
  { judged, needs: { stale, staleBytes } }: CompactionPlan,
  session: WriteSession,
  { signal, onProgress }: CompactOptions,
): Promise<void> {
  if (stale.count === 0) return
  await clearStale(judged, stale, session, { onProgress: counted('clearing', staleBytes, onProgress), signal })
}

const copierFor = (phase: string, total: number, { signal, onProgress }: CompactOptions) =>
  new RangeCopier({ onProgress: counted(phase, total, onProgress), signal })

/** Children of an image that would read differently: refused, or for a dry run told. */
async function sayChildren({ path, file, disk }: OpenedVhdx, dryRun: boolean): Promise<readonly Finding[]> {
  const parent = { path, identity: file.identity, id: disk.header.dataWriteGuid }
  if (!dryRun) return refuseChildren(parent)
  return refuseChildren(parent).catch(error => {
    if (!(error instanceof RefusedError)) throw error
    return [{ code: error.code, message: error.message, details: error.details }]
  })
}
