/**
 * Every rule a VHDX file can break. A rule's code is what `check` prints and what the error has that opening the image
 * throws: one name for one thing. spec-notes/vhdx.md tells the scheme.
 */
import { type FormatError, formatError, hex, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'

export type Severity = 'error' | 'warning' | 'note'

interface Rule {
  /**
   * error: Windows or a strict reader refuses the file or reads it wrong. warning: it works, but somebody should know.
   * note: nothing is wrong with the file, and this says what was not looked at.
   */
  readonly severity: Severity
  /** Section of [MS-VHDX] v8.0; 'practice' for what the specification does not say. */
  readonly section: string
  /** What Windows answers, where that is known. */
  readonly windows?: string
  /** What to do about it. */
  readonly advice: string
  /** Not damage but something this library cannot work with. */
  readonly unsupported?: true
}

const FORMAT_UNKNOWN = '0xC03A0004 ERROR_VHD_FORMAT_UNKNOWN'
const UNKNOWN_VERSION = '0xC03A0005 ERROR_VHD_FORMAT_UNSUPPORTED_VERSION'
const BAT_CORRUPT = '0xC03A000A ERROR_VHD_BLOCK_ALLOCATION_TABLE_CORRUPT'
const BAD_BLOCK_SIZE = '0xC03A000B ERROR_VHD_INVALID_BLOCK_SIZE'
const BITMAP_MISMATCH = '0xC03A000C ERROR_VHD_BITMAP_MISMATCH'
const PARENT_NOT_FOUND = '0xC03A000D ERROR_VHD_PARENT_VHD_NOT_FOUND'
const ID_MISMATCH = '0xC03A000E ERROR_VHD_CHILD_PARENT_ID_MISMATCH'
const METADATA_READ = '0xC03A0010 ERROR_VHD_METADATA_READ_FAILURE'
const INVALID_SIZE = '0xC03A0012 ERROR_VHD_INVALID_SIZE'
const INVALID_FILE_SIZE = '0xC03A0013 ERROR_VHD_INVALID_FILE_SIZE'
const SIZE_MISMATCH = '0xC03A0017 ERROR_VHD_PARENT_VHD_SIZE_MISMATCH'
const LIMITATION = '0xC03A001A ERROR_VIRTUAL_DISK_LIMITATION'
const SECTOR_SIZE = '0xC03A001D ERROR_VHD_UNSUPPORTED_SECTOR_SIZE'

const RESTORE = 'Restore the file from a copy'
const COPY_AGAIN = 'The file was cut short: copy or capture it again'
const REWRITE = 'Convert it to a new image, which writes the structures anew'
const NEWER_PROGRAM = 'Open it with the program that made it, or a newer version of this one'
const MAP_DAMAGED = 'What this block holds is not sure: restore the file from a copy, or copy the other blocks out'

const rule = (severity: Severity, section: string, advice: string, more: Pick<Rule, 'windows' | 'unsupported'> = {}) =>
  ({ severity, section, advice, ...more }) satisfies Rule

const error = (section: string, advice: string, windows?: string) =>
  rule('error', section, advice, windows === undefined ? {} : { windows })
const unsupported = (section: string, advice: string, windows?: string) =>
  rule('error', section, advice, windows === undefined ? { unsupported: true } : { unsupported: true, windows })
const warning = (section: string, advice: string, windows?: string) =>
  rule('warning', section, advice, windows === undefined ? {} : { windows })

export const RULES = {
  TRUNCATED: error('2.1', COPY_AGAIN, INVALID_FILE_SIZE),
  NUMBER_TOO_LARGE: error('2.1', RESTORE),

  IDENTIFIER_SIGNATURE: error('2.2.1', 'This is no VHDX file, or its beginning is lost', FORMAT_UNKNOWN),

  HEADER_COPY_BAD: warning('2.2.2', 'The other header is good and is used. Attach the file read-write once to mend it'),
  HEADER_NONE: error('2.2.2', RESTORE),
  HEADER_TIE: error('2.2.2', 'Which of the headers is current cannot be known: restore the file from a copy'),
  HEADER_TWINS: warning('2.2.2', 'Disk2vhd writes such headers and Windows takes them: nothing to do'),
  HEADER_VERSION: unsupported('2.2.2', NEWER_PROGRAM, UNKNOWN_VERSION),
  HEADER_LOG_VERSION: unsupported('2.2.2', NEWER_PROGRAM, UNKNOWN_VERSION),
  HEADER_LOG_PLACE: error('2.2.2', RESTORE),

  LOG_DIRTY: warning(
    '2.3.3',
    'It was not closed properly. Attach the file read-write in Windows once to make it clean',
  ),
  LOG_NO_SEQUENCE: error('2.3.3', 'What the log should have repaired is lost: restore the file from a copy'),
  LOG_FILE_TRUNCATED: error('2.3.3', COPY_AGAIN, INVALID_FILE_SIZE),
  LOG_TARGET: error('2.3.1', 'No program logs such writes: restore the file from a copy'),
  LOG_TOO_LARGE: unsupported('2.3.3', 'Attach the file read-write in Windows once, which replays the log'),

  REGION_TABLE_COPY_BAD: warning('2.2.3', 'The other copy is good and is used. Attach the file read-write to mend it'),
  REGION_TABLE_NONE: error('2.2.3', RESTORE),
  REGION_TABLE_COPIES_DIFFER: warning('2.2.3', 'The first copy is used. Attach the file read-write to mend the second'),
  REGION_COUNT: error('2.2.3.1', RESTORE),
  REGION_DUPLICATE: error('2.2.3.2', RESTORE),
  REGION_PLACE: error('2.2.3.2', RESTORE),
  REGION_OVERLAP: error('2.2.3.2', RESTORE),
  REGION_BEYOND_END: error('2.2.3.2', COPY_AGAIN, INVALID_FILE_SIZE),
  REGION_UNKNOWN_REQUIRED: unsupported('2.2.3.2', NEWER_PROGRAM),
  REGION_NOT_REQUIRED: warning('2.2.3.2', 'qemu and others write it so and Windows takes it: nothing to do'),
  REGION_MISSING: error('2.2.3.2', RESTORE),
  BAT_TOO_SMALL: error('2.5', RESTORE, BAT_CORRUPT),

  METADATA_SIGNATURE: error('2.6.1.1', RESTORE, METADATA_READ),
  METADATA_COUNT: error('2.6.1.1', RESTORE, METADATA_READ),
  METADATA_USER_COUNT: error('2.6.1.2', RESTORE, METADATA_READ),
  METADATA_ITEM_PLACE: error('2.6.1.2', RESTORE, METADATA_READ),
  METADATA_OVERLAP: error('2.6.1.2', RESTORE, METADATA_READ),
  METADATA_DUPLICATE: error('2.6.1.2', RESTORE, METADATA_READ),
  METADATA_UNKNOWN_REQUIRED: unsupported('2.6.1.2', NEWER_PROGRAM),
  METADATA_MISSING: error('2.6.2', RESTORE, METADATA_READ),
  METADATA_ITEM_SIZE: error('2.6.2', RESTORE, METADATA_READ),
  METADATA_FLAGS: warning('2.6.2', 'Early programs wrote such flags and readers do not mind: nothing to do'),
  FILE_INCOMPLETE: error('practice', 'The program that wrote the file did not finish: make it again'),
  BLOCK_SIZE: error('2.6.2.1', RESTORE, BAD_BLOCK_SIZE),
  VIRTUAL_SIZE: error('2.6.2.2', RESTORE, INVALID_SIZE),
  SECTOR_SIZE: error('2.6.2.4', RESTORE, SECTOR_SIZE),
  SECTOR_SIZE_MIX: warning('2.6.2.5', 'Windows makes no such disks. It can be read; a copy of it gets other sectors'),

  PARENT_NOT_OPENED: rule('note', '2.6.2.6', 'vhdx chain finds the parent and says whether it fits', {
    unsupported: true,
  }),
  PARENT_SECTOR_SIZE: error('2.6.2.4', 'This is not the parent it was made from: look for another copy', SECTOR_SIZE),
  PARENT_SIZE: warning(
    '2.6.2.2',
    'One of them was resized. What the parent does not have reads as zeros',
    SIZE_MISMATCH,
  ),
  PARENT_LOCATOR_MISSING: error('2.6.2.6', RESTORE, PARENT_NOT_FOUND),
  PARENT_LOCATOR_TYPE: unsupported('2.6.2.6', NEWER_PROGRAM, PARENT_NOT_FOUND),
  PARENT_LOCATOR_ENTRY: error('2.6.2.6', RESTORE, PARENT_NOT_FOUND),
  PARENT_LINKAGE: error('2.6.2.6.3', 'Set the parent anew in Windows (Set-VHD -ParentPath)', ID_MISMATCH),
  PARENT_LINKAGE2: warning(
    '2.6.2.6.3',
    'A merge into the parent was under way: finish it with vhdx merge, or in Hyper-V',
  ),
  PARENT_PATHS: error('2.6.2.6.3', 'Set the parent anew in Windows (Set-VHD -ParentPath)', PARENT_NOT_FOUND),

  BAT_STATE: error('2.5.1.1', MAP_DAMAGED, BAT_CORRUPT),
  BAT_RESERVED_BITS: error('2.5.1', MAP_DAMAGED, BAT_CORRUPT),
  BAT_PARTIAL: error('2.5.1.1', MAP_DAMAGED, BAT_CORRUPT),
  BAT_PARTIAL_NO_BITMAP: error('2.5.1.1', MAP_DAMAGED, BITMAP_MISMATCH),
  BAT_BITMAP_STATE: error('2.5.1.2', MAP_DAMAGED, BAT_CORRUPT),
  BAT_BITMAP_PRESENT: warning('2.5.1.2', 'Readers ignore it: nothing to do'),
  BAT_OVERLAP: error('2.5.1', MAP_DAMAGED, BAT_CORRUPT),
  BAT_ON_STRUCTURE: error('2.5.1', MAP_DAMAGED, BAT_CORRUPT),
  BAT_BEYOND_END: error('2.5.1', COPY_AGAIN, BAT_CORRUPT),
  BAT_ZERO_WITH_PLACE: warning('2.5.1.1', `Hyper-V fails to read such blocks. ${REWRITE}`),
  BAT_ABSENT_WITH_PLACE: warning('2.5.1.1', 'The block may have held data: compare it with a copy of the disk'),
  FIXED_NOT_ALLOCATED: warning('2.6.2.1', `The file cannot hold what its disk promises. ${REWRITE}`),

  FILE_ODD_LENGTH: warning('2.1', 'Disk2vhd leaves such files and Windows takes them: nothing to do'),
  FILE_TRAILING_SPACE: warning('2.1', 'Hyper-V leaves such space after a crash. Optimize-VHD gives it back'),
  FILE_SPARSE: warning(
    'practice',
    'Copy it without holes: cp --sparse=never on Linux, on Windows fsutil sparse setflag FILE 0',
    LIMITATION,
  ),
} as const satisfies Readonly<Record<string, Rule>>

export type RuleCode = keyof typeof RULES

/** Rules that well-known programs break in every file they write: to who wants what is in the file that says nothing. */
export const HABITS: ReadonlySet<string> = new Set<RuleCode>([
  'HEADER_TWINS',
  'REGION_NOT_REQUIRED',
  'METADATA_FLAGS',
  'BAT_BITMAP_PRESENT',
  'FILE_ODD_LENGTH',
])

/** Where a rule is broken, and how: the words of `formatError`. */
export interface Breach {
  readonly structure: string
  readonly field?: string
  /** Absolute byte in the file. */
  readonly position: number
  readonly expected: string
  readonly actual: string
}

/** A broken rule. */
export interface Problem extends Finding {
  readonly code: RuleCode
  readonly severity: Severity
  readonly section: string
  /** Absolute byte in the file. */
  readonly position: number
  readonly advice: string
  /** What Windows answers, where that is known. */
  readonly windows?: string
}

export function problem(code: RuleCode, breach: Breach): Problem {
  const { severity, section, advice, windows }: Rule = RULES[code]
  const { message, details } = formatError(code, breach)
  const answer = windows === undefined ? {} : { windows }
  return { code, severity, section, position: breach.position, message, details, advice, ...answer }
}

/** The error that opening an image with `problem` throws. */
export function errorOf({ code, message, advice, details }: Problem): FormatError | UnsupportedError {
  const rule: Rule = RULES[code]
  if (rule.unsupported) return new UnsupportedError(code, `${message}. ${advice}`, { ...details, advice })
  return formatError(code, { ...(details as unknown as Breach), advice })
}

/** How breaches name a byte in the file. */
export const atByte = (position: number) => `byte ${hex(position)}`
