/** What replaying a log would do to its file, [MS-VHDX] 2.3.3: found and checked, not done. */
import { endOf, intersect, type Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import {
  dataDescriptor,
  header,
  LOG_SECTOR_SIZE,
  logEntryHeader,
  MAX_FILE_SIZE,
  REGION_TABLE_POSITIONS,
  zeroDescriptor,
} from './format.ts'
import { type CurrentHeader, logOf } from './header.ts'
import { Log, type LogEntry, type LogWrite } from './log.ts'
import { LogWrites } from './log-writes.ts'
import type { StructureReader } from './structure-reader.ts'

/** The writes of the entries from the tail of the last one up to it, in the order in which they have to be made. */
export interface LogReplay {
  readonly writes: LogWrites
  /** Bytes the file has when they are made: at least as many as it has now. */
  readonly fileSize: number
}

/** As many as the largest log has sectors. It bounds what is kept of a log of nothing but descriptors of zeros. */
const MAX_WRITES = 2 ** 20

/** The headers are never logged: the region tables are the first that can be. */
const FIRST_TARGET = REGION_TABLE_POSITIONS[0]

/** Undefined, and a problem, when the log of `current` cannot be replayed. The log must lie inside the file. */
export async function readReplay(reader: StructureReader, current: CurrentHeader): Promise<LogReplay | undefined> {
  const place = logOf(current.header)
  const log = new Log(reader.file, place)
  const sequence = await log.activeSequence(current.header.logGuid)
  if (sequence === undefined) {
    reader.report('LOG_NO_SEQUENCE', {
      structure: header.name,
      field: 'logGuid',
      position: current.position + header.offsetOf('logGuid'),
      expected: 'that of a log with a valid sequence of entries',
      actual: `${current.header.logGuid}, and the log has none`,
    })
    return undefined
  }
  const { offsets, last } = sequence
  if (isTruncated(reader, place, last)) return undefined
  const writes = new LogWrites()
  for (const offset of offsets.slice(offsets.indexOf(last.header.tail))) {
    for await (const some of log.writes(offset)) {
      if (some.some(write => isMisplaced(reader, place, write))) return undefined
      if (isTooMuch(reader, place, last, writes.count + some.length)) return undefined
      for (const write of some) writes.add(write)
    }
  }
  return { writes, fileSize: Math.max(reader.file.size, last.header.lastFileOffset, writes.end) }
}

function isTruncated(reader: StructureReader, log: Range, { offset, header }: LogEntry): boolean {
  const { size } = reader.file
  if (header.flushedFileOffset <= size) return false
  reader.report('LOG_FILE_TRUNCATED', {
    structure: logEntryHeader.name,
    field: 'flushedFileOffset',
    position: log.offset + offset + logEntryHeader.offsetOf('flushedFileOffset'),
    expected: `at most ${size}, the size of the file`,
    actual: `${header.flushedFileOffset}`,
  })
  return true
}

/** Whether `write` is one that no program may log: of the headers, of the log itself, or of parts of sectors. */
function isMisplaced(reader: StructureReader, log: Range, write: LogWrite): boolean {
  const isAligned = write.offset % LOG_SECTOR_SIZE === 0 && write.length % LOG_SECTOR_SIZE === 0
  const isInside = write.offset >= FIRST_TARGET && endOf(write) <= MAX_FILE_SIZE
  if (isAligned && isInside && intersect(write, log) === undefined) return false
  const descriptor = write.sector === undefined ? zeroDescriptor : dataDescriptor
  reader.report('LOG_TARGET', {
    structure: descriptor.name,
    field: 'fileOffset',
    position: write.descriptor + descriptor.offsetOf('fileOffset'),
    expected: `whole sectors of 4 KiB from ${hex(FIRST_TARGET)} on, and not in the log`,
    actual: `${hex(write.offset)} with ${hex(write.length)} bytes`,
  })
  return true
}

function isTooMuch(reader: StructureReader, log: Range, last: LogEntry, count: number): boolean {
  if (count <= MAX_WRITES) return false
  reader.report('LOG_TOO_LARGE', {
    structure: logEntryHeader.name,
    position: log.offset + last.offset,
    expected: `the last of entries with at most ${MAX_WRITES} descriptors`,
    actual: 'that of entries with more',
  })
  return true
}
