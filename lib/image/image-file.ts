/** Files that may hold images, wherever they are: on this system, or on a volume inside another image. */
import type { BlockDevice } from '../device/block-device.ts'
import type { ParentPath } from './parent-path.ts'

/** A file, opened for reading. */
export interface ImageFile {
  /** As a person finds it. */
  readonly path: string
  readonly device: BlockDevice
  /** Equal for two names of one file. */
  readonly identity: string
  readonly modified: Date | undefined
}

/** The folders in which the parents of an image are looked for. Paths are those of the system or the volume. */
export interface ImageFolders {
  /** The folders a file is in: that of its path and, where that is a link, that of the file. */
  foldersOf(path: string): Promise<readonly string[]>
  /** `folder` and every folder above it, up to the root. */
  withAncestors(folder: string): readonly string[]
  /** Where the names of an absolute path are to be looked for; undefined when such a path leads nowhere here. */
  rootOf(path: ParentPath): string | undefined
  /** How a person would write the place. */
  join(folder: string, names: readonly string[]): string
  /** The path of the file `names` below `folder`, '..' among them going up; undefined when there is none. Case is passed over. */
  find(folder: string, names: readonly string[]): Promise<string | undefined>
  /** Throws NotFoundError, BusyError, StorageError, and what reading a file system throws. */
  open(path: string): Promise<ImageFile>
}
