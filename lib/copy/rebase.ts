/** A differencing image gets another parent, or learns where its parent is now. Its disk stays what it is. */
import { realpath } from 'node:fs/promises'
import { FileDevice } from '../device/file-device.ts'
import { fileIdentity } from '../device/file-identity.ts'
import { intersect, type Range } from '../device/ranges.ts'
import { subtractStream } from '../device/subtract-stream.ts'
import { whileOpen } from '../device/while-open.ts'
import { FormatError, NotFoundError, OptionError, RefusedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { demandVhdx } from '../image/container.ts'
import { readChain } from '../image/open-chain.ts'
import { refuseChildren } from '../image/open-children.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { copyDown } from '../vhdx/copy-down.ts'
import { readVhdxIdentity } from '../vhdx/identity.ts'
import { newLocator, type ParentLocator, type ParentPaths, withPaths } from '../vhdx/parent-locator.ts'
import { relink } from '../vhdx/relink.ts'
import type { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { DiskDiff } from './diff.ts'
import { cycleError, type OpenedParent, openNewParent } from './new-parent.ts'
import { pathsToParent } from './parent-paths.ts'

/** How `rebaseImage` works. */
export interface RebaseOptions extends Pick<ParentOptions, 'search'> {
  /** What differs between the old parent and the new is copied into the image first. Otherwise it is refused. */
  readonly copy?: boolean
  /** Takes the new parent unseen: the disk changes wherever it differs from the old one. */
  readonly unsafe?: boolean
  /** With `unsafe`: although the image has children, which do not fit it any more then. */
  readonly force?: boolean
  /** Compares, and changes nothing. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (report: { phase: string; done: number; total: number }) => void
}

/** What was done. */
export interface RebaseReport {
  readonly path: string
  /** Where the parent is. */
  readonly parent: string
  /** What the image knows it by now. */
  readonly parentId: string
  /** Whether that is the parent it had, so that only its place is new. */
  readonly sameParent: boolean
  readonly paths: ParentPaths
  /** Bytes of the two parents that were held against each other. */
  readonly comparedBytes: number
  /** Bytes that the image holds now, and the new parent does not. */
  readonly copiedBytes: number
  readonly dryRun: boolean
  readonly findings: readonly Finding[]
}

/**
 * Makes the VHDX at `parent` the parent of the differencing VHDX at `path`. Where it is another one than before, the two
 * are compared as far as the image takes anything from them. The image can be read at every moment, through one parent or
 * the other; interrupted, it has the old one.
 *
 * Throws what `openNewParent` and `DiskDiff` throw; OptionError (NOT_A_CHILD, UNLIKE_PARENT, PARENT_NAME, CHAIN_CYCLE),
 * UnsupportedError (NOT_VHDX), NotFoundError (PARENT_NOT_FOUND), FormatError (PARENT_CHANGED), RefusedError (PARENT_DIFFERS, HAS_CHILDREN).
 */
export async function rebaseImage(path: string, parent: string, options: RebaseOptions = {}): Promise<RebaseReport> {
  const { unsafe = false, dryRun = false } = options
  await using base = await openNewParent(parent, options)
  await refuseCycle(path, base)
  const { id, locator, sectorSize } = await readLink(path)
  if (sectorSize !== base.disk.sectorSize) {
    const message = `${parent} has sectors of ${base.disk.sectorSize} bytes, and ${path} of ${sectorSize}: it cannot be its parent`
    throw new OptionError('UNLIKE_PARENT', message)
  }
  const parentId = base.disk.header.dataWriteGuid
  const sameParent = parentId === locator.linkage || parentId === locator.linkage2
  const paths = await pathsToParent(await realpath(path), parent)
  const isVisible = unsafe && !sameParent
  const nothing = { comparedBytes: 0, copiedBytes: 0 }
  const work = sameParent || unsafe ? nothing : await carryOver(path, id, base, options)
  // While a merge is under way the image goes by two ids, and needs both.
  const entries = sameParent ? withPaths(locator.entries, paths) : newLocator(parentId, paths)
  const findings = dryRun ? base.findings : await link(path, id, entries, isVisible, options)
  return { path, parent, parentId, sameParent, paths, ...work, dryRun, findings }
}

interface Link {
  readonly id: string
  readonly locator: ParentLocator
  readonly sectorSize: number
}

async function readLink(path: string): Promise<Link> {
  await using file = await FileDevice.open(path)
  await demandVhdx(file, path)
  const { header, metadata } = await readVhdxIdentity(file)
  if (metadata.parentLocator !== undefined) {
    return { id: header.dataWriteGuid, locator: metadata.parentLocator, sectorSize: metadata.logicalSectorSize }
  }
  throw new OptionError(
    'NOT_A_CHILD',
    `${path} is no differencing image: it holds its whole disk and needs no parent`,
    {
      path,
    },
  )
}

async function refuseCycle(path: string, { chain }: OpenedDisk): Promise<void> {
  const identity = await fileIdentity(path)
  for (const image of chain) {
    if (identity !== undefined && identity === (await fileIdentity(image.path))) throw cycleError(path, chain[0]!.path)
  }
}

/** Compares what the image takes from its parent with what it would get from `base`, and copies what differs if asked to. */
async function carryOver(
  path: string,
  dataWriteGuid: string,
  base: OpenedParent,
  { copy = false, dryRun = false, search = [], signal, onProgress }: RebaseOptions,
): Promise<Pick<RebaseReport, 'comparedBytes' | 'copiedBytes'>> {
  const writable = copy && !dryRun
  // The disk stays the same, so its children go on fitting it by the same id.
  const child = await openDisk(path, { search, writable, force: true, dataWriteGuid }).catch(orphaned)
  return whileOpen(child, async () => {
    const disk = child.disk as VhdxDevice
    const [{ path: old }, { path: next }] = [child.chain[1]!, base.chain[0]!]
    const control = { ...(signal && { signal }), ...(onProgress && { onProgress }) }
    await using diff = await DiskDiff.open(old, next, { search, ...control })
    let copiedBytes = 0
    for await (const range of subtractStream(within(disk.size, diff.ranges()), disk.heldRanges())) {
      if (!copy) throw differs(path, old, next, range)
      if (writable) await copyDown(disk, range, signal)
      copiedBytes += range.length
    }
    return { comparedBytes: diff.report.comparedBytes, copiedBytes }
  })
}

async function* within(size: number, ranges: AsyncIterable<Range>): AsyncIterable<Range> {
  for await (const range of ranges) {
    const part = intersect(range, { offset: 0, length: size })
    if (part !== undefined) yield part
  }
}

/** Writes the locator. The findings are those of the chain that is there now. */
async function link(
  path: string,
  id: string,
  entries: ReadonlyMap<string, string>,
  isVisible: boolean,
  { force = false, search = [] }: RebaseOptions,
): Promise<readonly Finding[]> {
  const file = await FileDevice.open(path, { mode: 'write' })
  await whileOpen(file, async () => {
    if (isVisible && !force) await refuseChildren({ path, identity: file.identity, id })
    await relink(file, entries, isVisible)
  })
  const { findings, problem } = await readChain(path, { search })
  if (problem !== undefined) throw problem
  return findings
}

const UNSEEN = 'vhdx relink --unsafe takes the new parent unseen'

function orphaned(error: unknown): never {
  if (error instanceof FormatError && error.code === 'PARENT_CHANGED') {
    const message = `${error.message}. The new parent has to be compared with it; ${UNSEEN}`
    throw new FormatError(error.code, message, error.details, { cause: error })
  }
  if (!(error instanceof NotFoundError) || error.code !== 'PARENT_NOT_FOUND') throw error
  const message = `the parent that the image has now is needed, to compare it with the new one: ${error.message.replace(/\. Say where.*$/, '')}. Say in which folder it is (--search); ${UNSEEN}`
  throw new NotFoundError(error.code, message, error.details, { cause: error })
}

const differs = (path: string, old: string, next: string, { offset }: Range) =>
  new RefusedError(
    'PARENT_DIFFERS',
    `${next} is not what ${path} was made from: it differs from ${old} at byte ${offset} of the disk, which the child takes from its parent. vhdx rebase copies what differs into the child first; with --unsafe the disk changes there`,
    { path, parent: next, offset },
  )
