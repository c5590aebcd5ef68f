/** The entries that together describe a file: file, stream extension, names, and others. spec-notes/exfat.md, "Entry sets". */
import { dosTime } from '../volume/dos-time.ts'
import type { FileTime } from '../volume/entry.ts'
import { fileEntry, nameEntry, streamEntry } from './format.ts'

const ENTRY = fileEntry.size
const END = 0x00
/** Bits of an entry's type. */
const IN_USE = 0x80
const SECONDARY = 0x40

const FILE = 0x85
const STREAM = 0xc0
const NAME = 0xc1
const NAME_UNITS = 15

const DIRECTORY = 0x10
const NO_CHAIN = 0x02
/** Bit 7 of a UTC offset: it is known. The others are a signed number of quarters of an hour. */
const OFFSET_KNOWN = 0x80

const AT = {
  secondaryCount: fileEntry.offsetOf('secondaryCount'),
  setChecksum: fileEntry.offsetOf('setChecksum'),
  attributes: fileEntry.offsetOf('attributes'),
  createdTime: fileEntry.offsetOf('createdTime'),
  createdHundredths: fileEntry.offsetOf('createdHundredths'),
  createdUtcOffset: fileEntry.offsetOf('createdUtcOffset'),
  modifiedTime: fileEntry.offsetOf('modifiedTime'),
  modifiedHundredths: fileEntry.offsetOf('modifiedHundredths'),
  modifiedUtcOffset: fileEntry.offsetOf('modifiedUtcOffset'),
  accessedTime: fileEntry.offsetOf('accessedTime'),
  accessedUtcOffset: fileEntry.offsetOf('accessedUtcOffset'),
  flags: streamEntry.offsetOf('flags'),
  nameLength: streamEntry.offsetOf('nameLength'),
  validDataLength: streamEntry.offsetOf('validDataLength'),
  firstCluster: streamEntry.offsetOf('firstCluster'),
  dataLength: streamEntry.offsetOf('dataLength'),
  name: nameEntry.offsetOf('name'),
} as const

/** A file or directory, as its directory has it. */
export interface EntrySet {
  /** Byte of the piece. */
  readonly offset: number
  readonly name: string
  readonly isDirectory: boolean
  readonly attributes: number
  readonly created: FileTime | undefined
  readonly modified: FileTime | undefined
  readonly accessed: FileTime | undefined
  /** Whether the clusters lie one after another and the FAT says nothing of them. */
  readonly isContiguous: boolean
  readonly firstCluster: number
  /** Bytes, rounded above 2^53. */
  readonly dataLength: number
  readonly validDataLength: number
  /** Undefined when the checksum is right. */
  readonly checksum: { readonly stored: number; readonly computed: number } | undefined
}

/** What is in a piece of a directory. */
export interface DecodedSets {
  readonly sets: readonly EntrySet[]
  /** Bytes of the piece where a set begins that is not whole, and what of it is wrong. */
  readonly broken: readonly { readonly offset: number; readonly problem: string }[]
  /** Bytes that need not be looked at again: behind them is a set that goes on in the next piece. */
  readonly length: number
  /** Whether the directory ends in the piece. */
  readonly isLast: boolean
}

/** Hot: decodes the entries of `piece`, whole entries of a directory. `isFinal`: no other piece follows. */
export function decodeSets(piece: Buffer, isFinal: boolean): DecodedSets {
  const sets: EntrySet[] = []
  const broken: { offset: number; problem: string }[] = []
  let at = 0
  while (at + ENTRY <= piece.length) {
    const type = piece[at]!
    if (type === END) return { sets, broken, length: at, isLast: true }
    if (type !== FILE) {
      at += ENTRY
      continue
    }
    const end = at + (1 + piece[at + AT.secondaryCount]!) * ENTRY
    if (end > piece.length && !isFinal) break
    const problem = problemOf(piece, at, end)
    if (problem === undefined) {
      sets.push(decodeSet(piece, at, end))
      at = end
    } else {
      broken.push({ offset: at, problem })
      at += ENTRY
    }
  }
  return { sets, broken, length: at, isLast: false }
}

