/**
 * How an image is repaired: all that will be different, and what is lost, found by reading alone. A plan is only given
 * out when `check` finds nothing wrong with what it leads to, but for what is another command's to mend.
 */
import { NIL_GUID } from '../binary/guid.ts'
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { MemoryDevice } from '../device/memory-device.ts'
import { endOf, intersect, normalizeRanges, type Range } from '../device/ranges.ts'
import { type DiskImageError, FormatError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { Bat } from './bat.ts'
import { type CheckResult, checkVhdx } from './check.ts'
import {
  BAT_ENTRY_SIZE,
  FILE_PARAMETERS,
  fileParameters,
  HEADER_POSITIONS,
  HEADER_SIZE,
  IS_USER,
  MAX_FILE_SIZE,
  REGION_REQUIRED,
  REGION_TABLE_POSITIONS,
  REPAIR_NOTE,
  regionEntry,
} from './format.ts'
import { isDirty } from './header.ts'
import { HeaderWriter } from './header-writer.ts'
import { batRegionLength } from './layout.ts'
import type { LostRanges } from './lost-ranges.ts'
import { findItem, readMetadataRegion } from './metadata.ts'
import { MetadataWriter } from './metadata-writer.ts'
import { NEW_LOG } from './new-image.ts'
import { type Region, regionTableBytes } from './region-table.ts'
import { BatRepair } from './repair-bat.ts'
import { type HeaderRepair, type RepairChoices, repairHeaders } from './repair-headers.ts'
import { type MetadataRepair, repairMetadata } from './repair-metadata.ts'
import { decodeRepairNote, encodeRepairNote } from './repair-note.ts'
import { type RegionCandidate, type RegionRepair, regionCandidates, repairRegions } from './repair-regions.ts'
import { RepairedFile } from './repaired-file.ts'
import { REPAIRS, type RepairStep, refusal, repairStep, stepOf } from './repairs.ts'
import { errorOf } from './rules.ts'
import { StructureReader } from './structure-reader.ts'
import { type Area, checkBatSize, checkOverlaps, listAreas } from './structures.ts'

export interface RepairPlan {
  /** What check says of the file as it is. */
  readonly before: CheckResult
  /** What check will say of it. */
  readonly after: CheckResult
  /** The file as it will be. */
  readonly repaired: BlockDevice
  /** Where it differs from what it is, in the order in which that has to reach the medium. None: there is nothing to do. */
  readonly stages: readonly RepairStage[]
  readonly steps: readonly RepairStep[]
  readonly lost: LostRanges
  readonly findings: readonly Finding[]
}

/** Ranges that may reach the medium in any order. */
export interface RepairStage {
  readonly ranges: () => AsyncIterable<Range> | Iterable<Range>
  /** What the file has then, where that is not what it has in the end. */
  readonly after?: BlockDevice
}

const NOTHING_LOST: LostRanges = { bytes: 0, ranges: [], truncated: false }

/**
 * Plans the repair of `file`. `isNoted`: the image gets a note of what is lost. Throws FormatError and UnsupportedError with the code of the rule that keeps it from being
 * repaired, and says what can be done instead.
 */
export async function planRepair(
  file: BlockDevice,
  choices: RepairChoices = {},
  { isNoted = true }: { isNoted?: boolean } = {},
): Promise<RepairPlan> {
  if (file.size > MAX_FILE_SIZE) {
    throw new UnsupportedError(
      'FILE_TOO_LARGE',
      `the file has ${file.size} bytes, more than any image: it is not repaired`,
    )
  }
  const before = await checkVhdx(file)
  if (before.problems.every(({ code }) => REPAIRS[code].fate === 'left')) {
    return { before, after: before, repaired: file, stages: [], steps: [], lost: NOTHING_LOST, findings: [] }
  }
  const [first] = before.problems
  // Neither identifier nor header: all that is said of it is that.
  if (before.problems.length === 1 && first!.code === 'IDENTIFIER_SIGNATURE') throw errorOf(first!)
  return new Planner(file, before, isNoted).plan(choices)
}

/** Where everything lies, by one of the region tables. */
interface Layout {
  readonly regions: RegionRepair
  readonly bat: Region
  readonly metadata: MetadataRepair
  /** All that no block may lie on; without the log where that has to move. */
  readonly areas: readonly Area[]
  readonly log: Range | undefined
}

class Planner {
  readonly #file: BlockDevice
  readonly #before: CheckResult
  readonly #isNoted: boolean
  readonly #steps: RepairStep[] = []
  readonly #findings: Finding[] = []

  constructor(file: BlockDevice, before: CheckResult, isNoted: boolean) {
    this.#file = file
    this.#before = before
    this.#isNoted = isNoted
  }

  async plan(choices: RepairChoices): Promise<RepairPlan> {
    const headers = await repairHeaders(this.#file, choices)
    const layout = await bestLayout(headers)
    this.#steps.push(...headers.steps, ...layout.regions.steps, ...layout.metadata.steps)
    this.#findings.push(...headers.findings, ...layout.metadata.findings)

    const repaired = new RepairedFile(headers.content)
    const bat = await this.#repairBat(repaired, headers, layout)
    await this.#patchStructures(repaired, layout, bat)
    const isHarmed = bat.lost.bytes > 0 || headers.findings.some(({ code }) => code === 'LOG_DISCARDED')
    if (isHarmed && this.#isNoted) {
      await this.#addNote(repaired, headers, layout, bat.lost)
    }
    const mark = new RepairedFile(this.#file)
    const log = layout.log ?? { offset: bat.allocate(MiB, NEW_LOG.offset), length: MiB }
    repaired.size = bat.end
    await writeHeaders(headers, log, mark, repaired)

    const after = await checkVhdx(repaired)
    const left = after.problems.find(({ code }) => REPAIRS[code].fate !== 'left')
    if (left !== undefined) throw refusal(left)
    const stages = this.#stages(headers, layout, mark, repaired)
    return {
      before: this.#before,
      after,
      repaired,
      stages,
      steps: this.#steps,
      lost: bat.lost,
      findings: this.#findings,
    }
  }

  /** Looks at every entry, and puts the BAT that comes of it, and blocks that have to move, into `repaired`. */
  async #repairBat(
    repaired: RepairedFile,
    headers: HeaderRepair,
    { bat, metadata, areas }: Layout,
  ): Promise<BatRepair> {
    const { geometry } = metadata
    const place = { offset: bat.offset, length: geometry.batEntryCount * BAT_ENTRY_SIZE }
    repaired.size = Math.max(repaired.size, endOf(place))
    const repair = new BatRepair({ geometry, offset: bat.offset, areas, knownSize: headers.knownSize })
    const table = new Bat(repaired, bat.offset, geometry)
    for await (const page of table.pages()) repair.page(page)
    if (repair.hasKeptSpace) for await (const page of table.pages()) repair.keepSpace(page)
    repaired.copies = repair.copies()
    repaired.bat = { ...place, mend: page => repair.mend(page) }
    this.#tell(repair)
    const { doubtful } = repair
    if (doubtful.length > 0) {
      const [first] = doubtful
      const message = `${doubtful.length} blocks, the first at byte ${first!.offset} of the disk, were in the same place as others: of each pair one reads what is not its own, and which one is not known`
      this.#findings.push({ code: 'BLOCKS_SHARED', message, details: { ranges: doubtful } })
    }
    return repair
  }

  /** What was done to the BAT and to the file's length: one line for each rule. */
  #tell({ counts }: BatRepair): void {
    for (const [code, count] of counts) {
      const entries = `${count} ${count === 1 ? 'entry' : 'entries'} of the BAT`
      const known = this.#before.problems.find(problem => problem.code === code)
      if (code === 'REGION_BEYOND_END') {
        this.#steps.push(repairStep(code, entries, 'they lay behind the end of the file, and their blocks are lost'))
      } else if (known === undefined) this.#steps.push(repairStep(code, entries))
      else this.#steps.push(repairStep(code, count === 1 ? known.message : `${known.message}, one of ${entries}`))
    }
    const ofFile = ['IDENTIFIER_SIGNATURE', 'FILE_ODD_LENGTH', 'FILE_TRAILING_SPACE']
    this.#steps.push(...this.#before.problems.filter(({ code }) => ofFile.includes(code)).map(stepOf))
  }

  async #patchStructures(repaired: RepairedFile, { regions, bat, metadata }: Layout, repair: BatRepair): Promise<void> {
    await repaired.patch(0, Buffer.from('vhdxfile'))
    const table = regions.table ?? regionTableBytes(regions.regions.map(region => regionBytes(region, bat)))
    for (const position of REGION_TABLE_POSITIONS) await repaired.patch(position, table)
    for (const { position, bytes } of metadata.patches) await repaired.patch(position, bytes)
    const { leaveBlocksAllocated } = metadata.metadata
    if (!leaveBlocksAllocated || repair.present === metadata.geometry.blockCount) return
    const { items } = await readMetadataRegion(new StructureReader(repaired), regions.metadata)
    const item = findItem(items, FILE_PARAMETERS)!
    const parameters = { blockSize: metadata.metadata.blockSize, flags: 0 }
    await repaired.patch(item.offset, fileParameters.toBuffer(parameters))
    this.#steps.push(repairStep('FIXED_NOT_ALLOCATED', 'blocks of a fixed image are not in the file'))
  }

  /** Says in the image what of it is lost, now and before. */
  async #addNote(repaired: RepairedFile, headers: HeaderRepair, { regions }: Layout, lost: LostRanges): Promise<void> {
    const { items } = await readMetadataRegion(new StructureReader(repaired), regions.metadata)
    const earlier = items.find(item => item.isUser && item.itemId === REPAIR_NOTE)
    const bytes = Buffer.alloc(earlier?.length ?? 0)
    if (earlier !== undefined) await repaired.read(earlier.offset, bytes)
    const before = earlier === undefined ? undefined : earlierNote(bytes, earlier.offset)
    const data = encodeRepairNote({
      dataWriteGuid: headers.header.dataWriteGuid,
      repairedAt: new Date(),
      lostBytes: lost.bytes + (before?.lostBytes ?? 0),
      ranges: normalizeRanges([...lost.ranges, ...(before?.ranges ?? [])]),
      isTruncated: lost.truncated || (before?.isTruncated ?? false),
      isLogDiscarded:
        headers.findings.some(({ code }) => code === 'LOG_DISCARDED') || (before?.isLogDiscarded ?? false),
    })
    try {
      const { unnamed, named } = new MetadataWriter(regions.metadata, items).changes(
        [{ itemId: REPAIR_NOTE, flags: IS_USER, data }],
        [],
      )
      for (const { position, bytes } of [...unnamed, ...named]) await repaired.patch(position, bytes)
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error
      const message = 'the metadata of the image has no room for a note of what is lost: keep the report of this repair'
      this.#findings.push({ code: 'NO_ROOM_FOR_NOTE', message })
    }
  }

  #stages(headers: HeaderRepair, { bat }: Layout, mark: RepairedFile, repaired: RepairedFile): RepairStage[] {
    const file = this.#file
    const common = { offset: 0, length: Math.min(file.size, repaired.size) }
    const isHeader = ({ offset }: Range) => HEADER_POSITIONS.some(position => position === offset)
    async function* structures() {
      for (const range of [...repaired.patchedRanges(), bat]) {
        const part = intersect(range, common)
        if (part !== undefined && !isHeader(part)) yield part
      }
      for (const range of headers.replayed?.replayedRanges() ?? []) {
        const part = intersect(range, common)
        // Longer ones are zeros: where the file has a hole there is nothing to do.
        if (part !== undefined && part.length > PAGE) yield* file.dataRanges(part)
        else if (part !== undefined) yield part
      }
    }
    const growth = { offset: file.size, length: Math.max(0, repaired.size - file.size) }
    const copies = repaired.copies.flatMap(({ to, length }) => intersect({ offset: to, length }, common) ?? [])
    return [
      { ranges: () => mark.patchedRanges(), after: mark },
      { ranges: () => [...copies, growth] },
      { ranges: structures },
      ...writingOrder(headers.position).map(offset => ({ ranges: () => [{ offset, length: HEADER_SIZE }] })),
    ]
  }
}

