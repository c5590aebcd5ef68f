/** Which regions a repaired image has, [MS-VHDX] 2.2.3: those of the copy that can be used, put right. */
import { MiB, roundUp } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, intersect, type Range } from '../device/ranges.ts'
import {
  BAT_REGION,
  MAX_REGION_ENTRIES,
  METADATA_REGION,
  METADATA_TABLE_SIZE,
  metadataTableHeader,
  REGION_TABLE_POSITIONS,
  regionEntry,
  regionTableHeader,
} from './format.ts'
import { type Region, readRegionTables, regionTableBytes } from './region-table.ts'
import { RepairedFile } from './repaired-file.ts'
import { type RepairStep, refusal, stepOf } from './repairs.ts'
import type { Problem, RuleCode } from './rules.ts'
import { StructureReader } from './structure-reader.ts'

/** Regions as they will be. */
export interface RegionRepair {
  readonly regions: readonly Region[]
  readonly bat: Region
  readonly metadata: Region
  /** Whether the length of the BAT cannot be believed: it gets the one that its entries need. */
  readonly isBatCut: boolean
  /** The table, if nothing else of it changes. */
  readonly table: Buffer | undefined
  readonly steps: readonly RepairStep[]
}

/** A table that may be the one to go by. */
export interface RegionCandidate {
  readonly table: Buffer
  /** What is wrong with all copies, where it is only what those have in common. */
  readonly none?: Problem | undefined
  readonly steps: readonly RepairStep[]
}

const REFUSED: readonly RuleCode[] = ['REGION_COUNT', 'NUMBER_TOO_LARGE', 'REGION_UNKNOWN_REQUIRED', 'REGION_MISSING']

/**
 * The tables to try, the best first: the good copies, or what two bad ones agree on. Throws FormatError with the code of
 * the rule where there is none.
 */
export async function regionCandidates(content: BlockDevice): Promise<RegionCandidate[]> {
  const reader = new StructureReader(content)
  const { copies } = await readRegionTables(reader)
  const problemWith = (code: RuleCode) => reader.problems.find(problem => problem.code === code)
  const steps = reader.problems.filter(({ code }) => code === 'REGION_TABLE_COPY_BAD').map(stepOf)
  const none = problemWith('REGION_TABLE_NONE')
  if (none !== undefined) {
    const cut = problemWith('TRUNCATED')
    if (cut !== undefined) throw refusal(cut)
    const [first, second] = copies
    const table = agreedTable(first!.bytes!, second!.bytes!, none)
    return [{ table, none, steps: [...steps, stepOf(none)] }]
  }
  const differ = problemWith('REGION_TABLE_COPIES_DIFFER')
  const all = differ === undefined ? steps : [...steps, stepOf(differ)]
  return copies.filter(({ valid }) => valid).map(({ bytes }) => ({ table: bytes!, steps: all }))
}

/** The entries that two bad copies have in common, which lie 64 KiB apart. */
function agreedTable(first: Buffer, second: Buffer, none: Problem): Buffer {
  const entries: Buffer[] = []
  for (let index = 0; index < MAX_REGION_ENTRIES; index++) {
    const at = regionTableHeader.size + index * regionEntry.size
    const entry = first.subarray(at, at + regionEntry.size)
    if (entry.equals(second.subarray(at, at + regionEntry.size)) && entry.some(byte => byte !== 0)) entries.push(entry)
  }
  if (entries.length === 0) throw refusal(none, 'What is left of the two copies has nothing in common')
  return regionTableBytes(entries)
}

/** The regions of `candidate`, put right. Throws FormatError and UnsupportedError with the code of the rule that hinders it. */
export async function repairRegions(
  content: BlockDevice,
  { table, steps: before }: RegionCandidate,
  knownSize: number,
): Promise<RegionRepair> {
  const trial = new RepairedFile(content)
  for (const position of REGION_TABLE_POSITIONS) await trial.patch(position, table)
  trial.size = knownSize
  const reader = new StructureReader(trial)
  const read = await readRegionTables(reader)
  const hindrance = reader.problems.find(({ code }) => REFUSED.includes(code))
  if (hindrance !== undefined) throw refusal(hindrance)

  const problemsOf = ({ position }: Region) =>
    reader.problems.filter(problem => problem.position >= position && problem.position < position + regionEntry.size)
  const steps = [...before]
  const regions: Region[] = []
  let isBatCut = false
  for (const region of read.regions) {
    const problems = problemsOf(region)
    const codes = problems.map(({ code }) => code)
    const twin = regions.findIndex(({ guid }) => guid === region.guid)
    if (twin >= 0) {
      const kept = await betterOf(content, regions[twin]!, region)
      if (kept === undefined)
        throw refusal(problems.find(({ code }) => code === 'REGION_DUPLICATE')!, 'Both could be meant')
      regions[twin] = kept
    } else if (region.guid === BAT_REGION || region.guid === METADATA_REGION) {
      const hindrance = problems.find(problem => isLost(problem, region, knownSize))
      if (hindrance !== undefined) throw refusal(hindrance, LOST)
      const isOdd = codes.includes('REGION_PLACE')
      if (region.guid === BAT_REGION) isBatCut = isOdd || codes.includes('REGION_BEYOND_END')
      const length = isOdd ? roundUp(Math.max(region.length, 1), MiB) : region.length
      regions.push({ ...region, length, required: true })
    } else if (!codes.includes('REGION_BEYOND_END') && !codes.includes('REGION_PLACE')) regions.push(region)
    steps.push(...problems.map(stepOf))
  }
  const isChanged = steps.length > before.length
  return {
    regions,
    bat: regions.find(({ guid }) => guid === BAT_REGION)!,
    metadata: regions.find(({ guid }) => guid === METADATA_REGION)!,
    isBatCut,
    table: isChanged ? undefined : table,
    steps,
  }
}

const LOST = 'Where it lies, or what it held, is lost: restore the file from a copy'

/** Whether a region that is needed cannot be found, or is behind the end of the file with all that matters. */
function isLost({ code, details }: Problem, { guid, offset }: Region, knownSize: number): boolean {
  if (code === 'REGION_PLACE') return details?.field === 'fileOffset'
  if (code !== 'REGION_BEYOND_END') return false
  return guid === BAT_REGION ? offset >= knownSize : offset + METADATA_TABLE_SIZE > knownSize
}

/** Which of two regions with one id is such a region; undefined where that cannot be told. */
async function betterOf(content: BlockDevice, first: Region, second: Region): Promise<Region | undefined> {
  if (first.offset === second.offset && first.length === second.length) return first
  if (first.guid !== METADATA_REGION) return undefined
  const [isFirst, isSecond] = [await hasMetadata(content, first), await hasMetadata(content, second)]
  if (isFirst === isSecond) return undefined
  return isFirst ? first : { ...second, required: true }
}

async function hasMetadata(content: BlockDevice, region: Range): Promise<boolean> {
  const place = { offset: region.offset, length: metadataTableHeader.size }
  if (intersect(place, { offset: 0, length: content.size })?.length !== place.length) return false
  const head = Buffer.alloc(place.length)
  await content.read(place.offset, head)
  return metadataTableHeader.matches(head) && endOf(region) <= content.size
}
