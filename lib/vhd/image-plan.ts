/** What a new VHD will be, checked before its first byte is written. */
import { guidFromText, isGuid, uuidToText } from '../binary/guid.ts'
import { formatSize, TiB } from '../binary/size.ts'
import { OptionError } from '../errors.ts'
import { BLOCK_SIZES, MAX_VIRTUAL_SIZE, SECTOR_SIZE } from './format.ts'
import { blockCountOf, imageSize } from './layout.ts'

export interface VhdOptions {
  /** Bytes the disk in the image has: a multiple of 512, at most 2040 GiB. */
  readonly virtualSize: number
  /** The raw disk with a footer behind it: no blocks. */
  readonly fixed?: boolean
  /** 2 MiB (default) or 512 KiB. */
  readonly blockSize?: number
  /** What children know the image by, a lower-case GUID, its bytes in order. Default: a random one. */
  readonly uniqueId?: string
}

/** Options that can be written, and all that follows from them. */
export interface VhdPlan {
  readonly virtualSize: number
  readonly fixed: boolean
  /** Bytes; undefined for a fixed image. */
  readonly blockSize: number | undefined
  /** 0 for a fixed image. */
  readonly blockCount: number
  readonly uniqueId: string
}

/** Places are u32 numbers of sectors, of which the last means none. */
const MAX_FILE_SIZE = 2 * TiB - SECTOR_SIZE

/** Checks `options` and fills in what they leave open. Throws OptionError: BAD_VIRTUAL_SIZE, BAD_BLOCK_SIZE, BAD_DISK_ID. */
export function planVhd(options: VhdOptions): VhdPlan {
  const { virtualSize, fixed = false, uniqueId = newUniqueId() } = options
  checkVirtualSize(virtualSize)
  const blockSize = fixed ? undefined : checkedBlockSize(options.blockSize ?? BLOCK_SIZES[0]!, virtualSize)
  if (fixed && options.blockSize !== undefined) throw badBlockSize(options.blockSize, 'a fixed one has no blocks')
  if (!isGuid(uniqueId)) {
    throw new OptionError('BAD_DISK_ID', `'${uniqueId}' is not a GUID such as ${crypto.randomUUID()}`, { uniqueId })
  }
  const blockCount = blockSize === undefined ? 0 : blockCountOf(virtualSize, blockSize)
  return { virtualSize, fixed, blockSize, blockCount, uniqueId }
}

/** Random, and laid out as Windows lays out the GUIDs that it puts there. */
const newUniqueId = () => uuidToText(guidFromText(crypto.randomUUID()))

function checkVirtualSize(virtualSize: number): void {
  const wrong = (why: string) =>
    new OptionError('BAD_VIRTUAL_SIZE', `a disk of ${virtualSize} bytes cannot be written as VHD: ${why}`, {
      virtualSize,
    })
  if (!Number.isSafeInteger(virtualSize) || virtualSize <= 0) throw wrong('its size must be a whole number above 0')
  if (virtualSize % SECTOR_SIZE !== 0) throw wrong(`its size must be a multiple of its ${SECTOR_SIZE}-byte sectors`)
  if (virtualSize > MAX_VIRTUAL_SIZE) {
    throw wrong(`it has ${formatSize(virtualSize)}, and 2040 GiB is the most. A VHDX holds 64 TiB`)
  }
}

function checkedBlockSize(blockSize: number, virtualSize: number): number {
  if (!BLOCK_SIZES.includes(blockSize)) throw badBlockSize(blockSize, 'it must be 2 MiB or 512 KiB')
  const blockCount = blockCountOf(virtualSize, blockSize)
  if (imageSize({ blockSize, blockCount }, blockCount) > MAX_FILE_SIZE) {
    throw badBlockSize(
      blockSize,
      `so many of them, with all that is between them, would lie beyond the 2 TiB that a VHD can reach`,
    )
  }
  return blockSize
}

const badBlockSize = (blockSize: number, why: string) =>
  new OptionError('BAD_BLOCK_SIZE', `a block size of ${blockSize} bytes cannot be used in a VHD: ${why}`, { blockSize })
