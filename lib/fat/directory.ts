/** What stands in a directory: short entries, and long names in front of them. spec-notes/fat.md, "Directories". */
import { dosTime } from '../volume/dos-time.ts'
import type { FileTime } from '../volume/entry.ts'
import { CODE_PAGE_437 } from './code-page.ts'
import { directoryEntry, longNameEntry } from './format.ts'
import type { FatWidth } from './layout.ts'

export const ATTRIBUTE_LABEL = 0x08
export const ATTRIBUTE_FOLDER = 0x10
/** A piece of a long name has label, read-only, hidden and system all set. */
export const LONG_NAME = 0x0f
export const KIND = 0x3f

export const END = 0
export const DELETED = 0xe5
/** The first byte of a name that really begins with 0xE5. */
export const ESCAPED_E5 = 0x05

/** No directory may be larger: 65,536 entries. */
export const MAX_DIRECTORY_LENGTH = 65_536 * directoryEntry.size

const ENTRY = directoryEntry.size
const NAME_LENGTH = 11
const BASE_LENGTH = 8
const SPACE = 0x20
const DOT = 0x2e

const LAST_LONG = 0x40
const LONG_UNITS = 13
const MAX_LONG_ENTRIES = 20
const MAX_NAME = 255

const SMALL_BASE = 0x08
const SMALL_EXTENSION = 0x10

const AT = {
  attributes: directoryEntry.offsetOf('attributes'),
  caseFlags: directoryEntry.offsetOf('caseFlags'),
  createdHundredths: directoryEntry.offsetOf('createdHundredths'),
  createdTime: directoryEntry.offsetOf('createdTime'),
  createdDate: directoryEntry.offsetOf('createdDate'),
  accessedDate: directoryEntry.offsetOf('accessedDate'),
  firstClusterHigh: directoryEntry.offsetOf('firstClusterHigh'),
  modifiedTime: directoryEntry.offsetOf('modifiedTime'),
  modifiedDate: directoryEntry.offsetOf('modifiedDate'),
  firstClusterLow: directoryEntry.offsetOf('firstClusterLow'),
  size: directoryEntry.offsetOf('size'),
  longChecksum: longNameEntry.offsetOf('checksum'),
  long1: longNameEntry.offsetOf('name1'),
  long2: longNameEntry.offsetOf('name2'),
  long3: longNameEntry.offsetOf('name3'),
} as const

/** A file or directory, as its directory has it. */
export interface DirectorySlot {
  /** Byte of the piece. */
  readonly offset: number
  readonly longName: string | undefined
  /** With a dot; undefined where its bytes are none, which some writers put beside a long name on purpose. */
  readonly shortName: string | undefined
  readonly isDirectory: boolean
  readonly attributes: number
  readonly created: FileTime | undefined
  readonly modified: FileTime | undefined
  readonly accessed: FileTime | undefined
  readonly firstCluster: number
  readonly size: number
}

/** What is in a piece of a directory. */
export interface DecodedSlots {
  readonly slots: readonly DirectorySlot[]
  /** Bytes of the piece where an entry stands that has no name. */
  readonly nameless: readonly number[]
  /** Bytes that need not be looked at again: behind them is a long name whose file is in the next piece. */
  readonly length: number
  /** Whether the directory ends in the piece. */
  readonly isLast: boolean
}

/** Hot: decodes the entries of `piece`, whole entries of a directory. */
export function decodeSlots(piece: Buffer, width: FatWidth): DecodedSlots {
  const slots: DirectorySlot[] = []
  const nameless: number[] = []
  const long = new LongName(piece)
  for (let at = 0; at + ENTRY <= piece.length; at += ENTRY) {
    const first = piece[at]!
    const kind = piece[at + AT.attributes]! & KIND
    if (first === END) return { slots, nameless, length: at, isLast: true }
    if (first !== DELETED && kind === LONG_NAME) {
      long.add(at)
      continue
    }
    if (first !== DELETED && (kind & ATTRIBUTE_LABEL) === 0 && !isSelfOrParent(piece, at)) {
      const longName = long.nameOf(at)
      const shortName = shortNameAt(piece, at)
      if (longName === undefined && shortName === undefined) nameless.push(at)
      else slots.push(slotAt(piece, at, width, longName, shortName))
    }
    long.clear()
  }
  return { slots, nameless, length: long.start ?? piece.length, isLast: false }
}

