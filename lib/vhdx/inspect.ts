/** Shows every structure of a VHDX file with its place and what its fields say, of damaged files too. */
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { OptionError } from '../errors.ts'
import { Bat } from './bat.ts'
import { highAt, lowAt, mebibyteOf, reservedBitsOf, stateOf } from './bat-entry.ts'
import {
  BAT_ENTRY_SIZE,
  BITMAP_PRESENT,
  FILE_PARAMETERS,
  fileIdentifier,
  fileParameters,
  header,
  LOG_SECTOR_SIZE,
  LOGICAL_SECTOR_SIZE,
  logEntryHeader,
  logicalSectorSize,
  METADATA_TABLE_SIZE,
  metadataEntry,
  metadataTableHeader,
  NOT_PRESENT,
  PARENT_LOCATOR,
  PAYLOAD_STATES,
  PHYSICAL_SECTOR_SIZE,
  physicalSectorSize,
  regionEntry,
  regionTableHeader,
  VIRTUAL_DISK_ID,
  VIRTUAL_DISK_SIZE,
  virtualDiskId,
  virtualDiskSize,
} from './format.ts'
import { isDirty, logOf } from './header.ts'
import { blockOfEntry, type Geometry, isBitmapEntry } from './layout.ts'
import { Log, type LogSequence } from './log.ts'
import { metadataItemName } from './metadata.ts'
import type { MetadataItem } from './metadata-table.ts'
import { regionName } from './region-table.ts'
import type { Problem } from './rules.ts'
import {
  type Describable,
  type FieldValue,
  fieldsOf,
  type InspectedField,
  type InspectedStructure,
  preview,
} from './structure-view.ts'
import { readStructures, type VhdxStructures } from './structures.ts'

/** Every structure of a file, readable or not. */
export interface Inspection {
  readonly fileSize: number
  /** In the order in which a reader needs them. */
  readonly structures: readonly InspectedStructure[]
  /** Every broken rule that reading the structures found. What the BAT and the log hold is judged by `checkVhdx`. */
  readonly problems: readonly Problem[]
}

/** How much to show. */
export interface InspectOptions {
  /** Shows these entries of the BAT one by one, at most 65536. */
  readonly batEntries?: { readonly first: number; readonly count: number } | undefined
}

const MAX_BAT_ENTRIES = 65536
/** As many as a log of 1 MiB can hold. */
const MAX_LOG_ENTRIES = 256

/** Describes every structure that can be found in `file`. Throws OptionError (TOO_MANY_ENTRIES), and what reading throws. */
export async function inspectVhdx(file: BlockDevice, options: InspectOptions = {}): Promise<Inspection> {
  const structures = await readStructures(file)
  const inspector = new Inspector(file, structures)
  await inspector.identifier()
  inspector.headers()
  inspector.regionTables()
  await inspector.log()
  await inspector.metadata()
  await inspector.bat(options.batEntries)
  return { fileSize: file.size, structures: inspector.shown, problems: structures.problems }
}

const ITEM_STRUCTS: Readonly<Record<string, Describable>> = {
  [FILE_PARAMETERS]: fileParameters,
  [VIRTUAL_DISK_SIZE]: virtualDiskSize,
  [VIRTUAL_DISK_ID]: virtualDiskId,
  [LOGICAL_SECTOR_SIZE]: logicalSectorSize,
  [PHYSICAL_SECTOR_SIZE]: physicalSectorSize,
}

type Facts = readonly (readonly [name: string, value: FieldValue])[]

class Inspector {
  readonly shown: InspectedStructure[] = []
  readonly #file: BlockDevice
  readonly #structures: VhdxStructures

  constructor(file: BlockDevice, structures: VhdxStructures) {
    this.#file = file
    this.#structures = structures
  }

  async identifier(): Promise<void> {
    const { creator } = this.#structures
    const bytes = await this.#bytes({ offset: 0, length: fileIdentifier.size })
    const fields = bytes && fieldsOf(fileIdentifier, bytes, 0, 0)
    const readable = fields?.map(field => (field.name === 'creator' ? { ...field, value: creator ?? '' } : field))
    this.#show('file identifier', 0, fileIdentifier.size, readable, creator === undefined ? 'bad' : undefined)
  }

