/** The root directory: the volume's label, and proof that clusters lie where the boot sector says. spec-notes/fat.md, "Root directory". */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { ClusterChain } from '../volume/cluster-chain.ts'
import type { ClusterLinks } from '../volume/cluster-links.ts'
import type { FatBootSector } from './boot-sector.ts'
import {
  ATTRIBUTE_FOLDER,
  ATTRIBUTE_LABEL,
  DELETED,
  END,
  ESCAPED_E5,
  KIND,
  LONG_NAME,
  MAX_DIRECTORY_LENGTH,
} from './directory.ts'
import { type DirectoryEntry, directoryEntry } from './format.ts'
import { clusterOffset, type FatLayout, isCluster } from './layout.ts'

const SELF = '.          '
const NAME_LENGTH = 11
const ATTRIBUTES_OFFSET = directoryEntry.offsetOf('attributes')

/** Folders in the root that are looked into: enough to know. */
const FOLDERS_LOOKED_AT = 16

export interface RootDirectory {
  /** 11 bytes as they stand. */
  readonly label: Buffer | undefined
  /** First clusters of the first few folders. */
  readonly folders: readonly number[]
  /** What is wrong with its chain of clusters, as words that follow 'it'. */
  readonly problem: string | undefined
}

/** Reads the root directory as far as it can be read. */
export async function readRootDirectory(
  device: BlockDevice,
  { layout, fat32 }: FatBootSector,
  links: ClusterLinks,
): Promise<RootDirectory> {
  const found: Found = { label: undefined, folders: [] }
  const { rootOffset, rootLength, clusterSize } = layout
  if (fat32 === undefined) {
    const piece = Buffer.alloc(rootLength)
    if ((await tryRead(device, rootOffset, piece)) !== undefined) return { ...found, problem: UNREADABLE }
    scan(piece, found)
    return { ...found, problem: undefined }
  }
  const limit = Math.min(MAX_DIRECTORY_LENGTH / clusterSize, layout.clusterCount)
  const chain = await ClusterChain.follow(links, fat32.rootCluster, limit)
  for await (const cluster of chain.clusters()) {
    const piece = Buffer.alloc(clusterSize)
    const unreadable = await tryRead(device, clusterOffset(layout, cluster), piece)
    if (unreadable !== undefined) return { ...found, problem: UNREADABLE }
    if (!scan(piece, found)) return { ...found, problem: undefined }
  }
  return { ...found, problem: chain.problem }
}

const UNREADABLE = 'leads to sectors that cannot be read'

interface Found {
  label: Buffer | undefined
  readonly folders: number[]
}

/** Takes from a piece of the directory what is looked for. False when the directory ends in it. */
function scan(piece: Buffer, found: Found): boolean {
  for (let offset = 0; offset < piece.length; offset += directoryEntry.size) {
    const kind = piece[offset + ATTRIBUTES_OFFSET]! & KIND
    if (piece[offset] === END) return false
    if (piece[offset] === DELETED || kind === LONG_NAME) continue
    if (kind & ATTRIBUTE_LABEL) found.label ??= piece.subarray(offset, offset + NAME_LENGTH)
    else if (kind & ATTRIBUTE_FOLDER && found.folders.length < FOLDERS_LOOKED_AT) {
      found.folders.push(firstCluster(directoryEntry.decode(piece, offset)))
    }
  }
  return true
}

const firstCluster = (entry: DirectoryEntry) => entry.firstClusterHigh * 65_536 + entry.firstClusterLow

/** The text of a label's 11 bytes; undefined for none. Letters beyond ASCII are in a code page that nothing names. */
export function labelText(label: Buffer | undefined): string | undefined {
  if (label === undefined) return undefined
  const bytes = Buffer.from(label)
  if (bytes[0] === ESCAPED_E5) bytes[0] = DELETED
  const text = bytes
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '\ufffd')
    .trimEnd()
  return text === '' || text === 'NO NAME' ? undefined : text
}

/**
 * Whether one of `folders` begins as every folder but the root does: with an entry for itself. One that cannot be read
 * gets the benefit of the doubt.
 */
export async function hasRealFolder(
  device: BlockDevice,
  layout: FatLayout,
  folders: readonly number[],
): Promise<boolean> {
  for (const cluster of folders.filter(number => isCluster(layout, number))) {
    const piece = Buffer.alloc(directoryEntry.size)
    if ((await tryRead(device, clusterOffset(layout, cluster), piece)) !== undefined) return true
    const entry = directoryEntry.decode(piece)
    if (entry.name.toString('latin1') === SELF && firstCluster(entry) === cluster) return true
  }
  return false
}