function slotAt(
  piece: Buffer,
  at: number,
  width: FatWidth,
  longName: string | undefined,
  shortName: string | undefined,
): DirectorySlot {
  const high = width === 32 ? piece.readUInt16LE(at + AT.firstClusterHigh) * 0x10000 : 0
  const createdTime = piece.readUInt16LE(at + AT.createdTime)
  const attributes = piece[at + AT.attributes]! & KIND
  return {
    offset: at,
    longName,
    shortName,
    isDirectory: (attributes & ATTRIBUTE_FOLDER) !== 0,
    attributes,
    created: dosTime(piece.readUInt16LE(at + AT.createdDate), createdTime, piece[at + AT.createdHundredths]!),
    modified: dosTime(piece.readUInt16LE(at + AT.modifiedDate), piece.readUInt16LE(at + AT.modifiedTime)),
    accessed: dosTime(piece.readUInt16LE(at + AT.accessedDate), 0),
    firstCluster: high + piece.readUInt16LE(at + AT.firstClusterLow),
    size: piece.readUInt32LE(at + AT.size),
  }
}

/** Whether it is the directory itself, `.`, or the one above, `..`. Files of such a name are damaged, and are listed. */
function isSelfOrParent(piece: Buffer, at: number): boolean {
  if (piece[at] !== DOT || (piece[at + AT.attributes]! & ATTRIBUTE_FOLDER) === 0) return false
  for (let i = piece[at + 1] === DOT ? 2 : 1; i < NAME_LENGTH; i++) if (piece[at + i] !== SPACE) return false
  return true
}

/** Undefined where a byte is a control character, or the first a space: no program writes such a name as one. */
function shortNameAt(piece: Buffer, at: number): string | undefined {
  if (piece[at] === SPACE) return undefined
  const flags = piece[at + AT.caseFlags]!
  const base = textAt(piece, at, BASE_LENGTH, (flags & SMALL_BASE) !== 0)
  const extension = textAt(piece, at + BASE_LENGTH, NAME_LENGTH - BASE_LENGTH, (flags & SMALL_EXTENSION) !== 0)
  if (base === undefined || extension === undefined) return undefined
  return extension === '' ? base : `${base}.${extension}`
}

/** `length` bytes without the spaces at the end; undefined where one is a control character. */
function textAt(piece: Buffer, at: number, length: number, isSmall: boolean): string | undefined {
  let end = at + length
  while (end > at && piece[end - 1] === SPACE) end--
  let text = ''
  for (let i = at; i < end; i++) {
    const byte = length === BASE_LENGTH && i === at && piece[i] === ESCAPED_E5 ? DELETED : piece[i]!
    if (byte < SPACE) return undefined
    text += CODE_PAGE_437[byte]
  }
  return isSmall ? text.toLowerCase() : text
}

/** A long name that is being gathered, part by part. Parts that do not follow one another belong to no file. */
class LongName {
  /** Byte of the piece where its first part stands; undefined where none is gathered. */
  start: number | undefined
  readonly #piece: Buffer
  readonly #units = Buffer.alloc(MAX_LONG_ENTRIES * LONG_UNITS * 2)
  #parts = 0
  /** Number of the part that was there last. They count down to 1. */
  #order = 0
  #checksum = 0

  constructor(piece: Buffer) {
    this.#piece = piece
  }

  clear(): void {
    this.start = undefined
  }

  /** Takes the part at byte `at`. */
  add(at: number): void {
    const [piece, units] = [this.#piece, this.#units]
    const checksum = piece[at + AT.longChecksum]!
    const order = piece[at]! & ~LAST_LONG
    if (piece[at]! & LAST_LONG && order >= 1 && order <= MAX_LONG_ENTRIES) {
      this.start = at
      this.#parts = order
      this.#checksum = checksum
    } else if (order === 0 || order !== this.#order - 1 || checksum !== this.#checksum) {
      this.clear()
      return
    }
    this.#order = order
    const to = (order - 1) * LONG_UNITS * 2
    piece.copy(units, to, at + AT.long1, at + AT.long1 + 10)
    piece.copy(units, to + 10, at + AT.long2, at + AT.long2 + 12)
    piece.copy(units, to + 22, at + AT.long3, at + AT.long3 + 4)
  }

  /** The name, if it is whole and the short entry at byte `at` is the one it was made for. */
  nameOf(at: number): string | undefined {
    if (this.start === undefined || this.#order !== 1 || shortChecksum(this.#piece, at) !== this.#checksum)
      return undefined
    let length = 0
    while (length < this.#parts * LONG_UNITS && this.#units.readUInt16LE(length * 2) !== 0) length++
    return length === 0 || length > MAX_NAME ? undefined : this.#units.toString('utf16le', 0, length * 2)
  }
}

/** "FAT Long Directory Entries", ChkSum: over the 11 bytes of a short name. */
function shortChecksum(piece: Buffer, at: number): number {
  let sum = 0
  for (let i = at; i < at + NAME_LENGTH; i++) sum = (((sum & 1) << 7) + (sum >> 1) + piece[i]!) & 0xff
  return sum
}
