/** All of a VHDX file but its blocks: what opening, checking and inspecting have in common. */
import type { ByteSource } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import { readFileIdentifier } from './file-identifier.ts'
import { HEADER_SECTION_SIZE, header, regionEntry } from './format.ts'
import { type Headers, isDirty, logOf, readHeaders } from './header.ts'
import { batRegionLength, type Geometry, geometryOf } from './layout.ts'
import { type MetadataRegion, readMetadataRegion } from './metadata.ts'
import { type RegionTables, readRegionTables, regionName } from './region-table.ts'
import { atByte, type Problem } from './rules.ts'
import { StructureReader } from './structure-reader.ts'

/** A part of the file that no block may touch. */
export interface Area extends Range {
  readonly name: string
  /** Absolute byte of what says that it lies there. */
  readonly position: number
}

export interface VhdxStructures {
  /** What the identifier says; undefined when its signature is missing. */
  readonly creator: string | undefined
  readonly headers: Headers
  readonly regionTables: RegionTables | undefined
  /** The header section, the log and the regions, known and unknown. */
  readonly areas: readonly Area[]
  readonly metadataRegion: MetadataRegion | undefined
  readonly geometry: Geometry | undefined
  /** In the order they were found. */
  readonly problems: readonly Problem[]
}

/** Reads and checks every structure of `file`, going on after a problem where it can. Never reads the BAT or the log. */
export async function readStructures(file: ByteSource): Promise<VhdxStructures> {
  const reader = new StructureReader(file)
  const { problems } = reader
  const creator = await readFileIdentifier(reader)
  const headers = await readHeaders(reader)
  const { current } = headers
  const nothing = { regionTables: undefined, areas: [], metadataRegion: undefined, geometry: undefined }
  // Neither identifier nor header: this is no VHDX file, and more words about it would only hide that.
  if (creator === undefined && current === undefined) {
    return { creator, headers, ...nothing, problems: problems.slice(0, 1) }
  }

  if (current !== undefined && isDirty(current.header)) reportDirty(reader, current)
  const regionTables = await readRegionTables(reader)
  const areas = listAreas(headers, regionTables)
  checkOverlaps(reader, areas)
  const region = regionTables.metadata
  const metadataRegion = region && (await readMetadataRegion(reader, region))
  const geometry = metadataRegion?.metadata && geometryOf(metadataRegion.metadata)
  if (geometry !== undefined) checkBatSize(reader, regionTables, geometry)
  return { creator, headers, regionTables, areas, metadataRegion, geometry, problems }
}

function reportDirty(reader: StructureReader, current: NonNullable<Headers['current']>): void {
  reader.report('LOG_DIRTY', {
    structure: header.name,
    field: 'logGuid',
    position: current.position + header.offsetOf('logGuid'),
    expected: 'zero, as in an image that was closed',
    actual: `${current.header.logGuid}: the log with that id has to be replayed first`,
  })
}

function listAreas({ current }: Headers, { regions }: RegionTables): Area[] {
  const areas: Area[] = [{ name: 'header section', position: 0, offset: 0, length: HEADER_SECTION_SIZE }]
  if (current !== undefined) {
    areas.push({ name: 'log', position: current.position + header.offsetOf('logOffset'), ...logOf(current.header) })
  }
  for (const { guid, offset, length, position } of regions)
    areas.push({ name: regionName(guid), position, offset, length })
  return areas.sort((a, b) => a.offset - b.offset)
}

function checkOverlaps(reader: StructureReader, areas: readonly Area[]): void {
  let last = areas[0]!
  for (const area of areas.slice(1)) {
    if (area.offset < endOf(last)) {
      reader.report('REGION_OVERLAP', {
        structure: `${regionEntry.name} (${area.name})`,
        position: area.position,
        expected: `behind the ${last.name}, which ends at ${atByte(endOf(last))}`,
        actual: `at ${atByte(area.offset)}`,
      })
    }
    if (endOf(area) > endOf(last)) last = area
  }
}

function checkBatSize(reader: StructureReader, { bat }: RegionTables, geometry: Geometry): void {
  const needed = batRegionLength(geometry.batEntryCount)
  if (bat === undefined || bat.length >= needed) return
  reader.report('BAT_TOO_SMALL', {
    structure: `${regionEntry.name} (BAT)`,
    field: 'length',
    position: bat.position + regionEntry.offsetOf('length'),
    expected: `at least ${hex(needed)} for ${geometry.batEntryCount} entries`,
    actual: hex(bat.length),
  })
}
