/** A differencing image is merged into its parent, or into one further down, by their paths. */
import { unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { formatSize } from '../binary/size.ts'
import { FileDevice } from '../device/file-device.ts'
import { fileIdentity } from '../device/file-identity.ts'
import { flushFolder } from '../device/folder.ts'
import type { Range } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { withStorageErrors } from '../device/storage-error.ts'
import { subtractStream } from '../device/subtract-stream.ts'
import { unionRanges } from '../device/union-ranges.ts'
import { DiskImageError, FormatError, OptionError, StorageError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { ChainImage } from '../image/chain-image.ts'
import { readChain } from '../image/open-chain.ts'
import { findChildren, refuseChildren } from '../image/open-children.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { freeSpace } from '../platform/free-space.ts'
import { imageSize } from '../vhdx/builder.ts'
import { mergeImages } from '../vhdx/merge.ts'
import { heldByLayers } from '../vhdx/merge-layers.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { measure } from './convert-plan.ts'
import { mergedManifest } from './merged-manifest.ts'

/** How `mergeImage` works. */
export interface MergeOptions extends Pick<ParentOptions, 'search'> {
  /** The image to merge into, one of the parents. All between are merged with it. Default: the parent. */
  readonly into?: string | undefined
  /** Deletes the images that were merged. Default: they are kept, and the child reads as before. */
  readonly deleteMerged?: boolean
  /** Although other images are children of those that change, and fit them no more then. */
  readonly force?: boolean
  /** Finds out what would be done, and changes nothing. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (report: { phase: string; done: number; total: number }) => void
}

/** What was done, or with `dryRun` would be. Sizes are bytes. */
export interface MergeReport {
  readonly path: string
  /** What holds the disk now. */
  readonly into: string
  /** What was merged: the image, and those between. */
  readonly merged: readonly string[]
  /** Whether a merge that was begun before was finished. */
  readonly resumed: boolean
  /** Of the disk that was merged into, before and after. */
  readonly sizeBefore: number
  readonly sizeAfter: number
  readonly dataBytes: number
  /** What the child had as zeros, over what the parent had. */
  readonly zeroBytes: number
  /** Images beside the first that is merged which are its children: as long as they are, it has to stay. */
  readonly children: readonly string[]
  /** Whether the merged images are deleted. */
  readonly deleted: boolean
  readonly dryRun: boolean
  readonly seconds: number
  readonly findings: readonly Finding[]
}

/**
 * Makes the disk in the image that is merged into what that in the differencing VHDX at `path` is. The latter can be read
 * at every moment; what was interrupted goes on when the same is asked for again.
 *
 * Throws what `readChain` throws, OptionError (NOT_A_CHILD, NOT_AN_ANCESTOR), UnsupportedError (MERGE_VHD, MERGE_SIZES,
 * METADATA_FULL), FormatError (PARENT_CHANGED, and a broken BAT), RefusedError (HAS_CHILDREN), BusyError, StorageError
 * (NO_SPACE before anything is changed, as far as that can be known), and the signal's reason.
 */
export async function mergeImage(path: string, options: MergeOptions = {}): Promise<MergeReport> {
  const started = Date.now()
  const { deleteMerged = false, dryRun = false } = options
  const chain = await chainToMerge(path, options)
  const findings = [...chain.findings, ...(options.force ? [] : await refuseOthers(chain, deleteMerged))]
  const children = await childrenOf(chain.merged[0]!)
  await using opened = await openImages(chain, options)
  const { layers, target } = opened
  const plan = await planMerge(opened)
  const room = await roomFor(opened)
  let isDeleted = false
  if (dryRun) {
    if (room.needed > room.free) findings.push(noRoom(room))
  } else {
    if (room.needed > room.free) throw fullTarget(room)
    await merge(opened, plan.dataBytes, options)
    await opened.close()
    if (deleteMerged) {
      const kept = await deleteFiles(chain.merged)
      findings.push(...kept)
      isDeleted = kept.length === 0
    }
  }
  return {
    path,
    into: chain.into.path,
    merged: chain.merged.map(image => image.path),
    resumed: layers.at(-1)!.metadata.parentLocator!.linkage2 !== undefined,
    sizeBefore: target.size,
    sizeAfter: layers[0]!.size,
    ...plan,
    children,
    deleted: isDeleted,
    dryRun,
    seconds: (Date.now() - started) / 1000,
    findings,
  }
}

interface MergeChain {
  /** The image to merge first, then those between, each a child of the next. */
  readonly merged: readonly ChainImage[]
  readonly into: ChainImage
  /** The parent of `into`. */
  readonly below: ChainImage | undefined
  readonly findings: readonly Finding[]
}

/** What is not so any more after a merge. */
const MENDED = ['PARENT_SIZE', 'PARENT_LINKAGE2']

async function chainToMerge(path: string, { into, search = [] }: MergeOptions): Promise<MergeChain> {
  const { images, problem, findings } = await readChain(path, { search })
  if (problem !== undefined) throw problem
  if (images.length === 1) {
    const message = `${path} is no differencing image: it has no parent that it could be merged into`
    throw new OptionError('NOT_A_CHILD', message, { path })
  }
  const index = into === undefined ? 1 : await indexOf(into, images)
  const old = images.slice(0, index + 1).find(({ format }) => format !== 'vhdx')
  if (old !== undefined) {
    const message = `${old.path} is a VHD, which is only read here. Convert ${path} to a new image`
    throw new UnsupportedError('MERGE_VHD', message, { path: old.path })
  }
  const kept = findings.filter(({ code }) => !MENDED.includes(code))
  return { merged: images.slice(0, index), into: images[index]!, below: images[index + 1], findings: kept }
}

async function indexOf(into: string, images: readonly ChainImage[]): Promise<number> {
  const identity = await fileIdentity(into)
  for (const [index, { path }] of images.entries()) {
    if (index > 0 && identity !== undefined && identity === (await fileIdentity(path))) return index
  }
  const parents = images.slice(1).map(({ path }) => path)
  throw new OptionError(
    'NOT_AN_ANCESTOR',
    `${into} is no parent of ${images[0]!.path}: its parents are ${parents.join(', ')}`,
    {
      parents,
    },
  )
}

/** Throws RefusedError (HAS_CHILDREN) where images outside the chain are children of one that is of no use to them after this. */
async function refuseOthers({ merged, into }: MergeChain, deleteMerged: boolean): Promise<readonly Finding[]> {
  const own: string[] = []
  for (const { path } of merged) own.push((await fileIdentity(path)) ?? '')
  const findings: Finding[] = []
  for (const { path, id } of [...(deleteMerged ? merged : merged.slice(1)), into]) {
    findings.push(...(await refuseChildren({ path, id, identity: (await fileIdentity(path)) ?? '' }, own)))
  }
  return findings
}

const childrenOf = async ({ path, id }: ChainImage) =>
  (await findChildren({ path, id, identity: (await fileIdentity(path)) ?? '' })).paths

/** The images of a merge, opened and locked. */
interface OpenedImages extends AsyncDisposable {
  /** Those of `merged`, and their disks. */
  readonly files: readonly FileDevice[]
  readonly layers: readonly VhdxDevice[]
  readonly parent: FileDevice
  readonly target: VhdxDevice
  readonly below: OpenedDisk | undefined
  close(): Promise<void>
}

/** Throws FormatError (PARENT_CHANGED) when one of them is not what it was when the chain was read. */
async function openImages(
  { merged, into, below: base }: MergeChain,
  { search = [], dryRun = false, deleteMerged = false }: MergeOptions,
): Promise<OpenedImages> {
  const files: FileDevice[] = []
  let below: OpenedDisk | undefined
  const close = () => settle([...files, ...(below ? [below] : [])].map(opened => opened.close()))
  try {
    for (const image of [...merged, into]) {
      // The last two are written, and those that will be deleted nobody else may be using.
      const writable = !dryRun && (deleteMerged || image === into || image === merged.at(-1))
      files.push(await FileDevice.open(image.path, { mode: writable ? 'write' : 'read' }))
    }
    below = base && (await openDisk(base.path, { search }))
    const disks: VhdxDevice[] = []
    for (let index = files.length - 1; index >= 0; index--) {
      disks.unshift(await VhdxDevice.open(files[index]!, { parent: disks[0] ?? below?.disk }))
      refuseChanged(disks, merged[index] ?? into)
    }
    const [layers, target] = [disks.slice(0, -1), disks.at(-1)!]
    const parent = files.at(-1)!
    return { files: files.slice(0, -1), layers, parent, target, below, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The first of `disks` is `image` still, and belongs to the second, if there is one. */
function refuseChanged([disk, parent]: readonly VhdxDevice[], image: ChainImage): void {
  const { linkage, linkage2 } = disk!.metadata.parentLocator ?? {}
  const id = parent?.header.dataWriteGuid
  if (disk!.header.dataWriteGuid === image.id && (id === undefined || id === linkage || id === linkage2)) return
  throw new FormatError('PARENT_CHANGED', `${image.path} was changed a moment ago. Try again`, { path: image.path })
}

async function planMerge({ layers }: OpenedImages): Promise<Pick<MergeReport, 'dataBytes' | 'zeroBytes'>> {
  let [dataBytes, zeroBytes] = [0, 0]
  for await (const { length, content } of heldByLayers(layers)) {
    if (content === 'data') dataBytes += length
    else zeroBytes += length
  }
  return { dataBytes, zeroBytes }
}

/** Bytes that the file of the parent needs for the blocks that it gets, at most, and those that are free there. */
interface Room {
  readonly path: string
  readonly needed: number
  readonly free: number
}

async function roomFor({ layers, target, parent }: OpenedImages): Promise<Room> {
  const { geometry } = target
  const extent = { offset: 0, length: layers[0]!.size }
  const held = unionRanges(layers.map(layer => ({ extent, ranges: () => dataOf(layer) })))
  const { blocks } = await measure(subtractStream(held, blocksOf(target)), geometry.blockSize)
  const unused = Math.max(0, parent.size - imageSize(geometry, await target.allocatedBlocks()))
  return { path: parent.path, needed: blocks * geometry.blockSize - unused, free: await freeSpace(parent.path) }
}

const fullText = ({ path, needed, free }: Room) =>
  `${path} grows by up to ${formatSize(needed)}, but only ${formatSize(free)} are free there`

const noRoom = (room: Room): Finding => ({ code: 'MAY_NOT_FIT', message: fullText(room), details: { ...room } })

const fullTarget = (room: Room) =>
  new StorageError('NO_SPACE', `${fullText(room)}. Nothing was written`, { needed: room.needed, free: room.free })

async function* dataOf(layer: VhdxDevice): AsyncIterable<Range> {
  for await (const range of layer.heldRanges()) if (range.content === 'data') yield range
}

/** Where `disk` has blocks in its file. */
async function* blocksOf(disk: VhdxDevice): AsyncIterable<Range> {
  const { blockSize } = disk.geometry
  for await (const { block, count, state } of disk.blockStates()) {
    if (state === 'fullyPresent' || state === 'partiallyPresent') {
      yield { offset: block * blockSize, length: count * blockSize }
    }
  }
}

async function merge(
  { files, layers, parent, target, below }: OpenedImages,
  total: number,
  { signal, onProgress }: MergeOptions,
): Promise<void> {
  const manifest = await mergedManifest([...layers, target], new Date())
  let done = 0
  await mergeImages({
    images: files,
    child: files.at(-1)!,
    parent,
    grandparent: below?.disk,
    items: { set: manifest === undefined ? [] : [manifest], removed: [] },
    signal,
    onProgress: bytes => {
      done += bytes
      onProgress?.({ phase: 'merging', done, total })
    },
  })
}

/** The merge is done by then: a file that cannot be deleted stays, and that is said. */
async function deleteFiles(images: readonly ChainImage[]): Promise<readonly Finding[]> {
  const kept: Finding[] = []
  for (const { path } of images) {
    try {
      await withStorageErrors({ verb: 'delete', path }, () => unlink(path))
      await flushFolder(dirname(path))
    } catch (error) {
      if (!(error instanceof DiskImageError)) throw error
      kept.push({ code: 'NOT_DELETED', message: `the merge is done, but ${error.message}`, details: error.details })
    }
  }
  return kept
}
