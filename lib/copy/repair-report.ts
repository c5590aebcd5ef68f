/** What a repair did, as it is told and as it is kept in the undo file. */
import { FormatError } from '../errors.ts'
import type { LostRange, LostRanges } from '../vhdx/lost-ranges.ts'
import { REPAIRS, type RepairStep } from '../vhdx/repairs.ts'
import type { RuleCode } from '../vhdx/rules.ts'
import { count, flag, listOf, nullable, object, oneOf, ShapeError, text } from './json-shape.ts'

/** Something worth knowing, without details. */
interface Remark {
  readonly code: string
  readonly message: string
}

/** What is kept in the undo file: spec-notes/undo.md. */
export interface KeptReport {
  readonly format: 'vhdx-repair'
  readonly formatVersion: 1
  readonly tool: { readonly name: string; readonly version: string }
  readonly started: string
  /** Rules that were broken, and what was done about it. */
  readonly steps: readonly RepairStep[]
  readonly lost: LostRanges
  readonly findings: readonly Remark[]
}

const code = oneOf(...(Object.keys(REPAIRS) as RuleCode[]))

const keptReport = object<KeptReport>({
  format: oneOf('vhdx-repair'),
  formatVersion: oneOf(1),
  tool: object<KeptReport['tool']>({ name: text, version: text }),
  started: text,
  steps: listOf(object<RepairStep>({ code, fate: oneOf('mended', 'dropped'), message: text })),
  lost: object<LostRanges>({
    bytes: count,
    ranges: listOf(object<LostRange>({ offset: count, length: count, reason: code, fileOffset: nullable(count) })),
    truncated: flag,
  }),
  findings: listOf(object<Remark>({ code: text, message: text })),
})

/** As many of the steps as are worth keeping: a table of regions can have two thousand bad ones. */
const MAX_STEPS = 1_000

/** At most 1 MiB, whatever was found. */
export function encodeReport(report: KeptReport): Buffer {
  const steps = report.steps.slice(0, MAX_STEPS).map(step => ({ ...step, message: step.message.slice(0, 500) }))
  return Buffer.from(JSON.stringify({ ...report, steps }))
}

/** Throws FormatError (UNDO_DAMAGED). */
export function decodeReport(bytes: Buffer): KeptReport {
  try {
    return keptReport(JSON.parse(bytes.toString('utf8')), '')
  } catch (error) {
    if (error instanceof ShapeError || error instanceof SyntaxError || error instanceof RangeError) {
      throw new FormatError('UNDO_DAMAGED', `the report in the undo file cannot be used: ${error.message}`)
    }
    throw error
  }
}
