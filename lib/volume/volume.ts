/** What a file system is to the rest of the library. Offsets are bytes from the start of the volume. */
import type { Range } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import type { Files, FilesOptions } from './files.ts'
import type { LeftOut, LeftOutReason } from './left-out.ts'

/** Bytes an image must hold instead of the source's own, as a consequence of something left out. */
export interface Patch {
  readonly offset: number
  readonly bytes: Buffer
  readonly reason: string
}

/** What to leave out beside free space, and when to stop. */
export interface UsedSpaceOptions {
  /** Kinds that are copied although they are left out by default. */
  readonly keep?: ReadonlySet<LeftOutReason>
  /** Whether the user leaves out the file at `path` (backslashes, as in LeftOut). Not asked for what is never left out. */
  readonly exclude?: (path: string) => boolean
  /** Stops the survey when aborted: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** What of a volume a copy has to take. */
export interface UsedSpace {
  /** Bytes that `ranges` adds up to. */
  readonly usedBytes: number
  /** Clusters the file system itself says are used, in its own unit; undefined where it does not count in clusters. */
  readonly clusters?: { readonly size: number; readonly total: number; readonly used: number }
  readonly leftOut: readonly LeftOut[]
  readonly patches: readonly Patch[]
  readonly findings: readonly Finding[]
  /** In order, not touching each other; all else may read as zeros in the image. Can be iterated more than once. */
  ranges(): AsyncIterable<Range>
}

/** A volume, opened and recognised. Memory is bounded whatever the volume's size. */
export interface Volume {
  /** 'NTFS', 'FAT12', 'FAT16', 'FAT32', 'exFAT', 'ReFS', 'BitLocker', 'ext4' ..., 'unknown'. */
  readonly fileSystem: string
  readonly label: string | undefined
  /** Bytes; undefined where nothing here counts in clusters. */
  readonly clusterSize: number | undefined
  /** Bytes that the file system takes of its device, where it says: it does not work on one that is smaller. */
  readonly size?: number
  /** Bytes of the sectors the file system counts in, where it says: a volume works only on a disk with such sectors. */
  readonly sectorSize?: number
  /** Why a copy of this volume would not be a good one: dirty, hibernated, log not clean. Empty for a clean volume. */
  readonly hazards: readonly Finding[]
  /** What was noticed while opening: a backup boot sector used, an encrypted volume copied whole. */
  readonly findings: readonly Finding[]
  usedSpace(options?: UsedSpaceOptions): Promise<UsedSpace>
  /** The files. Throws UnsupportedError (FILES_NOT_READ), which names the file system, where they cannot be read here. */
  openFiles(options?: FilesOptions): Promise<Files>
}