  headers(): void {
    const { copies, current } = this.#structures.headers
    for (const [slot, { position, bytes, header: good }] of copies.entries()) {
      const role = position === current?.position ? 'current' : 'not current'
      const fields = bytes && fieldsOf(header, bytes, 0, position)
      this.#show(`header ${slot + 1}`, position, header.size, fields, good === undefined ? 'bad' : role)
    }
  }

  regionTables(): void {
    const { copies = [], regions = [] } = this.#structures.regionTables ?? {}
    const used = copies.find(copy => copy.valid)
    for (const [slot, { position, bytes, valid }] of copies.entries()) {
      const role = position === used?.position ? 'used' : 'spare'
      const fields = bytes && fieldsOf(regionTableHeader, bytes, 0, position)
      this.#show(`region table ${slot + 1}`, position, regionTableHeader.size, fields, valid ? role : 'bad')
    }
    for (const { guid, position } of regions) {
      const fields = fieldsOf(regionEntry, used!.bytes!, position - used!.position, used!.position)
      this.#show(`region entry: ${regionName(guid)}`, position, regionEntry.size, fields)
    }
  }

  async log(): Promise<void> {
    const { headers, problems } = this.#structures
    if (headers.current === undefined || problems.some(({ code }) => code === 'HEADER_LOG_PLACE')) return
    const place = logOf(headers.current.header)
    const log = new Log(this.#file, place)
    const { logGuid } = headers.current.header
    const active = isDirty(headers.current.header) ? await log.activeSequence(logGuid) : undefined
    const activeFacts: Facts = active === undefined ? [] : sequenceFacts(active, place)
    this.#facts('log', place, activeFacts, isDirty(headers.current.header) ? 'to be replayed' : 'clean')
    let count = 0
    for await (const { offset } of log.entries()) {
      if (++count > MAX_LOG_ENTRIES) continue
      const position = place.offset + offset
      const bytes = (await this.#bytes({ offset: position, length: LOG_SECTOR_SIZE }))!
      const status = active?.offsets.includes(offset) ? 'active' : 'of an earlier session'
      this.#show('log entry', position, logEntryHeader.size, fieldsOf(logEntryHeader, bytes, 0, position), status)
    }
    if (count > MAX_LOG_ENTRIES) this.#facts('further log entries', place, [['count', count - MAX_LOG_ENTRIES]])
  }

  async metadata(): Promise<void> {
    const region = this.#structures.regionTables?.metadata
    if (region === undefined) return
    const { items = [], metadata } = this.#structures.metadataRegion ?? {}
    const table = await this.#bytes({ offset: region.offset, length: METADATA_TABLE_SIZE })
    const fields = table && fieldsOf(metadataTableHeader, table, 0, region.offset)
    this.#show('metadata table', region.offset, metadataTableHeader.size, fields)
    for (const item of items) {
      const entry = fieldsOf(metadataEntry, table!, item.position - region.offset, region.offset)
      this.#show(`metadata entry: ${nameOf(item)}`, item.position, metadataEntry.size, entry)
      if (item.isPlaced && item.length > 0) await this.#item(item)
    }
    const locator = items.find(item => item.itemId === PARENT_LOCATOR && !item.isUser)
    if (locator && metadata?.parentLocator) this.#facts('parent locator', locator, [...metadata.parentLocator.entries])
  }

  async bat(wanted: InspectOptions['batEntries']): Promise<void> {
    const { regionTables, geometry } = this.#structures
    const region = regionTables?.bat
    if (region === undefined || geometry === undefined) return
    const size = geometry.batEntryCount * BAT_ENTRY_SIZE
    const facts: Facts = [
      ['entries', geometry.batEntryCount],
      ['payloadBlocks', geometry.blockCount],
      ['chunkRatio', geometry.chunkRatio],
    ]
    const isWhole = size <= region.length && region.offset + size <= this.#file.size
    const states = isWhole ? await stateFacts(new Bat(this.#file, region.offset, geometry)) : []
    this.#facts('BAT', region, [...facts, ...states], isWhole ? undefined : 'bad')
    if (wanted !== undefined && isWhole) await this.#batEntries(region, geometry, wanted)
  }

  async #item(item: MetadataItem): Promise<void> {
    const bytes = await this.#bytes(item)
    const structure = item.isUser ? undefined : ITEM_STRUCTS[item.itemId]
    const isKnown = bytes !== undefined && structure?.size === item.length
    const content = bytes && [{ name: 'bytes', position: item.offset, value: preview(bytes) }]
    const fields = isKnown ? fieldsOf(structure, bytes, 0, item.offset) : content
    this.#show(`metadata item: ${nameOf(item)}`, item.offset, item.length, fields)
  }

  async #batEntries(region: Range, geometry: Geometry, wanted: { first: number; count: number }): Promise<void> {
    if (wanted.count > MAX_BAT_ENTRIES) {
      throw new OptionError('TOO_MANY_ENTRIES', `${MAX_BAT_ENTRIES} BAT entries are the most that are shown at once`)
    }
    const first = Math.min(wanted.first, geometry.batEntryCount)
    const count = Math.min(wanted.count, geometry.batEntryCount - first)
    const range = { offset: region.offset + first * BAT_ENTRY_SIZE, length: count * BAT_ENTRY_SIZE }
    const bytes = (await this.#bytes(range))!
    const fields = Array.from({ length: count }, (_, n) => ({
      ...batEntry(bytes, n * BAT_ENTRY_SIZE, first + n, geometry.chunkRatio),
      position: range.offset + n * BAT_ENTRY_SIZE,
    }))
    this.#show('BAT entries', range.offset, range.length, fields)
  }

  #facts(name: string, { offset, length }: Range, facts: Facts, status?: string): void {
    this.#show(
      name,
      offset,
      length,
      facts.map(([name, value]) => ({ name, value, position: offset })),
      status,
    )
  }

  /** `fields` is undefined where the file ends before the structure does. */
  #show(name: string, position: number, size: number, fields?: readonly InspectedField[], status?: string): void {
    const problems = this.#structures.problems.filter(
      problem => problem.position >= position && problem.position < position + size,
    )
    const known = fields === undefined ? 'beyond the end of the file' : status
    this.shown.push({ name, position, size, ...(known && { status: known }), fields: fields ?? [], problems })
  }

  async #bytes(range: Range): Promise<Buffer | undefined> {
    if (endOf(range) > this.#file.size) return undefined
    const bytes = Buffer.alloc(range.length)
    await this.#file.read(range.offset, bytes)
    return bytes
  }
}

