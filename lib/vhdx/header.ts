/** The two headers and the choice of the current one, [MS-VHDX] 2.2.2. */
import { crc32c } from '../binary/crc32c.ts'
import { NIL_GUID } from '../binary/guid.ts'
import { MiB } from '../binary/size.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import { HEADER_POSITIONS, HEADER_SIZE, type Header, header } from './format.ts'
import type { Breach } from './rules.ts'
import { flawOf, type StructureReader } from './structure-reader.ts'

export interface HeaderCopy {
  readonly position: number
  /** Its 4 KiB; undefined where the file is too short. */
  readonly bytes: Buffer | undefined
  /** Its fields, if signature and checksum are good. */
  readonly header: Header | undefined
}

export interface CurrentHeader {
  readonly position: number
  readonly header: Header
}

export interface Headers {
  readonly copies: readonly HeaderCopy[]
  readonly current: CurrentHeader | undefined
}

/** Reads both headers and checks the current one. */
export async function readHeaders(reader: StructureReader): Promise<Headers> {
  const copies: HeaderCopy[] = []
  for (const position of HEADER_POSITIONS) copies.push(await readCopy(reader, position))
  const current = chooseCurrent(reader, copies)
  if (current !== undefined) checkHeader(reader, current.header, current.position)
  return { copies, current }
}

/** The 4 KiB of a header with these fields, with its checksum. */
export function headerBytes(fields: Omit<Header, 'checksum'>): Buffer {
  const bytes = Buffer.alloc(HEADER_SIZE)
  header.encode({ ...fields, checksum: 0 }, bytes)
  bytes.writeUInt32LE(crc32c(bytes), header.offsetOf('checksum'))
  return bytes
}

/** Whether the header says that there is a log to replay before anything else is believed. */
export const isDirty = (current: Header) => current.logGuid !== NIL_GUID

export const logOf = (current: Header): Range => ({ offset: current.logOffset, length: current.logLength })

async function readCopy(reader: StructureReader, position: number): Promise<HeaderCopy> {
  const bytes = await reader.read(header.name, { offset: position, length: HEADER_SIZE })
  if (bytes === undefined) return { position, bytes, header: undefined }
  const flaw = flawOf(header, bytes)
  if (flaw !== undefined) {
    reader.report('HEADER_COPY_BAD', { structure: header.name, position, ...flaw })
    return { position, bytes, header: undefined }
  }
  return { position, bytes, header: reader.decode(header, bytes, 0, position) }
}

/** The only valid header, or the one with the greater sequence number. */
function chooseCurrent(reader: StructureReader, copies: readonly HeaderCopy[]): CurrentHeader | undefined {
  const valid = copies.flatMap(({ position, bytes, header }) =>
    header === undefined ? [] : [{ position, bytes: bytes!, header }],
  )
  const [first, second] = valid
  if (first === undefined) {
    const expected = 'good in one of two copies'
    reader.report('HEADER_NONE', {
      structure: header.name,
      position: HEADER_POSITIONS[0],
      expected,
      actual: 'bad in both',
    })
    return undefined
  }
  if (second === undefined) return first
  const [a, b] = [first.header.sequenceNumber, second.header.sequenceNumber]
  if (a !== b) return a > b ? first : second
  const breach = {
    structure: header.name,
    field: 'sequenceNumber',
    position: second.position + header.offsetOf('sequenceNumber'),
    expected: `other than ${a}, the first header's`,
    actual: `${b}`,
  }
  if (first.bytes.equals(second.bytes)) {
    reader.report('HEADER_TWINS', breach)
    return first
  }
  reader.report('HEADER_TIE', breach)
  return undefined
}

function checkHeader(reader: StructureReader, current: Header, position: number): void {
  const breach = (field: keyof Header, expected: string, actual: string): Breach => ({
    structure: header.name,
    field,
    position: position + header.offsetOf(field),
    expected,
    actual,
  })
  if (current.version !== 1) reader.report('HEADER_VERSION', breach('version', '1', `${current.version}`))
  if (current.logVersion !== 0 && isDirty(current)) {
    reader.report(
      'HEADER_LOG_VERSION',
      breach('logVersion', '0, for the log has to be replayed', `${current.logVersion}`),
    )
  }
  const log = logOf(current)
  if (log.offset % MiB !== 0 || log.offset < MiB) {
    reader.report('HEADER_LOG_PLACE', breach('logOffset', 'a multiple of 1 MiB, at least 1 MiB', hex(log.offset)))
  }
  if (log.length % MiB !== 0 || log.length < MiB) {
    reader.report('HEADER_LOG_PLACE', breach('logLength', 'a multiple of 1 MiB, at least 1 MiB', hex(log.length)))
  }
  if (endOf(log) > reader.file.size) {
    const actual = `${hex(log.offset)} with ${hex(log.length)} bytes`
    reader.report('HEADER_LOG_PLACE', breach('logOffset', `inside the file of ${hex(reader.file.size)} bytes`, actual))
  }
}
