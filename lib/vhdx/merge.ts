/**
 * Merging a differencing image into the image it is a change of, spec-notes/vhdx.md, "Merging". The child holds all that
 * changes in the parent, so it reads the same at every moment; and the two belong together at every moment, for the child
 * says which id the parent gets before it gets it, [MS-VHDX] 2.6.2.6.3.
 */
import type { BlockDevice, ResizableDevice } from '../device/block-device.ts'
import { RangeCopier } from '../device/range-copier.ts'
import { whileOpen } from '../device/while-open.ts'
import { FormatError, UnsupportedError } from '../errors.ts'
import { readVhdxIdentity } from './identity.ts'
import { heldByLayers } from './merge-layers.ts'
import { metadataItemName } from './metadata.ts'
import type { ItemKey } from './metadata-writer.ts'
import type { ParentLocator } from './parent-locator.ts'
import { withLinkage, withSecondLinkage } from './parent-locator.ts'
import { relink } from './relink.ts'
import { resizeVhdx } from './resize.ts'
import { readSoundStructures } from './structures.ts'
import { VhdxDevice } from './vhdx-device.ts'
import { type ItemContent, readVirtualDiskItems } from './virtual-disk-items.ts'
import { WriteSession } from './write-session.ts'

/** What is merged into what. All files stay the caller's but that of the parent, which is closed in the end. */
export interface MergeJob {
  /** The image whose disk the parent gets, and below it those that lie between, each a child of the next. */
  readonly images: readonly BlockDevice[]
  /** The last of `images`, which is told the parent's new id. */
  readonly child: ResizableDevice
  readonly parent: ResizableDevice
  /** The disk that the parent is a change of, where it is a differencing image itself. */
  readonly grandparent?: BlockDevice | undefined
  /** Items of the user's that the parent gets or loses besides. */
  readonly items?: { readonly set: readonly ItemContent[]; readonly removed: readonly ItemKey[] } | undefined
  /** Called with the bytes that have been copied since the last call. */
  readonly onProgress?: ((bytes: number) => void) | undefined
  /** Stops it: the promise rejects with the signal's reason, and the same merge can be begun again. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Makes the disk in the parent what that in the first image is. Wherever it is interrupted, every disk but the parent's
 * reads as before, and the same call goes on. In the end the child is a child of the parent still. What the images between
 * hold is of no use then but to the first: their own disks read otherwise.
 * Throws what `VhdxDevice.openForWriting` and `resizeVhdx` throw, FormatError (PARENT_CHANGED, a broken BAT) and
 * UnsupportedError (MERGE_SIZES).
 */
export async function mergeImages(job: MergeJob): Promise<void> {
  const { images, child, parent, grandparent } = job
  await refuseGrowthOverGrandparent(job)
  // Throws where entries of its BAT are broken, before anything has changed.
  await (await WriteSession.open(parent)).freeSpace()
  const { locator, id } = await announce(child, parent)
  await takeItems(job, id)
  const target = await VhdxDevice.openForWriting(parent, { parent: grandparent, dataWriteGuid: id })
  await whileOpen(target, async () => {
    const layers: VhdxDevice[] = []
    for (const file of images.toReversed()) {
      layers.unshift(await VhdxDevice.open(file, { parent: layers[0] ?? target }))
    }
    await copyLayers(layers, target, job)
  })
  await relink(child, withLinkage(locator.entries, id))
}

/** What a parent gets when it grows is its own parent's there, if that is longer, and zeros in its child. */
async function refuseGrowthOverGrandparent({ images, parent, grandparent }: MergeJob): Promise<void> {
  const [above, below] = [await readVhdxIdentity(images[0]!), await readVhdxIdentity(parent)]
  const size = below.metadata.virtualSize
  if (grandparent === undefined || grandparent.size <= size || above.metadata.virtualSize <= size) return
  const message = `the disk of the image is larger than that of its parent, whose own parent is larger too: what that has behind the end would show. Convert the image to a new one`
  throw new UnsupportedError('MERGE_SIZES', message)
}

/** Says in the child which id the parent will have; the one that was said before, where that was interrupted. */
async function announce(
  child: ResizableDevice,
  parent: BlockDevice,
): Promise<{ readonly locator: ParentLocator; readonly id: string }> {
  const locator = (await readVhdxIdentity(child)).metadata.parentLocator!
  const { linkage, linkage2 } = locator
  const { dataWriteGuid } = (await readVhdxIdentity(parent)).header
  if (dataWriteGuid !== linkage && dataWriteGuid !== linkage2) {
    const message = `the parent has the id ${dataWriteGuid}, and ${linkage} is expected: it was written to since the child was made`
    throw new FormatError('PARENT_CHANGED', message)
  }
  if (linkage2 !== undefined) return { locator, id: linkage2 }
  const id = crypto.randomUUID()
  await relink(child, withSecondLinkage(locator.entries, id))
  return { locator, id }
}

/** Gives the parent the size of the first image's disk, and the items that belong to it instead of its own. */
async function takeItems({ images, parent, items, signal }: MergeJob, dataWriteGuid: string): Promise<void> {
  const above = await readSoundStructures(images[0]!)
  const { virtualSize } = above.geometry
  const below = await readSoundStructures(parent)
  if (below.geometry.virtualSize !== virtualSize) await resizeVhdx(parent, virtualSize, { dataWriteGuid, signal })
  const set = await readVirtualDiskItems(above)
  // Early programs left the flags of known items out: none of these is taken away.
  const own = below.metadataRegion.items.filter(item => item.isVirtualDisk && metadataItemName(item) === undefined)
  const session = await WriteSession.open(parent, { dataWriteGuid })
  await session.begin(true)
  await session.setItems([...set, ...(items?.set ?? [])], [...own, ...(items?.removed ?? [])])
  await session.close()
}

/** Ranges that are asked for at once, so that small ones do not wait for each other. */
const IN_FLIGHT = 8

async function copyLayers(layers: readonly VhdxDevice[], target: VhdxDevice, job: MergeJob): Promise<void> {
  const [source] = layers
  const copier = new RangeCopier(job)
  const running: Promise<void>[] = []
  try {
    for await (const { offset, length, content } of heldByLayers(layers)) {
      job.signal?.throwIfAborted()
      if (content === 'zeros') await target.zero(offset, length)
      else {
        if (running.length === IN_FLIGHT) await running.shift()
        running.push(copier.copy({ source: source!, from: { offset, length }, target, offset }))
      }
    }
    await Promise.all(running)
  } finally {
    await Promise.allSettled(running)
  }
}