const nameOf = (item: MetadataItem) => metadataItemName(item) ?? `${item.isUser ? 'user' : 'unknown'} ${item.itemId}`

const sequenceFacts = ({ offsets, last }: LogSequence, log: Range): Facts => [
  ['activeEntries', offsets.length],
  ['replayFrom', log.offset + last.header.tail],
  ['lastSequenceNumber', last.header.sequenceNumber],
]

/** How many blocks are in each state that occurs. */
async function stateFacts(bat: Bat): Promise<Facts> {
  const counts = new Map<string, number>()
  for await (const { kind, count } of bat.runs(stateOf)) {
    const state = PAYLOAD_STATES[kind]!
    counts.set(state, (counts.get(state) ?? 0) + count)
  }
  return [...counts]
}

function batEntry(bytes: Buffer, at: number, index: number, chunkRatio: number): { name: string; value: string } {
  const [low, high] = [lowAt(bytes, at), highAt(bytes, at)]
  const [state, reserved, mebibyte] = [stateOf(low), reservedBitsOf(low), mebibyteOf(low, high)]
  const block = blockOfEntry(index, chunkRatio)
  const isBitmap = isBitmapEntry(index, chunkRatio)
  const bitmapStates: Readonly<Record<number, string>> = { [NOT_PRESENT]: 'notPresent', [BITMAP_PRESENT]: 'present' }
  const word = isBitmap ? (bitmapStates[state] ?? `reserved${state}`) : PAYLOAD_STATES[state]!
  const name = isBitmap ? `bitmap ${block / chunkRatio - 1}` : `block ${block}`
  return { name, value: `${word}${mebibyte > 0 ? ` at MiB ${mebibyte}` : ''}${reserved > 0 ? ' reserved bits' : ''}` }
}
