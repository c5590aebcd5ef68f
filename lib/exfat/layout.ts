/** Where the parts of an exFAT volume lie: arithmetic only. spec-notes/exfat.md, "Layout". */
import type { BootSector } from './format.ts'

/** Offsets and sizes in bytes, from the start of the volume. */
export interface ExfatLayout {
  readonly sectorSize: number
  readonly clusterSize: number
  /** Clusters 2 to `clusterCount` + 1 exist. */
  readonly clusterCount: number
  readonly fatOffsets: readonly number[]
  readonly fatLength: number
  /** Of cluster 2, the first. */
  readonly heapOffset: number
  readonly rootCluster: number
  readonly volumeSize: number
}

const FAT_ENTRY_SIZE = 4

export function layoutOf(sector: BootSector): ExfatLayout {
  const sectorSize = 2 ** sector.bytesPerSectorShift
  const fatLength = sector.fatLength * sectorSize
  const fatStart = sector.fatOffset * sectorSize
  return {
    sectorSize,
    clusterSize: sectorSize * 2 ** sector.sectorsPerClusterShift,
    clusterCount: sector.clusterCount,
    fatOffsets: Array.from({ length: sector.fatCount }, (_, copy) => fatStart + copy * fatLength),
    fatLength,
    heapOffset: sector.heapOffset * sectorSize,
    rootCluster: sector.rootCluster,
    volumeSize: sector.volumeLength * sectorSize,
  }
}

/** Byte of cluster `number` from the start of the volume. */
export const clusterOffset = (layout: ExfatLayout, number: number) =>
  layout.heapOffset + (number - 2) * layout.clusterSize

/** Byte behind the last cluster. What follows, if anything, is in no cluster. */
export const heapEnd = (layout: ExfatLayout) => layout.heapOffset + layout.clusterCount * layout.clusterSize

/** Whether `number` is a cluster of the volume. */
export const isCluster = (layout: ExfatLayout, number: number) => number >= 2 && number < layout.clusterCount + 2

/** Bytes that the entries of all clusters take in a FAT, with the two reserved ones in front. */
export const fatBytesNeeded = (layout: ExfatLayout) => (layout.clusterCount + 2) * FAT_ENTRY_SIZE

/** Bytes of the allocation bitmap: a bit for each cluster. */
export const bitmapBytesNeeded = (layout: ExfatLayout) => Math.ceil(layout.clusterCount / 8)
