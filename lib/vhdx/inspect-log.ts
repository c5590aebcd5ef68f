/** The log as `inspect` shows it, [MS-VHDX] 2.3: its entries, what they write, and which of them count. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import { LOG_SECTOR_SIZE, logEntryHeader } from './format.ts'
import { isDirty, logOf } from './header.ts'
import { Log, type LogSequence, type LogWrite } from './log.ts'
import type { Facts, StructureSheet } from './structure-sheet.ts'
import { fieldsOf, type InspectedField } from './structure-view.ts'
import type { LogState } from './structures.ts'

/** As many as a log of 1 MiB can hold. */
const MAX_LOG_ENTRIES = 256
const MAX_WRITES_SHOWN = 32

const LOG_WORDS: Readonly<Record<LogState, string>> = {
  clean: 'clean',
  replayed: 'replayed in memory',
  unusable: 'cannot be replayed',
}

/** `file`: without the replay. */
export async function inspectLog(sheet: StructureSheet, file: BlockDevice): Promise<void> {
  const { headers, problems, log: state } = sheet.structures
  if (headers.current === undefined || problems.some(({ code }) => code === 'HEADER_LOG_PLACE')) return
  const place = logOf(headers.current.header)
  const log = new Log(file, place)
  const active = isDirty(headers.current.header) ? await log.activeSequence(headers.current.header.logGuid) : undefined
  sheet.facts('log', place, active === undefined ? [] : sequenceFacts(active, place), LOG_WORDS[state])
  let count = 0
  for await (const { offset } of log.entries()) {
    if (++count > MAX_LOG_ENTRIES) continue
    const position = place.offset + offset
    const bytes = Buffer.alloc(LOG_SECTOR_SIZE)
    await file.read(position, bytes)
    const fields = [...fieldsOf(logEntryHeader, bytes, 0, position), ...(await writeFields(log, offset))]
    sheet.show('log entry', position, logEntryHeader.size, fields, roleOf(offset, active))
  }
  if (count > MAX_LOG_ENTRIES) sheet.facts('further log entries', place, [['count', count - MAX_LOG_ENTRIES]])
}

const sequenceFacts = ({ offsets, last }: LogSequence, log: Range): Facts => [
  ['activeEntries', offsets.length],
  ['replayFrom', log.offset + last.header.tail],
  ['lastSequenceNumber', last.header.sequenceNumber],
]

function roleOf(offset: number, active: LogSequence | undefined): string {
  const index = active?.offsets.indexOf(offset) ?? -1
  if (active === undefined || index === -1) return 'of an earlier session'
  return index < active.offsets.indexOf(active.last.header.tail) ? 'before the tail: not replayed' : 'to be replayed'
}

async function writeFields(log: Log, offset: number): Promise<InspectedField[]> {
  const fields: InspectedField[] = []
  let count = 0
  for await (const writes of log.writes(offset)) {
    const shown = writes.slice(0, Math.max(0, MAX_WRITES_SHOWN - count))
    for (const write of shown) fields.push({ name: 'write', position: write.descriptor, value: writeText(write) })
    count += writes.length
  }
  const more = count - fields.length
  return more > 0 ? [...fields, { name: 'furtherWrites', position: fields.at(-1)!.position, value: more }] : fields
}

const writeText = ({ offset, length, sector }: LogWrite) =>
  `${length} bytes at ${hex(offset)}, ${sector === undefined ? 'zeros' : `from ${hex(sector)}`}`
