/** The doctor: every rule of the format against one file. Nothing is written and no parent is opened. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { Bat } from './bat.ts'
import { BatCheck } from './bat-check.ts'
import {
  BAT_ENTRY_SIZE,
  FILE_PARAMETERS,
  FULLY_PRESENT,
  fileParameters,
  PAYLOAD_STATES,
  type PayloadState,
} from './format.ts'
import { findItem, parentProblem } from './metadata.ts'
import { type Problem, problem, RULES, type RuleCode, type Severity } from './rules.ts'
import { readStructures, type VhdxStructures } from './structures.ts'

/** What a check should know beside the file itself. */
export interface CheckOptions {
  /** Bytes the host's file system has given the file, where that is known: fewer than its size means holes. */
  readonly allocatedBytes?: number | undefined
}

type BlockCounts = Readonly<Record<PayloadState, number>>

/** What a check found. */
export interface CheckResult {
  /** What the file says it is; undefined where it cannot be read. */
  readonly image: {
    readonly type: 'dynamic' | 'fixed' | 'differencing' | undefined
    readonly creator: string | undefined
    readonly fileSize: number
    readonly virtualSize: number | undefined
    readonly blockSize: number | undefined
  }
  /** In the order they were found. Of broken BAT entries the first hundred of each rule. */
  readonly problems: readonly Problem[]
  readonly summary: {
    readonly errors: number
    readonly warnings: number
    /** What was not looked at. With nothing but notes the file keeps every rule. */
    readonly notes: number
    /** How often each broken rule was found broken, which may be more often than `problems` tells. */
    readonly counts: Readonly<Partial<Record<RuleCode, number>>>
    /** How many blocks are in each state; undefined where the BAT could not be judged: it cannot be found, or the log cannot be replayed. */
    readonly blocks: BlockCounts | undefined
  }
}

/** Checks `file` against every rule in rules.ts. Throws only what reading the file throws. */
export async function checkVhdx(file: BlockDevice, options: CheckOptions = {}): Promise<CheckResult> {
  const structures = await readStructures(file)
  const bat = await checkBat(structures)
  const rest = [...checkFixed(structures, bat), ...checkFile(file, structures, bat, options)]
  const parent = structures.metadataRegion && parentProblem(structures.metadataRegion)
  const problems = [...structures.problems, ...(parent ? [parent] : []), ...(bat?.problems ?? []), ...rest]
  return { image: imageOf(file, structures), problems, summary: summaryOf(problems, bat) }
}

/** With one of these broken it is not sure where the BAT lies, or what lies there. */
const UNSURE_PLACE: readonly RuleCode[] = ['REGION_COUNT', 'REGION_DUPLICATE', 'REGION_PLACE', 'REGION_OVERLAP']

/** Undefined where the BAT cannot be judged. */
async function checkBat(structures: VhdxStructures): Promise<BatCheck | undefined> {
  const { file, log, headers, geometry, areas } = structures
  if (structures.problems.some(({ code }) => UNSURE_PLACE.includes(code))) return undefined
  const region = structures.regionTables?.bat
  if (geometry === undefined || region === undefined || headers.current === undefined) return undefined
  const needed: Range = { offset: region.offset, length: geometry.batEntryCount * BAT_ENTRY_SIZE }
  if (log === 'unusable' || needed.length > region.length || endOf(needed) > file.size) return undefined
  const check = new BatCheck(file.size, region.offset, geometry, areas)
  for await (const page of new Bat(file, region.offset, geometry).pages()) check.page(page)
  return check
}

/** A fixed image that lacks blocks: qemu makes such ones. */
function checkFixed({ metadataRegion, geometry }: VhdxStructures, bat: BatCheck | undefined): Problem[] {
  const item = findItem(metadataRegion?.items ?? [], FILE_PARAMETERS)
  if (!metadataRegion?.metadata?.leaveBlocksAllocated || !item || !geometry || !bat) return []
  const present = bat.states[FULLY_PRESENT]!
  if (present === geometry.blockCount) return []
  return [
    problem('FIXED_NOT_ALLOCATED', {
      structure: fileParameters.name,
      field: 'flags',
      position: item.offset + fileParameters.offsetOf('flags'),
      expected: `dynamic, or all ${geometry.blockCount} blocks present`,
      actual: `fixed with ${present} blocks present`,
    }),
  ]
}

/** What is said of the file as a whole. */
function checkFile(
  file: BlockDevice,
  { areas, file: replayed }: VhdxStructures,
  bat: BatCheck | undefined,
  { allocatedBytes = file.size }: CheckOptions,
): Problem[] {
  const problems: Problem[] = []
  const report = (code: RuleCode, position: number, expected: string, actual: string) =>
    problems.push(problem(code, { structure: 'VHDX file', position, expected, actual }))
  if (areas.length > 0 && file.size % MiB !== 0) {
    report('FILE_ODD_LENGTH', file.size, 'a multiple of 1 MiB long', `${file.size} bytes long`)
  }
  const end = bat && Math.max(bat.end * MiB, ...areas.map(endOf))
  if (end !== undefined && replayed.size - end >= MiB) {
    report('FILE_TRAILING_SPACE', end, 'at its end', `followed by ${replayed.size - end} bytes that belong to nothing`)
  }
  if (allocatedBytes < file.size) {
    report('FILE_SPARSE', 0, `stored whole, in ${file.size} bytes`, `stored with holes, in ${allocatedBytes} bytes`)
  }
  return problems
}

function imageOf(file: BlockDevice, { creator, metadataRegion }: VhdxStructures): CheckResult['image'] {
  const metadata = metadataRegion?.metadata
  const ownType = metadata?.leaveBlocksAllocated ? 'fixed' : 'dynamic'
  return {
    type: metadata && (metadata.hasParent ? 'differencing' : ownType),
    creator,
    fileSize: file.size,
    virtualSize: metadata?.virtualSize,
    blockSize: metadata?.blockSize,
  }
}

function summaryOf(problems: readonly Problem[], bat: BatCheck | undefined): CheckResult['summary'] {
  const counts = new Map<RuleCode, number>()
  for (const { code } of problems) counts.set(code, bat?.counts.get(code) ?? (counts.get(code) ?? 0) + 1)
  const countOf = (severity: Severity) =>
    [...counts].reduce((sum, [code, count]) => sum + (RULES[code].severity === severity ? count : 0), 0)
  return {
    errors: countOf('error'),
    warnings: countOf('warning'),
    notes: countOf('note'),
    counts: Object.fromEntries(counts),
    blocks: bat && (Object.fromEntries(PAYLOAD_STATES.map((state, n) => [state, bat.states[n]])) as BlockCounts),
  }
}
