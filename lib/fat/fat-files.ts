/** The files of a FAT12, FAT16 or FAT32 volume. spec-notes/fat.md, "Files". */
import type { BlockDevice } from '../device/block-device.ts'
import { type FormatError, formatError, hex } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { ClusterChain } from '../volume/cluster-chain.ts'
import type { ClusterPlaces } from '../volume/cluster-content.ts'
import { type ClusterEntry, rootFields } from '../volume/cluster-files.ts'
import type { ClusterLinks } from '../volume/cluster-links.ts'
import { type DecodedPiece, DirectoryFiles, type DirectoryPiece } from '../volume/directory-files.ts'
import { unicodeUpcase } from '../volume/letter-case.ts'
import { pathIn, shownName } from '../volume/path.ts'
import type { FatBootSector } from './boot-sector.ts'
import { DELETED, type DirectorySlot, decodeSlots, MAX_DIRECTORY_LENGTH } from './directory.ts'
import { directoryEntry, extension32, parameterBlock } from './format.ts'
import { clusterOffset, type FatLayout, isCluster } from './layout.ts'

const ROOT_CLUSTER_OFFSET = parameterBlock.size + extension32.offsetOf('rootCluster')

const NONE: readonly never[] = []

/** Open it with `FatVolume.openFiles`. */
export class FatFiles extends DirectoryFiles<ClusterEntry> {
  protected readonly root: ClusterEntry
  protected readonly links: ClusterLinks
  protected readonly upcase = unicodeUpcase()
  protected readonly volumeSize: number
  protected readonly filler = DELETED
  readonly #layout: FatLayout
  readonly #places: ClusterPlaces
  /** The root of FAT12 and FAT16, seen as a cluster as large as it. */
  readonly #rootPlaces: ClusterPlaces

  constructor(device: BlockDevice, { layout, fat32 }: FatBootSector, links: ClusterLinks) {
    super(device)
    this.links = links
    this.volumeSize = layout.volumeSize
    this.#layout = layout
    this.#places = { clusterSize: layout.clusterSize, offsetOf: number => clusterOffset(layout, number) }
    this.#rootPlaces = { clusterSize: layout.rootLength, offsetOf: () => layout.rootOffset }
    this.root = rootEntry(layout, fat32?.rootCluster ?? 0)
  }

  protected placesOf(entry: ClusterEntry): ClusterPlaces {
    return this.#isFixedRoot(entry) ? this.#rootPlaces : this.#places
  }

  protected async chainOf(entry: ClusterEntry): Promise<ClusterChain> {
    if (this.#isFixedRoot(entry)) return ClusterChain.contiguous({ first: 0, count: 1 })
    const limit = entry.kind === 'directory' ? Math.ceil(MAX_DIRECTORY_LENGTH / this.#layout.clusterSize) : undefined
    return ClusterChain.follow(this.links, entry.firstCluster, limit)
  }

  #isFixedRoot(entry: ClusterEntry): boolean {
    return entry.path === '/' && this.#layout.width !== 32
  }

  protected async decode(directory: ClusterEntry, piece: DirectoryPiece): Promise<DecodedPiece<ClusterEntry>> {
    const { slots, nameless, length, isLast } = decodeSlots(piece.bytes, this.#layout.width)
    for (const offset of nameless) this.note(namelessEntry(directory, await piece.positionOf(offset)))
    const entries: ClusterEntry[] = []
    for (const slot of slots) {
      const isSound = hasPlace(this.#layout, slot)
      const error = isSound ? undefined : misplaced(this.#layout, slot, await piece.positionOf(slot.offset))
      entries.push(this.#entry(directory, slot, error))
    }
    return { entries, length, isLast }
  }

  #entry(directory: ClusterEntry, slot: DirectorySlot, error: FormatError | undefined): ClusterEntry {
    const { clusterSize, clusterCount } = this.#layout
    const { longName, shortName, isDirectory, attributes, created, modified, accessed, firstCluster } = slot
    const name = shownName(longName ?? shortName!)
    const size = isDirectory ? 0 : slot.size
    return {
      path: pathIn(directory.path, name),
      name,
      kind: isDirectory ? 'directory' : 'file',
      size,
      // A directory has one cluster or more: how many would have to be counted in the FAT.
      allocatedSize: isDirectory ? clusterSize : Math.min(Math.ceil(size / clusterSize), clusterCount) * clusterSize,
      modified,
      created,
      accessed,
      changed: undefined,
      attributes,
      record: undefined,
      links: 1,
      streams: NONE,
      target: undefined,
      position: positionOf(this.#layout, firstCluster),
      isSystem: false,
      error,
      namespace: longName === undefined ? 'short' : 'long',
      shortName: longName === undefined ? undefined : shortName,
      firstCluster,
      contentSize: isDirectory ? undefined : size,
      validSize: undefined,
      flags: NONE,
    }
  }
}

/** A field, and the byte of the volume where it stands. */
interface Place {
  readonly structure: string
  readonly field: string
  readonly position: number
}

const positionOf = (layout: FatLayout, cluster: number) =>
  isCluster(layout, cluster) ? clusterOffset(layout, cluster) : undefined

/** The root of FAT32 is a chain that begins with `cluster`; that of FAT12 and FAT16 has a place of its own. */
function rootEntry(layout: FatLayout, cluster: number): ClusterEntry {
  const isFixed = layout.width !== 32
  const isSound = isFixed || isCluster(layout, cluster)
  const place = { structure: extension32.name, field: 'rootCluster', position: ROOT_CLUSTER_OFFSET }
  return {
    ...rootFields,
    allocatedSize: isFixed ? layout.rootLength : layout.clusterSize,
    position: isFixed ? layout.rootOffset : positionOf(layout, cluster),
    error: isSound ? undefined : noCluster(layout, place, cluster),
    firstCluster: isFixed ? 0 : cluster,
  }
}

/** The error of a field that should hold the number of a cluster. */
const noCluster = ({ clusterCount }: FatLayout, place: Place, actual: number): FormatError =>
  formatError('NO_SUCH_CLUSTER', { ...place, expected: `2 to ${clusterCount + 1}`, actual: `${actual}` })

/** Whether a file can lie where `slot` says, as far as can be seen without following its chain. */
function hasPlace(layout: FatLayout, { isDirectory, firstCluster, size }: DirectorySlot): boolean {
  if (isDirectory) return isCluster(layout, firstCluster)
  return size === 0 || (isCluster(layout, firstCluster) && size <= layout.clusterCount * layout.clusterSize)
}

function misplaced(layout: FatLayout, { firstCluster, size }: DirectorySlot, position: number): FormatError {
  const structure = directoryEntry.name
  if (!isCluster(layout, firstCluster)) {
    const field = 'firstClusterLow'
    return noCluster(layout, { structure, field, position: position + directoryEntry.offsetOf(field) }, firstCluster)
  }
  const capacity = layout.clusterCount * layout.clusterSize
  return formatError('FILE_TOO_LARGE', {
    structure,
    field: 'size',
    position: position + directoryEntry.offsetOf('size'),
    expected: `at most ${capacity}, the bytes of all clusters`,
    actual: `${size}`,
  })
}

const namelessEntry = ({ path }: ClusterEntry, position: number): Finding => ({
  code: 'FAT_ENTRY_BAD',
  message: `an entry of directory ${path} at byte ${hex(position)} has no name that is one, and is passed over`,
  details: { path, position },
})