const PAGE = 4096

/** Puts the headers as they will be into `repaired`, and the one that is written before all else into `mark`. */
async function writeHeaders(
  { header, position }: HeaderRepair,
  log: Range,
  mark: RepairedFile,
  repaired: RepairedFile,
): Promise<void> {
  const section = new MemoryDevice(HEADER_POSITIONS[1] + HEADER_SIZE)
  const writer = new HeaderWriter(section, { position: position ?? HEADER_POSITIONS[1], header })
  const bytesAt = (position: number) => section.content.subarray(position, position + HEADER_SIZE)
  const fileWriteGuid = crypto.randomUUID()
  if (position !== undefined) {
    await writer.update({ fileWriteGuid })
    const other = otherThan(position)
    await mark.patch(other, bytesAt(other))
  }
  const place = { logOffset: log.offset, logLength: log.length }
  await writer.update({ fileWriteGuid, logGuid: NIL_GUID, logVersion: 0, ...place })
  await writer.update({})
  for (const position of HEADER_POSITIONS) await repaired.patch(position, bytesAt(position))
}

/** Which of the headers is written first, so that one of them is good at any time. */
const writingOrder = (position: number = HEADER_POSITIONS[0]) => [position, otherThan(position)]

const otherThan = (position: number) => HEADER_POSITIONS.find(place => place !== position)!

