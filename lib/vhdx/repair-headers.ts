/** Which header an image is repaired by, and what becomes of its log, [MS-VHDX] 2.2.2 and 2.3.3. */
import { NIL_GUID } from '../binary/guid.ts'
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { HEADER_POSITIONS, HEADER_SIZE, type Header, header, MAX_FILE_SIZE } from './format.ts'
import { type HeaderCopy, headerBytes, isDirty, logOf, readHeaders } from './header.ts'
import { Log } from './log.ts'
import { type LogReplay, readReplay } from './log-replay.ts'
import { NEW_LOG } from './new-image.ts'
import { RepairedFile } from './repaired-file.ts'
import { type RepairStep, refusal, repairStep, stepOf } from './repairs.ts'
import { ReplayedFile } from './replayed-file.ts'
import type { Problem, RuleCode } from './rules.ts'
import { StructureReader } from './structure-reader.ts'

/** What the user decides where the file does not say it. */
export interface RepairChoices {
  /** Which of two headers counts that differ and have the same number. */
  readonly header?: 1 | 2 | undefined
  /**
   * A log that cannot be replayed is given up ('discard'): what it should have changed stays as it was. Where no header
   * says whether the log counts, it is replayed or given up.
   */
  readonly log?: 'replay' | 'discard' | undefined
}

export interface HeaderRepair {
  /** What the new headers are made from. */
  readonly header: Header
  /** Where the header lies that is current now; undefined when none is. */
  readonly position: number | undefined
  /** Where the log lies; undefined when it needs another place. */
  readonly log: Range | undefined
  /** The file with its log replayed. */
  readonly content: BlockDevice
  readonly replayed: ReplayedFile | undefined
  /** Bytes of `content` that are known: behind them it is made of zeros where there was something else. */
  readonly knownSize: number
  readonly steps: readonly RepairStep[]
  readonly findings: readonly Finding[]
}

/** Throws FormatError and UnsupportedError with the code of the rule that keeps it from being repaired. */
export async function repairHeaders(file: BlockDevice, choices: RepairChoices): Promise<HeaderRepair> {
  const first = new StructureReader(file)
  const { copies, current } = await readHeaders(first)
  const cut = first.problems.find(({ code }) => code === 'TRUNCATED')
  if (cut !== undefined) throw refusal(cut)
  const steps = first.problems.filter(({ code }) => MENDED.includes(code)).map(stepOf)
  const findings: Finding[] = []
  const view = new RepairedFile(file)
  if (current === undefined) {
    const tie = first.problems.find(({ code }) => code === 'HEADER_TIE')
    if (tie !== undefined) {
      const chosen = chooseTied(tie, copies, choices)
      await view.patch(HEADER_POSITIONS.find(position => position !== chosen)!, Buffer.alloc(HEADER_SIZE))
      steps.push(stepOf(tie))
    } else {
      const none = first.problems.find(({ code }) => code === 'HEADER_NONE')!
      await view.patch(HEADER_POSITIONS[0], headerBytes(await rebuildHeader(file, none, copies, choices, findings)))
      steps.push(stepOf(none))
    }
  }
  const isRebuilt = copies.every(copy => copy.header === undefined)
  const settled = await settleLog(file, view, choices, steps, findings)
  return { ...settled, position: isRebuilt ? undefined : settled.position, steps, findings }
}

const MENDED: readonly RuleCode[] = ['HEADER_COPY_BAD', 'HEADER_TWINS', 'NUMBER_TOO_LARGE']

/** The place of the header that counts. */
function chooseTied(tie: Problem, copies: readonly HeaderCopy[], { header: choice }: RepairChoices): number {
  if (choice !== undefined) return HEADER_POSITIONS[choice - 1]!
  const [a, b] = copies.map(copy => ({ ...copy.header!, checksum: 0, fileWriteGuid: '' }))
  if (JSON.stringify(a, asText) === JSON.stringify(b, asText)) return HEADER_POSITIONS[0]
  throw refusal(tie, 'They differ in more than the time of writing. Say which one counts: --header 1 or --header 2')
}

const asText = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)

