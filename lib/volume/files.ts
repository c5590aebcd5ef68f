/** The files of a volume: what every file system here gives, and everything that shows or copies files uses. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import type { Entry, FileTime } from './entry.ts'
import type { LeftOut } from './left-out.ts'

/** How `openFiles` opens. */
export interface FilesOptions {
  /** What is known to have been left out when the volume was captured: opening it is an error (LEFT_OUT), for it reads as zeros. */
  readonly leftOut?: readonly LeftOut[]
}

/** What to list. */
export interface ListOptions {
  /** Files of the file system itself too ($MFT, $Extend …). Default: not. */
  readonly system?: boolean
  /** Stops with the signal's reason. */
  readonly signal?: AbortSignal
}

/** How a stream is opened. */
export interface OpenStreamOptions {
  /** The bytes of an encrypted stream as they lie on the volume, instead of an error. Default: false. */
  readonly raw?: boolean
}

/**
 * The files of one volume, for reading. Entries are snapshots; those given to a method must come from the same object.
 * Errors about one file never cost another: what is damaged is listed, with its `error`.
 */
export interface Files {
  /** What was noticed so far while reading, beyond the findings of the volume and the errors of entries. Grows. */
  readonly findings: readonly Finding[]
  /**
   * The entry at `path`: names with '/' or, in a path without any '/', '\' between them; '' and '.' are passed over. Case is as the
   * file system has it, short (8.3) names are found. Links on the way are not followed.
   * Throws NotFoundError: NO_SUCH_FILE, NOT_A_DIRECTORY, naming the part of the path that is there.
   */
  stat(path: string): Promise<Entry>
  /**
   * What is in a directory, in its own order. What of it is damaged is passed over with a finding.
   * Throws NotFoundError (NOT_A_DIRECTORY), FormatError when nothing of the directory can be read.
   */
  list(directory: Entry, options?: ListOptions): AsyncIterable<Entry>
  /**
   * Every entry of the volume, or below `directory`, which itself is not among them, in the order that is fastest: a directory may come after
   * what is in it. In batches, since a volume has millions.
   */
  scan(directory?: Entry, options?: ListOptions): AsyncIterable<readonly Entry[]>
  /**
   * The content of a file, or its stream `stream`, as a read-only device, unpacked. Closing it is not needed. Nothing that cannot be decoded is
   * ever given as zeros: opening or reading throws FormatError for damaged content, UnsupportedError that names the reason
   * (its codes are in spec-notes), NotFoundError (NO_SUCH_STREAM, NOT_A_FILE).
   */
  open(entry: Entry, stream?: string, options?: OpenStreamOptions): Promise<BlockDevice>
  /** Everything there is to know of an entry. Parts that are damaged are left out, with a finding. */
  details(entry: Entry): Promise<EntryDetails>
}

/** One of a file's names. */
export interface NameDetails {
  readonly name: string
  /** 'posix', 'win32', 'dos', 'win32+dos'; 'long', 'short' for FAT. */
  readonly namespace: string
  /** The record of the directory it is in. */
  readonly parent: number | undefined
}

/** The four times as they stand in one place. */
export interface TimeDetails {
  /** Where: '$STANDARD_INFORMATION', '$FILE_NAME thesis.docx', 'directory entry'. */
  readonly source: string
  readonly created: FileTime | undefined
  readonly modified: FileTime | undefined
  readonly changed: FileTime | undefined
  readonly accessed: FileTime | undefined
}

/** A piece of content on the volume. */
export interface RunDetails {
  /** Bytes of the content, allocated size and all. */
  readonly content: Range
  /** Byte of the volume; undefined in a hole. */
  readonly position: number | undefined
}

/** An attribute of NTFS; elsewhere the content stands as one. */
export interface AttributeDetails {
  /** '$DATA', '$FILE_NAME' … */
  readonly type: string
  readonly name: string
  readonly resident: boolean
  /** 'compressed', 'encrypted', 'sparse', 'contiguous' … */
  readonly flags: readonly string[]
  readonly size: number
  readonly initializedSize: number
  readonly allocatedSize: number
  /** The records that hold it. */
  readonly records: readonly number[]
  readonly runs: readonly RunDetails[]
}

/** A reparse point, [MS-FSCC] 2.1.2. */
export interface ReparseDetails {
  readonly tag: number
  /** 'IO_REPARSE_TAG_SYMLINK', or the number where it is not known. */
  readonly tagName: string
  /** What its data says, where that is known: target, print name, provider, format … */
  readonly facts: Readonly<Record<string, string | number>>
}

/** What `vhdx stat` shows beside the entry. */
export interface EntryDetails {
  readonly entry: Entry
  readonly names: readonly NameDetails[]
  readonly times: readonly TimeDetails[]
  /** Sequence number, security id, object id, owner, USN, first cluster … by name. */
  readonly identifiers: Readonly<Record<string, string | number | bigint>>
  readonly attributes: readonly AttributeDetails[]
  readonly reparse: ReparseDetails | undefined
  /** The security descriptor in SDDL, [MS-DTYP] 2.5.1. */
  readonly sddl: string | undefined
}