/** The layout by the first table that leads to an image. Throws what keeps the best one from it. */
async function bestLayout(headers: HeaderRepair): Promise<Layout> {
  const candidates = await regionCandidates(headers.content)
  const failures: DiskImageError[] = []
  for (const candidate of candidates) {
    try {
      return await layoutBy(candidate, headers)
    } catch (error) {
      if (!(error instanceof FormatError || error instanceof UnsupportedError)) throw error
      const { none } = candidate
      failures.push(none === undefined ? error : refusal(none, `By what they have in common, ${error.message}`))
    }
  }
  throw failures[0]!
}

async function layoutBy(
  candidate: RegionCandidate,
  { content, header, log, knownSize }: HeaderRepair,
): Promise<Layout> {
  const regions = await repairRegions(content, candidate, knownSize)
  const known = new RepairedFile(content)
  known.size = knownSize
  const metadata = await repairMetadata(known, regions.metadata)
  const needed = batRegionLength(metadata.geometry.batEntryCount)
  const bat = { ...regions.bat, length: regions.isBatCut ? needed : regions.bat.length }
  const reader = new StructureReader(known)
  checkBatSize(reader, { bat }, metadata.geometry)
  const all = { regions: regions.regions.map(region => (region === regions.bat ? bat : region)) }
  const fixed = listAreas({ current: undefined }, all)
  checkOverlaps(reader, fixed)
  const [hindrance] = reader.problems
  if (hindrance !== undefined) throw refusal(hindrance, NOT_SURE)
  const withLog = log && [...fixed, { name: 'log', position: 0, ...log }].sort((a, b) => a.offset - b.offset)
  if (withLog === undefined) return { regions, bat, metadata, areas: fixed, log }
  checkOverlaps(reader, withLog)
  const [overlap] = reader.problems
  if (overlap === undefined) return { regions, bat, metadata, areas: withLog, log }
  // Entries that have to be replayed lie where a region lies: one of the two is not what it was.
  if (isDirty(header)) throw refusal(overlap, NOT_SURE)
  return {
    regions: { ...regions, steps: [...regions.steps, stepOf(overlap)] },
    bat,
    metadata,
    areas: fixed,
    log: undefined,
  }
}

const NOT_SURE = 'Which of the two is as it was is not sure: restore the file from a copy'

function regionBytes({ guid, required, ...region }: Region, bat: Region): Buffer {
  const { offset, length } = guid === bat.guid ? bat : region
  return regionEntry.toBuffer({ guid, fileOffset: offset, length, flags: required ? REGION_REQUIRED : 0 })
}

/** What an earlier repair could not save; undefined where its note is damaged. */
function earlierNote(bytes: Buffer, position: number) {
  try {
    return decodeRepairNote(bytes, position)
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}