/** Replays the log of the current header of `view`, or says what else becomes of it. */
async function settleLog(
  file: BlockDevice,
  view: BlockDevice,
  choices: RepairChoices,
  steps: RepairStep[],
  findings: Finding[],
): Promise<Omit<HeaderRepair, 'steps' | 'findings'>> {
  const reader = new StructureReader(view)
  const current = (await readHeaders(reader)).current!
  const version = reader.problems.find(({ code }) => code === 'HEADER_VERSION')
  if (version !== undefined) throw refusal(version)
  const misplaced = reader.problems.find(({ code }) => code === 'HEADER_LOG_PLACE')
  const log = misplaced === undefined ? logOf(current.header) : undefined
  const unreplayed = { ...current, log, content: file, replayed: undefined, knownSize: file.size }
  if (!isDirty(current.header)) {
    if (misplaced !== undefined && current.header.logOffset !== 0) steps.push(stepOf(misplaced))
    return unreplayed
  }
  const newer = reader.problems.find(({ code }) => code === 'HEADER_LOG_VERSION')
  const obstacle = newer ?? misplaced
  const { replay, grown, problem }: FoundReplay = obstacle ? { problem: obstacle } : await replayOf(file, current)
  if (replay !== undefined) {
    steps.push(problem === undefined ? REPLAYED : stepOf(problem))
    const replayed = new ReplayedFile(grown ?? file, replay)
    const knownSize = grown === undefined ? replayed.size : file.size
    return { ...current, log, content: replayed, replayed, knownSize }
  }
  if (choices.log !== 'discard') throw refusal(problem!, DISCARD)
  steps.push(repairStep(problem!.code, problem!.message, 'the log is given up'))
  findings.push(DISCARDED)
  return unreplayed
}

const REPLAYED = repairStep('LOG_DIRTY', 'the image was left open, with changes that only its log has')

const DISCARD = 'To give the log up, and with it what it should have changed: --log discard'

const DISCARDED: Finding = {
  code: 'LOG_DISCARDED',
  message:
    'the log was given up: what was written last before the image was left open may be missing or old, and nothing says where',
}

interface FoundReplay {
  readonly replay?: LogReplay
  /** The file with the size it had when the log was written, where it has been cut since. */
  readonly grown?: BlockDevice
  /** What is wrong with the log, though it may be replayed. */
  readonly problem?: Problem
}

async function replayOf(file: BlockDevice, current: { position: number; header: Header }): Promise<FoundReplay> {
  const reader = new StructureReader(file)
  const replay = await readReplay(reader, current)
  if (replay !== undefined) return { replay }
  const problem = reader.problems[0]!
  if (problem.code !== 'LOG_FILE_TRUNCATED') return { problem }
  const sequence = await new Log(file, logOf(current.header)).activeSequence(current.header.logGuid)
  const grown = new RepairedFile(file)
  grown.size = sequence!.last.header.flushedFileOffset
  if (grown.size > MAX_FILE_SIZE) return { problem }
  const again = await readReplay(new StructureReader(grown), current)
  return again === undefined ? { problem } : { replay: again, grown, problem }
}

/** A header in the place of two bad ones: from what both say, or where that is nothing, with a log that is clean. */
async function rebuildHeader(
  file: BlockDevice,
  none: Problem,
  copies: readonly HeaderCopy[],
  choices: RepairChoices,
  findings: Finding[],
): Promise<Header> {
  const remains = copies.flatMap(copy => remainsOf(copy) ?? [])
  const blank: Header = {
    checksum: 0,
    sequenceNumber: 0n,
    fileWriteGuid: crypto.randomUUID(),
    dataWriteGuid: agreed(remains, 'dataWriteGuid') ?? newDataWriteGuid(findings),
    logGuid: NIL_GUID,
    logVersion: 0,
    version: 1,
    // No place: it gets one.
    logLength: 0,
    logOffset: 0,
  }
  const logGuid = agreed(remains, 'logGuid')
  const isAgreed = (['logOffset', 'logLength', 'version', 'logVersion'] as const).every(
    field => agreed(remains, field) !== undefined,
  )
  const place = remains[0] && logOf(remains[0])
  if (isAgreed && logGuid !== undefined && remains[0]!.version === 1 && isLogPlace(file, place!)) {
    return { ...blank, logGuid, logOffset: place!.offset, logLength: place!.length, logVersion: remains[0]!.logVersion }
  }
  const places = [...remains.map(logOf), NEW_LOG].filter(place => isLogPlace(file, place))
  const live = await liveLogs(file, places)
  if (live.length === 0) return blank
  const [log] = live
  if (choices.log === 'discard') {
    findings.push(DISCARDED)
    return blank
  }
  if (choices.log === 'replay' && live.length === 1) return { ...blank, ...log! }
  const found = live.length === 1 ? 'one log' : 'several logs'
  throw refusal(
    none,
    `There is ${found} that would change the file if it was replayed, and no header says whether it was. Look at the file with vhdx inspect; then --log replay or --log discard`,
  )
}

