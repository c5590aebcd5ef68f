/** What a new image will be, checked before its first byte is written. */
import { isGuid } from '../binary/guid.ts'
import { formatSize, isPowerOfTwo, MiB } from '../binary/size.ts'
import { OptionError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { MAX_BLOCK_SIZE, MAX_VIRTUAL_SIZE, MIN_BLOCK_SIZE, SECTOR_SIZES } from './format.ts'
import { automaticBlockSize, type Geometry, geometryOf } from './layout.ts'
import type { ParentImage } from './parent-image.ts'
import type { ParentPaths } from './parent-locator.ts'

/** Whose child a new image is. */
export interface NewParent {
  readonly image: ParentImage
  /** Where it is: at least one of them. */
  readonly paths: ParentPaths
}

export interface VhdxOptions {
  /** Bytes the disk in the image has: a multiple of the logical sector size, at most 64 TiB. */
  readonly virtualSize: number
  /** A power of two from 1 MiB to 256 MiB. Default: 1 MiB for disks up to 2 TiB, then doubling with the disk. */
  readonly blockSize?: number
  /** 512 (default) or 4096. */
  readonly logicalSectorSize?: number
  /** 512 or 4096, at least the logical one. Default: 4096, as Windows does. */
  readonly physicalSectorSize?: number
  /** The identity SCSI page 83 reports, a lower-case GUID. Default: a random one. */
  readonly virtualDiskId?: string
  /** What children know the image by, a lower-case GUID that stands for the content of its disk. Default: a random one. */
  readonly dataWriteGuid?: string | undefined
  /** A fixed image: every block has its place from the start. */
  readonly fixed?: boolean
  /** Makes a differencing image, with the same disk as its parent: `childOptions` gives the other options. */
  readonly parent?: NewParent | undefined
  /** Who made the file, up to 255 characters. For people only. */
  readonly creator?: string
}

/** Options that can be written, and all that follows from them. */
export interface ImagePlan extends Geometry {
  readonly fixed: boolean
  readonly virtualDiskId: string
  readonly dataWriteGuid: string | undefined
  readonly creator: string
  readonly parent: NewParent | undefined
  /** What Windows may not like although the format allows it. */
  readonly findings: readonly Finding[]
}

/** Windows makes no disks smaller than this, "All virtual disk types have a minimum size of 3 MB". */
const WINDOWS_MIN_SIZE = 3 * MiB

/**
 * Checks `options` and fills in what they leave open.
 * Throws OptionError: BAD_VIRTUAL_SIZE, BAD_BLOCK_SIZE, BAD_SECTOR_SIZE, BAD_DISK_ID, BAD_CREATOR; for a child FIXED_CHILD and
 * UNLIKE_PARENT.
 */
export function planImage(options: VhdxOptions): ImagePlan {
  const { virtualSize, logicalSectorSize = 512, physicalSectorSize = 4096, creator = 'vhdx' } = options
  const { blockSize = automaticBlockSize(virtualSize), virtualDiskId = crypto.randomUUID(), fixed = false } = options
  const { parent, dataWriteGuid } = options
  checkSectorSizes(logicalSectorSize, physicalSectorSize)
  checkVirtualSize(virtualSize, logicalSectorSize)
  if (!isPowerOfTwo(blockSize) || blockSize < MIN_BLOCK_SIZE || blockSize > MAX_BLOCK_SIZE) {
    throw new OptionError(
      'BAD_BLOCK_SIZE',
      `a block size of ${blockSize} bytes cannot be used: it must be a power of two from 1 MiB to 256 MiB`,
      { blockSize },
    )
  }
  const badId = [virtualDiskId, dataWriteGuid].find(id => id !== undefined && !isGuid(id))
  if (badId !== undefined) {
    throw new OptionError('BAD_DISK_ID', `'${badId}' is not a GUID such as ${crypto.randomUUID()}`, { id: badId })
  }
  if (creator.length > 255) {
    throw new OptionError('BAD_CREATOR', `the creator has ${creator.length} characters, 255 are the most`, { creator })
  }
  const hasParent = parent !== undefined
  const geometry = geometryOf({ virtualSize, blockSize, logicalSectorSize, physicalSectorSize, hasParent })
  const plan = {
    ...geometry,
    fixed,
    virtualDiskId,
    dataWriteGuid,
    creator,
    parent,
    findings: sizeFindings(virtualSize),
  }
  if (hasParent) checkChild(plan, parent.image)
  return plan
}

/** What a child has to have in common with its parent. */
function checkChild(plan: ImagePlan, { metadata }: ParentImage): void {
  if (plan.fixed) {
    throw new OptionError(
      'FIXED_CHILD',
      'an image with a parent cannot be fixed: it holds what differs from its parent',
    )
  }
  const unlike = (what: string, own: string, parents: string) =>
    new OptionError('UNLIKE_PARENT', `${what} of a child cannot be ${own}, for that of its parent is ${parents}`)
  const { virtualSize, logicalSectorSize, virtualDiskId } = metadata
  if (plan.virtualSize < virtualSize) throw unlike('the size', `${plan.virtualSize} bytes`, `${virtualSize} bytes`)
  if (plan.logicalSectorSize !== logicalSectorSize) {
    throw unlike('the sector size', `${plan.logicalSectorSize} bytes`, `${logicalSectorSize} bytes`)
  }
  if (plan.virtualDiskId !== virtualDiskId) throw unlike('the disk id', plan.virtualDiskId, virtualDiskId)
}

/** The options of a child of `parent`, which has the disk of its parent unless `changes` say otherwise. */
export function childOptions({ metadata }: ParentImage, changes: Partial<VhdxOptions>): VhdxOptions {
  const { virtualSize, blockSize, logicalSectorSize, physicalSectorSize, virtualDiskId } = metadata
  return {
    virtualSize,
    blockSize,
    logicalSectorSize,
    // 4096 logical on 512 physical can be read and is not written.
    physicalSectorSize: Math.max(physicalSectorSize, logicalSectorSize),
    virtualDiskId,
    ...changes,
  }
}

function checkSectorSizes(logicalSectorSize: number, physicalSectorSize: number): void {
  const known = SECTOR_SIZES.includes(logicalSectorSize) && SECTOR_SIZES.includes(physicalSectorSize)
  if (known && physicalSectorSize >= logicalSectorSize) return
  throw new OptionError(
    'BAD_SECTOR_SIZE',
    `sectors of ${logicalSectorSize} bytes logical and ${physicalSectorSize} bytes physical cannot be written: ` +
      'use 512 and 512, 512 and 4096, or 4096 and 4096',
    { logicalSectorSize, physicalSectorSize },
  )
}

/** Throws OptionError (BAD_VIRTUAL_SIZE) for a size that no disk can have. */
export function checkVirtualSize(virtualSize: number, logicalSectorSize: number): void {
  const wrong = (why: string) =>
    new OptionError('BAD_VIRTUAL_SIZE', `a disk of ${virtualSize} bytes cannot be written: ${why}`, { virtualSize })
  if (!Number.isSafeInteger(virtualSize) || virtualSize <= 0) throw wrong('its size must be a whole number above 0')
  if (virtualSize > MAX_VIRTUAL_SIZE) throw wrong('64 TiB is the most a VHDX can hold')
  if (virtualSize % logicalSectorSize !== 0) {
    throw wrong(`its size must be a multiple of its ${logicalSectorSize}-byte sectors`)
  }
}

function sizeFindings(virtualSize: number): readonly Finding[] {
  if (virtualSize >= WINDOWS_MIN_SIZE) return []
  const message = `the disk has ${formatSize(virtualSize)}: Windows makes none smaller than 3 MiB and may refuse it`
  return [{ code: 'BELOW_WINDOWS_MINIMUM', message, details: { virtualSize } }]
}
