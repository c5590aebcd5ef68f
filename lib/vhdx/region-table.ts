/** The two copies of the region table, [MS-VHDX] 2.2.3: where the BAT and the metadata lie. */
import { crc32c } from '../binary/crc32c.ts'
import { MiB } from '../binary/size.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import {
  BAT_REGION,
  MAX_REGION_ENTRIES,
  METADATA_REGION,
  REGION_REQUIRED,
  REGION_TABLE_POSITIONS,
  REGION_TABLE_SIZE,
  type RegionEntry,
  regionEntry,
  regionTableHeader,
} from './format.ts'
import type { Breach } from './rules.ts'
import { flawOf, type StructureReader } from './structure-reader.ts'

/** A region of the file. */
export interface Region extends Range {
  readonly guid: string
  readonly required: boolean
  /** Absolute byte of its entry in the table. */
  readonly position: number
}

export interface RegionTableCopy {
  readonly position: number
  /** Its 64 KiB; undefined where the file is too short. */
  readonly bytes: Buffer | undefined
  readonly valid: boolean
}

export interface RegionTables {
  readonly copies: readonly RegionTableCopy[]
  /** Of the copy that is used. */
  readonly regions: readonly Region[]
  readonly bat: Region | undefined
  readonly metadata: Region | undefined
}

const NAMES: Readonly<Record<string, string>> = { [BAT_REGION]: 'BAT', [METADATA_REGION]: 'metadata' }

export const regionName = (guid: string) => NAMES[guid] ?? `unknown region ${guid}`

/** Reads both copies and checks the regions of the first good one. */
export async function readRegionTables(reader: StructureReader): Promise<RegionTables> {
  const copies: RegionTableCopy[] = []
  for (const position of REGION_TABLE_POSITIONS) copies.push(await readCopy(reader, position))
  const used = copies.find(copy => copy.valid)
  const spare = copies.findLast(copy => copy.valid)
  const structure = regionTableHeader.name
  if (used === undefined || spare === undefined) {
    const position = REGION_TABLE_POSITIONS[0]
    const expected = 'good in one of two copies'
    reader.report('REGION_TABLE_NONE', { structure, position, expected, actual: 'bad in both' })
    return { copies, regions: [], bat: undefined, metadata: undefined }
  }
  if (!used.bytes!.equals(spare.bytes!)) {
    const { position } = spare
    reader.report('REGION_TABLE_COPIES_DIFFER', {
      structure,
      position,
      expected: 'like the first copy',
      actual: 'other',
    })
  }
  const regions = readRegions(reader, used)
  return {
    copies,
    regions,
    bat: findRegion(reader, regions, BAT_REGION),
    metadata: findRegion(reader, regions, METADATA_REGION),
  }
}

/** A table with these entries, of 32 bytes each, and its checksum. */
export function regionTableBytes(entries: readonly Buffer[]): Buffer {
  const bytes = Buffer.alloc(REGION_TABLE_SIZE)
  const at = regionTableHeader.encode({ checksum: 0, entryCount: entries.length }, bytes)
  Buffer.concat(entries).copy(bytes, at)
  bytes.writeUInt32LE(crc32c(bytes), regionTableHeader.offsetOf('checksum'))
  return bytes
}

async function readCopy(reader: StructureReader, position: number): Promise<RegionTableCopy> {
  const structure = regionTableHeader.name
  const bytes = await reader.read(structure, { offset: position, length: REGION_TABLE_SIZE })
  if (bytes === undefined) return { position, bytes, valid: false }
  const flaw = flawOf(regionTableHeader, bytes)
  if (flaw !== undefined) reader.report('REGION_TABLE_COPY_BAD', { structure, position, ...flaw })
  return { position, bytes, valid: flaw === undefined }
}

function readRegions(reader: StructureReader, { bytes, position }: RegionTableCopy): Region[] {
  const { entryCount } = regionTableHeader.decode(bytes!, 0, position)
  if (entryCount > MAX_REGION_ENTRIES) {
    reader.report('REGION_COUNT', {
      structure: regionTableHeader.name,
      field: 'entryCount',
      position: position + regionTableHeader.offsetOf('entryCount'),
      expected: `at most ${MAX_REGION_ENTRIES}`,
      actual: `${entryCount}`,
    })
    return []
  }
  const regions: Region[] = []
  for (let index = 0; index < entryCount; index++) {
    const at = regionTableHeader.size + index * regionEntry.size
    const entry = reader.decode(regionEntry, bytes!, at, position)
    if (entry === undefined) continue
    const region = {
      guid: entry.guid,
      offset: entry.fileOffset,
      length: entry.length,
      required: entry.flags % 2 === REGION_REQUIRED,
      position: position + at,
    }
    checkRegion(reader, region, regions)
    regions.push(region)
  }
  return regions
}

function checkRegion(reader: StructureReader, region: Region, before: readonly Region[]): void {
  const breach = (field: keyof RegionEntry, expected: string, actual: string): Breach => ({
    structure: `${regionEntry.name} (${regionName(region.guid)})`,
    field,
    position: region.position + regionEntry.offsetOf(field),
    expected,
    actual,
  })
  if (before.some(({ guid }) => guid === region.guid)) {
    reader.report('REGION_DUPLICATE', breach('guid', 'in the table once', 'there twice'))
  }
  if (region.offset % MiB !== 0 || region.offset < MiB) {
    reader.report('REGION_PLACE', breach('fileOffset', 'a multiple of 1 MiB, at least 1 MiB', hex(region.offset)))
  }
  if (region.length % MiB !== 0 || region.length === 0) {
    reader.report('REGION_PLACE', breach('length', 'a multiple of 1 MiB, at least 1 MiB', hex(region.length)))
  }
  if (endOf(region) > reader.file.size) {
    const actual = `${hex(region.offset)} with ${hex(region.length)} bytes`
    reader.report(
      'REGION_BEYOND_END',
      breach('fileOffset', `inside the file of ${hex(reader.file.size)} bytes`, actual),
    )
  }
  const known = region.guid in NAMES
  if (known && !region.required) reader.report('REGION_NOT_REQUIRED', breach('flags', 'required', 'not required'))
  if (!known && region.required) {
    reader.report('REGION_UNKNOWN_REQUIRED', breach('guid', 'BAT or metadata, if it is required', region.guid))
  }
}

function findRegion(reader: StructureReader, regions: readonly Region[], guid: string): Region | undefined {
  const region = regions.find(region => region.guid === guid)
  if (region === undefined) {
    reader.report('REGION_MISSING', {
      structure: regionTableHeader.name,
      position: REGION_TABLE_POSITIONS[0],
      expected: `listing the ${regionName(guid)} region`,
      actual: 'without it',
    })
  }
  return region
}
