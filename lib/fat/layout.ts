/** Where the parts of a FAT volume lie: arithmetic only. spec-notes/fat.md, "Layout". */
import type { ParameterBlock } from './format.ts'

/** Bits of an entry in the FAT. Of FAT32's 32 only the low 28 count. */
export type FatWidth = 12 | 16 | 32

/** Offsets and sizes in bytes, from the start of the volume. */
export interface FatLayout {
  readonly width: FatWidth
  /** Where each copy of the FAT begins; all are of `fatLength`. */
  readonly fatOffsets: readonly number[]
  readonly fatLength: number
  /** The copies that are kept up to date: all, or on FAT32 perhaps one. */
  readonly liveFats: readonly number[]
  /** FAT12 and FAT16: the root directory, a place of its own. Empty on FAT32. */
  readonly rootOffset: number
  readonly rootLength: number
  /** Of cluster 2, the first. */
  readonly dataOffset: number
  readonly sectorSize: number
  readonly clusterSize: number
  /** Clusters 2 to `clusterCount` + 1 exist. */
  readonly clusterCount: number
  /** Of the sectors the volume says it has. */
  readonly volumeSize: number
}

/** FAT32's own fields that move or limit something; zeros on FAT12 and FAT16. */
export interface Fat32Fields {
  readonly fatSize32: number
  readonly flags: number
}

const DIRECTORY_ENTRY_SIZE = 32
/** "FAT Type Determination": fewer clusters than this are FAT12. */
const FAT16_CLUSTERS = 4085
/** Bit 7 of the flags: the FAT is not mirrored, the copy in the low four bits is the live one. */
const NOT_MIRRORED = 0x80
const LIVE_COPY = 0x0f

export function layoutOf(block: ParameterBlock, fields: Fat32Fields): FatLayout {
  const { bytesPerSector, sectorsPerCluster, fatCount, fatSize16, rootEntryCount } = block
  const fatLength = (fatSize16 || fields.fatSize32) * bytesPerSector
  const fatStart = block.reservedSectors * bytesPerSector
  const fatOffsets = Array.from({ length: fatCount }, (_, copy) => fatStart + copy * fatLength)
  const rootOffset = fatStart + fatCount * fatLength
  const rootLength = Math.ceil((rootEntryCount * DIRECTORY_ENTRY_SIZE) / bytesPerSector) * bytesPerSector
  const dataOffset = rootOffset + rootLength
  const clusterSize = bytesPerSector * sectorsPerCluster
  const volumeSize = (block.totalSectors16 || block.totalSectors32) * bytesPerSector
  const clusterCount = Math.max(Math.floor((volumeSize - dataOffset) / clusterSize), 0)
  return {
    // By the specification the cluster count alone decides. Windows and Linux go by the field that only FAT32 leaves
    // zero, and mkfs.fat -F 32 makes small volumes that are FAT32 in all but their count.
    width: fatSize16 === 0 ? 32 : clusterCount < FAT16_CLUSTERS ? 12 : 16,
    fatOffsets,
    fatLength,
    liveFats: fields.flags & NOT_MIRRORED ? fatOffsets.slice(fields.flags & LIVE_COPY).slice(0, 1) : fatOffsets,
    rootOffset,
    rootLength,
    dataOffset,
    sectorSize: bytesPerSector,
    clusterSize,
    clusterCount,
    volumeSize,
  }
}

/** Byte of cluster `number` from the start of the volume. */
export const clusterOffset = (layout: FatLayout, number: number) =>
  layout.dataOffset + (number - 2) * layout.clusterSize

/** Byte behind the last cluster. What follows, if anything, is in no cluster. */
export const dataEnd = (layout: FatLayout) => layout.dataOffset + layout.clusterCount * layout.clusterSize

/** Whether `number` is a cluster of the volume. */
export const isCluster = (layout: FatLayout, number: number) => number >= 2 && number < layout.clusterCount + 2

/** Byte of a FAT where the entry of `cluster` begins. */
export const entryOffset = (width: FatWidth, cluster: number) => Math.floor((cluster * width) / 8)

/** Bytes that the entries of all clusters take in a FAT, with the two reserved ones in front. */
export const fatBytesNeeded = ({ width, clusterCount }: FatLayout) => Math.ceil(((clusterCount + 2) * width) / 8)

/** What formatters add to a FAT: Microsoft's formula up to 8 sectors, mkfs.fat what aligns the data to a cluster. */
const FORMATTERS_MARGIN = 8 * 512

/** Whether the FAT is larger than the clusters and any formatter's habits explain. */
export const isOversized = (layout: FatLayout) =>
  layout.fatLength > fatBytesNeeded(layout) + layout.clusterSize + FORMATTERS_MARGIN
