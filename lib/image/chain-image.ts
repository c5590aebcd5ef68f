/** One image of a chain: what it is, who its parent has to be, and how it is opened. */
import type { BlockDevice } from '../device/block-device.ts'
import type { HeldRange } from '../device/extents.ts'
import type { Finding } from '../finding.ts'
import { dateOf } from '../vhd/footer.ts'
import { heldRanges as vhdHeldRanges } from '../vhd/held-ranges.ts'
import { readVhdStructures } from '../vhd/structures.ts'
import { VhdDevice } from '../vhd/vhd-device.ts'
import { heldRanges as vhdxHeldRanges } from '../vhdx/held-ranges.ts'
import { readVhdxIdentity } from '../vhdx/identity.ts'
import type { ParentLocator } from '../vhdx/parent-locator.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import type { ImageFile } from './image-file.ts'

/** What an image says of its parent. */
export interface ParentLink {
  /** The parent has to have one of these as its id. More than one only while a merge is under way. */
  readonly ids: readonly string[]
  /** Where it was, in the order in which to look. */
  readonly paths: readonly string[]
  /** When the parent's file was last changed, if the image says so: only VHD can. */
  readonly modified: Date | undefined
}

/** The facts of an image, the child's parent or the base of all. */
export interface ChainImage {
  readonly path: string
  readonly format: 'vhdx' | 'vhd'
  readonly type: 'fixed' | 'dynamic' | 'differencing'
  /** Bytes. */
  readonly virtualSize: number
  readonly logicalSectorSize: number
  /** Bytes. */
  readonly fileSize: number
  /** When the file was last changed. */
  readonly modified: Date | undefined
  /** When the image was made, by its own word: only VHD has one. */
  readonly created: Date | undefined
  /** What children know it by: the DataWriteGuid of a VHDX, the unique id of a VHD. */
  readonly id: string
  /** Undefined for what is no differencing image. */
  readonly parent: ParentLink | undefined
}

/** An image that can be opened once its parent is. */
export interface OpenableImage extends ChainImage {
  readonly file: ImageFile
  open(parent: BlockDevice | undefined): Promise<BlockDevice & { readonly findings: readonly Finding[] }>
  /** What of the disk a differencing image holds itself, in order. Reads no content, and needs no parent. */
  heldRanges(): AsyncIterable<HeldRange>
}

/** Reads what `file`, which holds a `format`, says of itself. Throws as opening it would. */
export const readImage = (file: ImageFile, format: ChainImage['format']): Promise<OpenableImage> =>
  format === 'vhd' ? readVhd(file) : readVhdx(file)

const factsOf = ({ path, device, modified }: ImageFile) => ({ path, fileSize: device.size, modified })

async function readVhd(file: ImageFile): Promise<OpenableImage> {
  const { type, footer, parent } = await readVhdStructures(file.device)
  return {
    ...factsOf(file),
    format: 'vhd',
    type,
    virtualSize: footer.currentSize,
    logicalSectorSize: 512,
    created: dateOf(footer.timestamp),
    id: footer.uniqueId,
    parent: parent && { ids: [parent.uniqueId], paths: parent.paths, modified: parent.modified },
    file,
    open: parent => VhdDevice.open(file.device, { parent }),
    heldRanges: () => vhdHeldRanges(file.device),
  }
}

async function readVhdx(file: ImageFile): Promise<OpenableImage> {
  const { header, metadata } = await readVhdxIdentity(file.device)
  const { virtualSize, logicalSectorSize, leaveBlocksAllocated, hasParent, parentLocator } = metadata
  return {
    ...factsOf(file),
    format: 'vhdx',
    type: hasParent ? 'differencing' : leaveBlocksAllocated ? 'fixed' : 'dynamic',
    virtualSize,
    logicalSectorSize,
    created: undefined,
    id: header.dataWriteGuid,
    parent: parentLocator && linkOf(parentLocator),
    file,
    open: parent => VhdxDevice.open(file.device, { parent }),
    heldRanges: () => vhdxHeldRanges(file.device),
  }
}

const linkOf = ({ linkage, linkage2, paths }: ParentLocator): ParentLink => ({
  ids: [linkage, linkage2].filter(id => id !== undefined),
  paths,
  modified: undefined,
})