/** Why the entries from `at` to `end` are no set, as words that follow 'it'. */
function problemOf(piece: Buffer, at: number, end: number): string | undefined {
  if (end > piece.length) return 'goes on behind the end of the directory'
  const stream = at + ENTRY
  if (stream >= end || piece[stream] !== STREAM) return 'has no stream extension'
  const nameEnd = stream + (1 + Math.ceil(piece[stream + AT.nameLength]! / NAME_UNITS)) * ENTRY
  if (nameEnd === stream + ENTRY) return 'has no name'
  if (nameEnd > end) return 'has fewer entries than its name needs'
  for (let entry = stream + ENTRY; entry < end; entry += ENTRY) {
    if (entry < nameEnd && piece[entry] !== NAME) return 'has another entry where a part of its name should be'
    if ((piece[entry]! & SECONDARY) === 0 || (piece[entry]! & IN_USE) === 0) return 'has fewer entries than it says'
  }
  return undefined
}

function decodeSet(piece: Buffer, at: number, end: number): EntrySet {
  const stream = at + ENTRY
  const attributes = piece.readUInt16LE(at + AT.attributes)
  const [stored, computed] = [piece.readUInt16LE(at + AT.setChecksum), setChecksum(piece, at, end)]
  const { createdTime, createdHundredths, createdUtcOffset } = AT
  const { modifiedTime, modifiedHundredths, modifiedUtcOffset } = AT
  return {
    offset: at,
    name: nameAt(piece, stream + ENTRY, piece[stream + AT.nameLength]!),
    isDirectory: (attributes & DIRECTORY) !== 0,
    attributes,
    created: timeAt(piece, at + createdTime, piece[at + createdHundredths]!, piece[at + createdUtcOffset]!),
    modified: timeAt(piece, at + modifiedTime, piece[at + modifiedHundredths]!, piece[at + modifiedUtcOffset]!),
    accessed: timeAt(piece, at + AT.accessedTime, 0, piece[at + AT.accessedUtcOffset]!),
    isContiguous: (piece[stream + AT.flags]! & NO_CHAIN) !== 0,
    firstCluster: piece.readUInt32LE(stream + AT.firstCluster),
    dataLength: lengthAt(piece, stream + AT.dataLength),
    validDataLength: lengthAt(piece, stream + AT.validDataLength),
    checksum: stored === computed ? undefined : { stored, computed },
  }
}

/** 6.3.3, "SetChecksum Field": over all entries but its own two bytes. */
function setChecksum(piece: Buffer, at: number, end: number): number {
  const [from, to] = [at + AT.setChecksum, at + AT.setChecksum + 2]
  let sum = 0
  for (let i = at; i < end; i++) {
    if (i < from || i >= to) sum = (((sum << 15) | (sum >>> 1)) + piece[i]!) & 0xffff
  }
  return sum
}

function nameAt(piece: Buffer, at: number, length: number): string {
  let name = ''
  for (let entry = at; name.length < length; entry += ENTRY) {
    const start = entry + AT.name
    name += piece.toString('utf16le', start, start + 2 * Math.min(NAME_UNITS, length - name.length))
  }
  return name
}

/** 7.4.8, "Timestamp Fields": as DOS has them, time first. Without an offset it is local time, taken as UTC. */
function timeAt(piece: Buffer, at: number, hundredths: number, utcOffset: number): FileTime | undefined {
  const quarters = utcOffset & ~OFFSET_KNOWN
  const minutes = utcOffset & OFFSET_KNOWN ? 15 * (quarters < 64 ? quarters : quarters - 128) : 0
  return dosTime(piece.readUInt16LE(at + 2), piece.readUInt16LE(at), hundredths, minutes)
}

const lengthAt = (piece: Buffer, at: number) => piece.readUInt32LE(at) + piece.readUInt32LE(at + 4) * 2 ** 32