function newDataWriteGuid(findings: Finding[]): string {
  const message =
    'the image has a new DataWriteGuid, for the old one is lost: differencing images that were made from it do not find it any more, until they are told (vhdx relink)'
  findings.push({ code: 'NEW_DATA_WRITE_GUID', message })
  return crypto.randomUUID()
}

/** The fields of a header whose checksum, or signature, is bad. */
function remainsOf({ bytes }: HeaderCopy): Header | undefined {
  if (bytes === undefined) return undefined
  const signed = Buffer.concat([Buffer.from('head'), bytes.subarray(4)])
  try {
    return header.decode(signed)
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

/** What both bad headers say, which lie 64 KiB apart; undefined where they do not agree, and where they agree on nothing. */
function agreed<K extends keyof Header>(remains: readonly Header[], field: K): Header[K] | undefined {
  const [first, second] = remains
  const isSame = first !== undefined && second !== undefined && first[field] === second[field]
  const isEmpty = first?.fileWriteGuid === NIL_GUID && first.dataWriteGuid === NIL_GUID
  return isSame && !isEmpty ? first[field] : undefined
}

const isLogPlace = ({ size }: BlockDevice, place: Range) =>
  place.offset >= MiB &&
  place.length >= MiB &&
  place.offset % MiB === 0 &&
  place.length % MiB === 0 &&
  endOf(place) <= size

/** More logs than this are too many to try out. */
const MAX_LOGS = 64

type LogFields = Pick<Header, 'logGuid' | 'logOffset' | 'logLength'>

/** The logs at `places` that would change the file if they were replayed, or cannot be. */
async function liveLogs(file: BlockDevice, places: readonly Range[]): Promise<LogFields[]> {
  const live = new Map<string, LogFields>()
  for (const place of places) {
    const guids = new Set<string>()
    for await (const { header: entry } of new Log(file, place).entries()) {
      if (guids.size < MAX_LOGS) guids.add(entry.logGuid)
    }
    for (const logGuid of guids) {
      const fields = { logGuid, logOffset: place.offset, logLength: place.length }
      if (!(await isDone(file, fields, guids.size === MAX_LOGS))) live.set(`${logGuid} ${place.offset}`, fields)
    }
  }
  return [...live.values()]
}

/** Whether replaying the log would change nothing: it was replayed, or nothing has come after it. */
async function isDone(file: BlockDevice, fields: LogFields, isHopeless: boolean): Promise<boolean> {
  if (isHopeless) return false
  const reader = new StructureReader(file)
  const replay = await readReplay(reader, { position: 0, header: fields as Header })
  // Of an old log the first entries may have been written over.
  if (replay === undefined) return reader.problems[0]!.code === 'LOG_NO_SEQUENCE'
  if (replay.fileSize > file.size) return false
  const replayed = new ReplayedFile(file, replay)
  for (const range of replayed.replayedRanges()) {
    // Longer ones are zeros, and a hole is zeros already.
    const changed = range.length > PAGE ? file.dataRanges(range) : [range]
    for await (const part of changed) if (!(await isSame(file, replayed, part))) return false
  }
  return true
}

const PAGE = 4096

async function isSame(a: BlockDevice, b: BlockDevice, range: Range): Promise<boolean> {
  for (let offset = range.offset; offset < endOf(range); offset += MiB) {
    const [left, right] = [a, b].map(() => Buffer.alloc(Math.min(MiB, endOf(range) - offset)))
    await a.read(offset, left!)
    await b.read(offset, right!)
    if (!left!.equals(right!)) return false
  }
  return true
}
