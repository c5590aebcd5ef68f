/** Shows every structure of a VHDX file with its place and what its fields say, of damaged files too. */
import type { BlockDevice } from '../device/block-device.ts'
import {
  FILE_PARAMETERS,
  fileIdentifier,
  fileParameters,
  header,
  LOGICAL_SECTOR_SIZE,
  logicalSectorSize,
  METADATA_TABLE_SIZE,
  metadataEntry,
  metadataTableHeader,
  PARENT_LOCATOR,
  PHYSICAL_SECTOR_SIZE,
  physicalSectorSize,
  regionEntry,
  regionTableHeader,
  VIRTUAL_DISK_ID,
  VIRTUAL_DISK_SIZE,
  virtualDiskId,
  virtualDiskSize,
} from './format.ts'
import { type BatEntries, inspectBat } from './inspect-bat.ts'
import { inspectLog } from './inspect-log.ts'
import { findItem, metadataItemName } from './metadata.ts'
import type { MetadataItem } from './metadata-table.ts'
import { regionName } from './region-table.ts'
import type { Problem } from './rules.ts'
import { StructureSheet } from './structure-sheet.ts'
import { type Describable, fieldsOf, type InspectedStructure, preview } from './structure-view.ts'
import { readStructures } from './structures.ts'

/** Every structure of a file, readable or not. */
export interface Inspection {
  readonly fileSize: number
  /**
   * In the order in which a reader needs them. When the log has to be replayed, what it changes is shown as it is after
   * the replay, and its status says so.
   */
  readonly structures: readonly InspectedStructure[]
  /** Every broken rule that reading the structures found. What the BAT holds is judged by `checkVhdx`. */
  readonly problems: readonly Problem[]
}

/** How much to show. */
export interface InspectOptions {
  /** Shows these entries of the BAT one by one, at most 65536. */
  readonly batEntries?: BatEntries | undefined
}

/** Describes every structure that can be found in `file`. Throws OptionError (TOO_MANY_ENTRIES), and what reading throws. */
export async function inspectVhdx(file: BlockDevice, options: InspectOptions = {}): Promise<Inspection> {
  const structures = await readStructures(file)
  const sheet = new StructureSheet(structures)
  await showIdentifier(sheet)
  showHeaders(sheet)
  showRegionTables(sheet)
  await inspectLog(sheet, file)
  await showMetadata(sheet)
  await inspectBat(sheet, options.batEntries)
  return { fileSize: file.size, structures: sheet.shown, problems: structures.problems }
}

async function showIdentifier(sheet: StructureSheet): Promise<void> {
  const { creator } = sheet.structures
  const bytes = await sheet.bytes({ offset: 0, length: fileIdentifier.size })
  const fields = bytes && fieldsOf(fileIdentifier, bytes, 0, 0)
  const readable = fields?.map(field => (field.name === 'creator' ? { ...field, value: creator ?? '' } : field))
  sheet.show('file identifier', 0, fileIdentifier.size, readable, creator === undefined ? 'bad' : undefined)
}

function showHeaders(sheet: StructureSheet): void {
  const { copies, current } = sheet.structures.headers
  for (const [slot, { position, bytes, header: good }] of copies.entries()) {
    const role = position === current?.position ? 'current' : 'not current'
    const fields = bytes && fieldsOf(header, bytes, 0, position)
    sheet.show(`header ${slot + 1}`, position, header.size, fields, good === undefined ? 'bad' : role)
  }
}

function showRegionTables(sheet: StructureSheet): void {
  const { copies = [], regions = [] } = sheet.structures.regionTables ?? {}
  const used = copies.find(copy => copy.valid)
  for (const [slot, { position, bytes, valid }] of copies.entries()) {
    const role = position === used?.position ? 'used' : 'spare'
    const fields = bytes && fieldsOf(regionTableHeader, bytes, 0, position)
    sheet.show(`region table ${slot + 1}`, position, regionTableHeader.size, fields, valid ? role : 'bad')
  }
  for (const { guid, position } of regions) {
    const fields = fieldsOf(regionEntry, used!.bytes!, position - used!.position, used!.position)
    sheet.show(`region entry: ${regionName(guid)}`, position, regionEntry.size, fields)
  }
}

async function showMetadata(sheet: StructureSheet): Promise<void> {
  const region = sheet.structures.regionTables?.metadata
  if (region === undefined) return
  const { items = [], metadata } = sheet.structures.metadataRegion ?? {}
  const table = await sheet.bytes({ offset: region.offset, length: METADATA_TABLE_SIZE })
  const fields = table && fieldsOf(metadataTableHeader, table, 0, region.offset)
  sheet.show('metadata table', region.offset, metadataTableHeader.size, fields)
  for (const item of items) {
    const entry = fieldsOf(metadataEntry, table!, item.position - region.offset, region.offset)
    sheet.show(`metadata entry: ${nameOf(item)}`, item.position, metadataEntry.size, entry)
    if (item.isPlaced && item.length > 0) await showItem(sheet, item)
  }
  const locator = findItem(items, PARENT_LOCATOR)
  if (locator && metadata?.parentLocator) sheet.facts('parent locator', locator, [...metadata.parentLocator.entries])
}

const ITEM_STRUCTS: Readonly<Record<string, Describable>> = {
  [FILE_PARAMETERS]: fileParameters,
  [VIRTUAL_DISK_SIZE]: virtualDiskSize,
  [VIRTUAL_DISK_ID]: virtualDiskId,
  [LOGICAL_SECTOR_SIZE]: logicalSectorSize,
  [PHYSICAL_SECTOR_SIZE]: physicalSectorSize,
}

async function showItem(sheet: StructureSheet, item: MetadataItem): Promise<void> {
  const bytes = await sheet.bytes(item)
  const structure = item.isUser ? undefined : ITEM_STRUCTS[item.itemId]
  const isKnown = bytes !== undefined && structure?.size === item.length
  const content = bytes && [{ name: 'bytes', position: item.offset, value: preview(bytes) }]
  const fields = isKnown ? fieldsOf(structure, bytes, 0, item.offset) : content
  sheet.show(`metadata item: ${nameOf(item)}`, item.offset, item.length, fields)
}

const nameOf = (item: MetadataItem) => metadataItemName(item) ?? `${item.isUser ? 'user' : 'unknown'} ${item.itemId}`
