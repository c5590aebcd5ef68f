/** What a name in a file system stands for. */
import type { DiskImageError } from '../errors.ts'

/** 'link': a symbolic link or a junction; 'other': a socket, a pipe, a device. */
export type EntryKind = 'file' | 'directory' | 'link' | 'other'

/** 100 ns since 1601-01-01 UTC, as NTFS counts. */
export type FileTime = bigint

/** 1970-01-01 UTC as such a time. */
export const UNIX_EPOCH: FileTime = 116_444_736_000_000_000n

/** A stream beside the content, which only NTFS has: `file:name`. */
export interface NamedStream {
  readonly name: string
  /** Bytes. */
  readonly size: number
}

/** The FILE_ATTRIBUTE bits that FAT, exFAT and NTFS share, and some only NTFS has, [MS-FSCC] 2.6. */
export const FileAttribute = {
  readOnly: 0x1,
  hidden: 0x2,
  system: 0x4,
  directory: 0x10,
  archive: 0x20,
  device: 0x40,
  normal: 0x80,
  temporary: 0x100,
  sparse: 0x200,
  reparsePoint: 0x400,
  compressed: 0x800,
  offline: 0x1000,
  notIndexed: 0x2000,
  encrypted: 0x4000,
  integrityStream: 0x8000,
  virtual: 0x1_0000,
  noScrub: 0x2_0000,
  recallOnOpen: 0x4_0000,
  pinned: 0x8_0000,
  unpinned: 0x10_0000,
  recallOnDataAccess: 0x40_0000,
} as const

/** A name in a directory, with what it names. A file with several names (hard links) is an entry for each. */
export interface Entry {
  /** From the root of the volume, with '/' before each name: '/Users/anna/thesis.docx'. The root is '/'. */
  readonly path: string
  /** The last name of the path; '' for the root. May hold what no host takes in a name: unpaired surrogates, `\`, `:`. */
  readonly name: string
  readonly kind: EntryKind
  /** Bytes of the content as programs see it, so unpacked. 0 for what is no file. */
  readonly size: number
  /** Bytes the content, with all named streams, takes on the volume. */
  readonly allocatedSize: number
  readonly modified: FileTime | undefined
  readonly created: FileTime | undefined
  readonly accessed: FileTime | undefined
  /** When anything about the file changed, its name and attributes included: only NTFS keeps it. */
  readonly changed: FileTime | undefined
  /** Bits of `FileAttribute`. */
  readonly attributes: number
  /** The number of its file record; undefined where the file system has none. */
  readonly record: number | undefined
  /** How many names the file has; a short (8.3) name beside a long one does not count. */
  readonly links: number
  readonly streams: readonly NamedStream[]
  /** Where a link points, as it stands there; undefined for what is no link. */
  readonly target: string | undefined
  /** Byte of the volume where the content begins, to read files in the order of the disk; undefined where it has no place of its own. */
  readonly position: number | undefined
  /** A file of the file system itself, such as $MFT: listed only when asked for. */
  readonly isSystem: boolean
  /** Why its content cannot be had: a damaged record, encrypted, dehydrated … What else is known of it stands here all the same. */
  readonly error: DiskImageError | undefined
}
