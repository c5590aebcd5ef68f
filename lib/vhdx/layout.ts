/** The arithmetic of blocks, chunks and the BAT, [MS-VHDX] 2.4 and 2.5: pure functions, no I/O. */
import { MiB, roundUp, TiB } from '../binary/size.ts'
import { BAT_ENTRY_SIZE, BITMAP_BLOCK_SIZE, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE } from './format.ts'

/** A sector bitmap block has a bit for each sector of its chunk. */
const SECTORS_PER_CHUNK = BITMAP_BLOCK_SIZE * 8

/** Payload blocks per chunk: how many payload entries lie between two sector bitmap entries of the BAT. */
export const chunkRatio = (blockSize: number, logicalSectorSize: number) =>
  (SECTORS_PER_CHUNK * logicalSectorSize) / blockSize

/** Where in the BAT the entry of payload block `block` lies: one bitmap entry follows each whole chunk before it. */
export const payloadEntryIndex = (block: number, ratio: number) => block + Math.floor(block / ratio)

/** Where in the BAT the sector bitmap entry of chunk `chunk` lies. */
export const bitmapEntryIndex = (chunk: number, ratio: number) => (chunk + 1) * ratio + chunk

/** Whether entry `index` of the BAT is one of a sector bitmap. */
export const isBitmapEntry = (index: number, ratio: number) => index % (ratio + 1) === ratio

/** The payload block of entry `index`; for a bitmap entry the first block of the next chunk. */
export const blockOfEntry = (index: number, ratio: number) => index - Math.floor(index / (ratio + 1))

/** The BAT of a fixed or dynamic image ends with the last payload entry. */
export const dynamicEntryCount = (blockCount: number, ratio: number) =>
  blockCount + Math.floor((blockCount - 1) / ratio)

/** The BAT of a differencing image ends with the last chunk's bitmap entry. */
export const differencingEntryCount = (blockCount: number, ratio: number) => Math.ceil(blockCount / ratio) * (ratio + 1)

/** Bytes of a BAT region with room for `entryCount` entries. */
export const batRegionLength = (entryCount: number) => roundUp(entryCount * BAT_ENTRY_SIZE, MiB)

/** 1 MiB up to 2 TiB, then doubling with the disk: small blocks pack best, and the BAT stays under 17 MiB. */
export function automaticBlockSize(virtualSize: number): number {
  let blockSize = MIN_BLOCK_SIZE
  while (virtualSize / blockSize > (2 * TiB) / MiB && blockSize < MAX_BLOCK_SIZE) blockSize *= 2
  return blockSize
}

/** What the metadata says of the disk's shape. All sizes in bytes. */
export interface DiskShape {
  readonly virtualSize: number
  readonly blockSize: number
  readonly logicalSectorSize: number
  readonly physicalSectorSize: number
  readonly hasParent: boolean
}

/** The shape, and all that follows from it. */
export interface Geometry extends DiskShape {
  readonly blockCount: number
  readonly chunkRatio: number
  readonly batEntryCount: number
}

export function geometryOf(shape: DiskShape): Geometry {
  const blockCount = Math.ceil(shape.virtualSize / shape.blockSize)
  const ratio = chunkRatio(shape.blockSize, shape.logicalSectorSize)
  const batEntryCount = (shape.hasParent ? differencingEntryCount : dynamicEntryCount)(blockCount, ratio)
  return { ...shape, blockCount, chunkRatio: ratio, batEntryCount }
}
