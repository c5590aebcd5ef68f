/** What a file is, beyond what its records say in numbers: a link, something else, one that cannot be read. */
import { type DiskImageError, formatError, isDamage } from '../errors.ts'
import type { EntryKind } from '../volume/entry.ts'
import type { LeftOut } from '../volume/left-out.ts'
import type { FileSummary } from './file-summary.ts'
import { AttributeFlag, fileRecordHeader } from './format.ts'
import { decodeInterix } from './interix.ts'
import type { Mft } from './mft.ts'
import { decodeReparsePoint, kindOfReparsePoint, linkTarget, type ReparsePoint } from './reparse-point.ts'
import { whyUndecodable } from './undecodable.ts'

export interface Nature {
  readonly kind: EntryKind
  /** Where a link points. */
  readonly target: string | undefined
  /** Why its content cannot be had. */
  readonly error: DiskImageError | undefined
}

const FILE: Nature = { kind: 'file', target: undefined, error: undefined }
const DIRECTORY: Nature = { kind: 'directory', target: undefined, error: undefined }
const CODED = AttributeFlag.compressionMask | AttributeFlag.encrypted

/**
 * What a file is by its `summary`; by `point` where its reparse point lies outside of the record.
 */
export function natureOf(
  summary: FileSummary,
  leftOut: LeftOut | undefined,
  point: ReparsePoint | undefined,
  mft: Mft,
): Nature {
  const plain = summary.isDirectory ? DIRECTORY : FILE
  const { reparsePoint, interix, problem } = summary
  const isPlain =
    reparsePoint === undefined && point === undefined && interix === undefined && (summary.streams.flags & CODED) === 0
  if (isPlain && leftOut === undefined && problem === undefined) return plain
  try {
    if (problem !== undefined) throw damaged(summary.number, mft.positionOf(summary.number), problem)
    const found = point ?? (reparsePoint && decodeReparsePoint(reparsePoint, mft.positionOf(summary.number)))
    const kind = found && kindOfReparsePoint(found)
    if (kind !== undefined) return { kind, target: linkTarget(found!), error: undefined }
    const made = leftOut === undefined && interix !== undefined ? decodeInterix(interix) : undefined
    if (made !== undefined) return { ...made, error: undefined }
    return summary.isDirectory ? plain : { ...plain, error: contentError(summary, found, leftOut) }
  } catch (error) {
    if (!isDamage(error)) throw error
    return { ...plain, error }
  }
}

const damaged = (record: number, position: number, problem: string) =>
  formatError('NTFS_ATTRIBUTE', {
    structure: `${fileRecordHeader.name} ${record}`,
    position,
    expected: 'whole',
    actual: `damaged: it has ${problem}`,
  })

const contentError = (summary: FileSummary, reparsePoint: ReparsePoint | undefined, leftOut: LeftOut | undefined) =>
  whyUndecodable({
    name: '',
    flags: summary.streams.flags,
    size: summary.streams.size,
    isHole: summary.streams.isHole,
    hasHole: summary.streams.hasHole,
    fileAttributes: summary.attributes,
    reparsePoint,
    leftOut,
  })
