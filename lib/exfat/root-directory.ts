/** The root directory, for the entries that say something about the whole volume. spec-notes/exfat.md, "Root directory". */
import type { BlockDevice } from '../device/block-device.ts'
import { ClusterChain } from '../volume/cluster-chain.ts'
import type { ClusterLinks } from '../volume/cluster-links.ts'
import { type BitmapEntry, bitmapEntry, labelEntry } from './format.ts'
import { clusterOffset, type ExfatLayout } from './layout.ts'

const END = 0x00
const BITMAP = 0x81
const UPCASE = 0x82
const LABEL = 0x83
const ENTRY_SIZE = 32
const MAX_LABEL_LENGTH = 11

/** No directory may be larger (3.1.10, 7): 256 MiB. */
export const MAX_DIRECTORY_LENGTH = 2 ** 28

export interface RootDirectory {
  /** By their flag: the first FAT's bitmap, the second's. */
  readonly bitmaps: readonly [BitmapEntry | undefined, BitmapEntry | undefined]
  /** As it stands, for it is no reason not to open the volume; with its place on it. */
  readonly upcase: StoredEntry | undefined
  readonly label: string | undefined
  /** What is wrong with its chain of clusters, as words that follow 'it'. */
  readonly problem: string | undefined
}

/** 32 bytes, and the byte of the volume where they stand. */
export interface StoredEntry {
  readonly bytes: Buffer
  readonly position: number
}

/** Reads the root directory as far as it can be read. */
export async function readRootDirectory(
  device: BlockDevice,
  layout: ExfatLayout,
  links: ClusterLinks,
): Promise<RootDirectory> {
  const found: Found = { bitmaps: [undefined, undefined], upcase: undefined, label: undefined }
  const limit = Math.min(MAX_DIRECTORY_LENGTH / layout.clusterSize, layout.clusterCount)
  const chain = await ClusterChain.follow(links, layout.rootCluster, limit)
  const piece = Buffer.alloc(layout.clusterSize)
  for await (const cluster of chain.clusters()) {
    const position = clusterOffset(layout, cluster)
    await device.read(position, piece)
    if (!scan(piece, position, found)) return { ...found, problem: undefined }
  }
  return { ...found, problem: chain.problem }
}

interface Found {
  readonly bitmaps: [BitmapEntry | undefined, BitmapEntry | undefined]
  upcase: StoredEntry | undefined
  label: string | undefined
}

/** Takes from a cluster of the directory what is looked for. False when the directory ends in it. */
function scan(cluster: Buffer, position: number, found: Found): boolean {
  for (let offset = 0; offset < cluster.length; offset += ENTRY_SIZE) {
    const type = cluster[offset]
    if (type === END) return false
    if (type === BITMAP) {
      const entry = bitmapEntry.decode(cluster, offset, position)
      found.bitmaps[entry.flags & 1] ??= entry
    } else if (type === UPCASE) {
      found.upcase ??= {
        bytes: Buffer.from(cluster.subarray(offset, offset + ENTRY_SIZE)),
        position: position + offset,
      }
    } else if (type === LABEL) {
      const { length, label } = labelEntry.decode(cluster, offset, position)
      const text = label.toString('utf16le', 0, 2 * Math.min(length, MAX_LABEL_LENGTH))
      if (text !== '') found.label = text
    }
  }
  return true
}
