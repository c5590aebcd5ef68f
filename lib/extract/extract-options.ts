/** How files are copied out. */
import type { ExtractEvent, ExtractProgress } from './extract-report.ts'

/** What becomes of a file whose name is taken in the target. */
export const ON_CONFLICT = ['fail', 'skip', 'overwrite', 'rename'] as const
/**
 * 'fail' (default): the old one stays, and that is an error of this file; 'skip': the old one stays, even one that an earlier
 * copy left short when the power went; 'overwrite': the new one takes its place when it is whole; 'rename': the new one gets a
 * number. Folders are always merged.
 */
export type OnConflict = (typeof ON_CONFLICT)[number]

/** How files are copied out. */
export interface ExtractOptions {
  /** Directories with all that is in them. */
  readonly recursive?: boolean
  readonly onConflict?: OnConflict
  /** Files that are read all the while, the image and its parents: they are never written over, whatever `onConflict` says. */
  readonly sources?: readonly string[] | undefined
  /** Named streams too: as such on Windows (the default there), elsewhere as files `name:stream`. */
  readonly streams?: boolean | undefined
  /** Files of the file system itself too. */
  readonly system?: boolean
  /** The bytes of encrypted files as they lie on the volume, instead of an error. */
  readonly raw?: boolean
  /** Stops with the signal's reason; what was half-written is removed. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: (progress: ExtractProgress) => void
  readonly onEvent?: (event: ExtractEvent) => void
}
