/** All of a VHDX file but its blocks: what opening, checking and inspecting have in common. */
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import { readFileIdentifier } from './file-identifier.ts'
import { HEADER_SECTION_SIZE, header, regionEntry } from './format.ts'
import { type CurrentHeader, type Headers, isDirty, logOf, readHeaders } from './header.ts'
import { batRegionLength, type Geometry, geometryOf } from './layout.ts'
import { type LogReplay, readReplay } from './log-replay.ts'
import { type Metadata, type MetadataRegion, readMetadataRegion } from './metadata.ts'
import { type Region, type RegionTables, readRegionTables, regionName } from './region-table.ts'
import { ReplayedFile } from './replayed-file.ts'
import { atByte, errorOf, type Problem, RULES } from './rules.ts'
import { StructureReader } from './structure-reader.ts'

/** A part of the file that no block may touch. */
export interface Area extends Range {
  readonly name: string
  /** Absolute byte of what says that it lies there. */
  readonly position: number
}

export type LogState = 'clean' | 'replayed' | 'unusable'

export interface VhdxStructures {
  /** What the identifier says; undefined when its signature is missing. */
  readonly creator: string | undefined
  readonly headers: Headers
  /** 'replayed': in memory, and all that follows is what it makes of the file. 'unusable': what follows may be wrong. */
  readonly log: LogState
  readonly replay: LogReplay | undefined
  /** The file with the log replayed: what all but identifier, headers and log has to be read from. */
  readonly file: BlockDevice
  readonly regionTables: RegionTables | undefined
  /** The header section, the log and the regions, known and unknown. */
  readonly areas: readonly Area[]
  readonly metadataRegion: MetadataRegion | undefined
  readonly geometry: Geometry | undefined
  /** In the order they were found. */
  readonly problems: readonly Problem[]
}

/** Reads and checks every structure of the file, going on after a problem where it can. Reads no BAT, and no log that is clean. */
export async function readStructures(file: BlockDevice): Promise<VhdxStructures> {
  const first = new StructureReader(file)
  const { problems } = first
  const creator = await readFileIdentifier(first)
  const headers = await readHeaders(first)
  const { current } = headers
  const nothing = { regionTables: undefined, areas: [], metadataRegion: undefined, geometry: undefined }
  // Neither identifier nor header: this is no VHDX file, and more words about it would only hide that.
  if (creator === undefined && current === undefined) {
    const unread = { log: 'clean', replay: undefined, file } as const
    return { creator, headers, ...unread, ...nothing, problems: problems.slice(0, 1) }
  }

  const replayed = await replayLog(first, current)
  const reader = new StructureReader(replayed.file, problems)
  const regionTables = await readRegionTables(reader)
  const areas = listAreas(headers, regionTables)
  checkOverlaps(reader, areas)
  const region = regionTables.metadata
  const metadataRegion = region && (await readMetadataRegion(reader, region))
  const geometry = metadataRegion?.metadata && geometryOf(metadataRegion.metadata)
  if (geometry !== undefined) checkBatSize(reader, regionTables, geometry)
  return { creator, headers, ...replayed, regionTables, areas, metadataRegion, geometry, problems }
}

/** The structures of an image that can be read. */
export interface SoundStructures extends VhdxStructures {
  readonly creator: string
  readonly headers: Headers & { readonly current: CurrentHeader }
  readonly log: 'clean' | 'replayed'
  readonly regionTables: RegionTables & { readonly bat: Region; readonly metadata: Region }
  readonly metadataRegion: MetadataRegion & { readonly metadata: Metadata }
  readonly geometry: Geometry
}

/** The structures of `file`. Throws FormatError or UnsupportedError with the code of the first rule that keeps it from being read. */
export async function readSoundStructures(file: BlockDevice): Promise<SoundStructures> {
  const structures = await readStructures(file)
  const obstacle = structures.problems.find(
    ({ code, severity }) => severity === 'error' || 'unsupported' in RULES[code],
  )
  if (obstacle !== undefined) throw errorOf(obstacle)
  // What is undefined or unusable has left a problem behind.
  return structures as SoundStructures
}

/** The file as it is when its log is replayed; as it stands when there is nothing to replay, or nothing that can be. */
async function replayLog(
  reader: StructureReader,
  current: CurrentHeader | undefined,
): Promise<Pick<VhdxStructures, 'log' | 'replay' | 'file'>> {
  const { file } = reader
  if (current === undefined || !isDirty(current.header)) return { log: 'clean', replay: undefined, file }
  // An error so far may be one in the log's place or version.
  const isSound = reader.problems.every(({ severity }) => severity !== 'error')
  const replay = isSound ? await readReplay(reader, current) : undefined
  if (replay === undefined) return { log: 'unusable', replay, file }
  reader.report('LOG_DIRTY', {
    structure: header.name,
    field: 'logGuid',
    position: current.position + header.offsetOf('logGuid'),
    expected: 'zero, as in an image that was closed',
    actual: `${current.header.logGuid}: the log with that id has to be replayed first, which was done in memory`,
  })
  return { log: 'replayed', replay, file: new ReplayedFile(file, replay) }
}

/** What of the file no block may touch, in order. */
export function listAreas({ current }: Pick<Headers, 'current'>, { regions }: Pick<RegionTables, 'regions'>): Area[] {
  const areas: Area[] = [{ name: 'header section', position: 0, offset: 0, length: HEADER_SECTION_SIZE }]
  if (current !== undefined) {
    areas.push({ name: 'log', position: current.position + header.offsetOf('logOffset'), ...logOf(current.header) })
  }
  for (const { guid, offset, length, position } of regions)
    areas.push({ name: regionName(guid), position, offset, length })
  return areas.sort((a, b) => a.offset - b.offset)
}

/** Reports each of `areas`, which are in order, that begins before another one ends. */
export function checkOverlaps(reader: StructureReader, areas: readonly Area[]): void {
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

/** Reports a BAT region without room for all entries. */
export function checkBatSize(reader: StructureReader, { bat }: Pick<RegionTables, 'bat'>, geometry: Geometry): void {
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
