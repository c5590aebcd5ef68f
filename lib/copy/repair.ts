/**
 * A damaged image is put right in place. What will change is written down before it changes, as it is and as it will be,
 * in a file beside the image: a repair that was cut off is finished by the next one, and any can be taken back.
 */
import { realpath, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FileDevice } from '../device/file-device.ts'
import { flushFolder } from '../device/folder.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { withStorageErrors } from '../device/storage-error.ts'
import { whileOpen } from '../device/while-open.ts'
import { FormatError, NotFoundError, RefusedError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { demandVhdx } from '../image/container.ts'
import { freeSpace } from '../platform/free-space.ts'
import { UndoFile } from '../undo/undo-file.ts'
import { writeUndoFile } from '../undo/undo-writer.ts'
import { checkVhdx } from '../vhdx/check.ts'
import type { LostRanges } from '../vhdx/lost-ranges.ts'
import type { RepairChoices } from '../vhdx/repair-headers.ts'
import { planRepair, type RepairPlan } from '../vhdx/repair-plan.ts'
import { type RepairStep, repairStep } from '../vhdx/repairs.ts'
import type { Problem } from '../vhdx/rules.ts'
import { decodeReport, encodeReport, type KeptReport } from './repair-report.ts'

/** How an image is repaired. */
export interface RepairOptions extends RepairChoices {
  /** Finds out what would be done, and changes nothing. */
  readonly dryRun?: boolean | undefined
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  /** Stops it as long as nothing has been changed. */
  readonly signal?: AbortSignal | undefined
  /** Name and version of the program, for the undo file. */
  readonly tool: KeptReport['tool']
}

/** What a repair did, or would do. Sizes are bytes. */
export interface RepairReport {
  readonly path: string
  /** 'sound': there is nothing to repair. 'finished': a repair that was cut off before has been finished. */
  readonly outcome: 'sound' | 'repaired' | 'finished' | 'planned'
  /** The file to go back with; null when nothing was changed. */
  readonly undo: string | null
  readonly steps: readonly RepairStep[]
  /** What of the disk is lost. */
  readonly lost: LostRanges
  /** Bytes of the file that became others; null for a repair that was begun before. */
  readonly changedBytes: number | null
  /** What check says of the image now, or would say. */
  readonly left: readonly Problem[]
  readonly findings: readonly Finding[]
}

/** What going back did. */
export interface UndoneRepair {
  readonly path: string
  /** Whether anything was changed: false when the image was as it had been. */
  readonly changed: boolean
  /** When the repair began that was taken back; null when it had changed nothing. */
  readonly repaired: string | null
}

const undoPathOf = (path: string) => `${path}-undo`

/**
 * Repairs the VHDX at `path`. Nothing of it changes before every byte that does is on the medium in the undo file. Throws
 * FormatError and UnsupportedError with the code of the rule that keeps it from being repaired, RefusedError (UNDO_EXISTS),
 * StorageError (NO_SPACE), and what opening the file throws; the image is what it was then.
 */
export async function repairImage(path: string, options: RepairOptions): Promise<RepairReport> {
  const own = await realpathOf(path)
  const file = await FileDevice.open(own, { mode: options.dryRun ? 'read' : 'write' })
  return whileOpen(file, async () => {
    if (file.raw) {
      const message = `${path} is a device: what is repaired in place has to be a file. Salvage it to a new file (--to)`
      throw new UnsupportedError('NOT_A_FILE', message)
    }
    await demandVhdx(file, path)
    const earlier = await earlierRepair(own, file, options)
    if (earlier?.report !== undefined) {
      const done = await finish(own, file, earlier.report, options)
      return { ...done, path, outcome: 'finished', undo: undoPathOf(own), changedBytes: null }
    }
    options.onProgress?.({ phase: 'examining', done: 0, total: 0 })
    const plan = await planRepair(file, options)
    if (options.dryRun) {
      const { steps, lost, findings, after } = plan
      const holes = (await file.isSparse()) ? [SPARSE] : []
      const all = { steps: [...steps, ...holes], lost, findings, left: after.problems }
      return { path, outcome: all.steps.length > 0 ? 'planned' : 'sound', undo: null, changedBytes: 0, ...all }
    }
    const kept = keptReport(plan, options)
    if (plan.stages.length === 0) {
      const done = await finish(own, file, kept, options)
      return { path, outcome: done.steps.length > 0 ? 'repaired' : 'sound', undo: null, changedBytes: 0, ...done }
    }
    if (earlier !== undefined) throw undoExists(own)
    const changedBytes = await saveChanges(own, file, plan, kept, options)
    await withUndoFile(own, undo => undo!.redo(file, progressOf('repairing', options)))
    const done = await finish(own, file, kept, options)
    return { path, outcome: 'repaired', undo: undoPathOf(own), changedBytes, ...done }
  })
}

/**
 * Makes the VHDX at `path` what it was before it was repaired, and deletes the undo file. Throws NotFoundError (NO_UNDO_FILE)
 * when there is none, RefusedError (IMAGE_CHANGED) when the image was written to since.
 */
export async function undoRepair(path: string, options: Omit<RepairOptions, 'dryRun'>): Promise<UndoneRepair> {
  const own = await realpathOf(path)
  await using file = await FileDevice.open(own, { mode: 'write' })
  const undone = await withUndoFile(own, async undo => {
    if (undo === undefined) return { path, changed: false, repaired: null }
    const state = await undo.stateOf(file)
    if (state === 'other') {
      const message = `${path} was written to after it was repaired: going back would mix what it was with what it is. Nothing was changed`
      throw new RefusedError('IMAGE_CHANGED', message, { path })
    }
    await undo.undo(file, progressOf('going back', options))
    return { path, changed: state !== 'before', repaired: decodeReport(undo.report).started }
  })
  await deleteUndoFile(own)
  return undone
}

/** A repair that came before: 'report' when it was cut off, and is finished now. An undo file that was not finished is deleted. */
async function earlierRepair(
  path: string,
  file: FileDevice,
  options: RepairOptions,
): Promise<{ readonly report?: KeptReport } | undefined> {
  try {
    const earlier = await withUndoFile(path, async undo => {
      if (undo === undefined) return undefined
      const state = await undo.stateOf(file)
      if (state === 'after' || state === 'other') return {}
      if (options.dryRun) throw unfinished(path)
      await undo.redo(file, progressOf('repairing', options))
      return { report: decodeReport(undo.report) }
    })
    if (earlier === undefined && !options.dryRun) await deleteUndoFile(path)
    return earlier
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

async function withUndoFile<T>(path: string, work: (undo: UndoFile | undefined) => Promise<T>): Promise<T> {
  await using device = await FileDevice.open(undoPathOf(path))
  try {
    return await work(await UndoFile.open(device))
  } catch (error) {
    if (!(error instanceof FormatError) || !(error.code in WITHOUT_PATH)) throw error
    const message = `${undoPathOf(path)} ${WITHOUT_PATH[error.code]}: ${error.message}. Nothing was changed`
    throw new FormatError(error.code, message, { ...error.details, path: undoPathOf(path) }, { cause: error })
  }
}

const WITHOUT_PATH: Readonly<Record<string, string>> = {
  NO_UNDO_FILE: 'is there, and is no undo file. Move it away',
  UNDO_DAMAGED: 'is damaged',
}

async function deleteUndoFile(path: string): Promise<void> {
  await withStorageErrors({ verb: 'open', path: undoPathOf(path) }, () => unlink(undoPathOf(path)))
  await flushFolder(dirname(path))
}

/** Writes the undo file. When it fails it is deleted. */
async function saveChanges(
  path: string,
  file: FileDevice,
  { repaired, stages }: RepairPlan,
  kept: KeptReport,
  { onProgress, signal }: RepairOptions,
): Promise<number> {
  const undo = await FileDevice.open(undoPathOf(path), { mode: 'create' })
  try {
    const options = {
      report: encodeReport(kept),
      onProgress: (bytes: number) => onProgress?.({ phase: 'saving what changes', done: bytes, total: 0 }),
      signal,
    }
    const change = { before: file, after: repaired, stages }
    const changedBytes = await whileOpen(undo, () => writeUndoFile(undo, change, options))
    await flushFolder(dirname(path))
    return changedBytes
  } catch (error) {
    await unlink(undoPathOf(path)).catch(() => {})
    throw error
  }
}

/** What can be done when the structures are sound, and what is left then. */
async function finish(path: string, file: FileDevice, { steps, lost, findings }: KeptReport, options: RepairOptions) {
  const isFilled = await fillHoles(path, file, options)
  const { problems: left } = await checkVhdx(file, { allocatedBytes: await file.allocatedBytes() })
  return { steps: isFilled ? [...steps, SPARSE] : steps, lost, findings, left }
}

const SPARSE = repairStep('FILE_SPARSE', 'the file has holes')

const keptReport = ({ steps, lost, findings }: RepairPlan, { tool }: RepairOptions): KeptReport => ({
  format: 'vhdx-repair',
  formatVersion: 1,
  tool,
  started: new Date().toISOString(),
  steps,
  lost,
  findings,
})

/** Writes zeros where the file has holes, which changes nothing of what it holds. False where it has none, or no room. */
async function fillHoles(path: string, file: FileDevice, { onProgress, signal }: RepairOptions): Promise<boolean> {
  if (!(await file.isSparse())) return false
  const holes = await holesOf(file)
  const total = holes.reduce((sum, { length }) => sum + length, 0)
  if (total > (await freeSpace(path))) return false
  let done = 0
  for (const hole of holes) {
    for (let offset = hole.offset; offset < endOf(hole) && !signal?.aborted; offset += PIECE) {
      const length = Math.min(PIECE, endOf(hole) - offset)
      await file.zero(offset, length)
      done += length
      onProgress?.({ phase: 'filling holes', done, total })
    }
  }
  await file.flush()
  return true
}

const PIECE = 4 * 1024 * 1024

async function holesOf(file: FileDevice): Promise<Range[]> {
  const holes: Range[] = []
  let end = 0
  const hole = (next: number) => {
    if (next > end) holes.push({ offset: end, length: next - end })
  }
  for await (const range of file.dataRanges()) {
    hole(range.offset)
    end = endOf(range)
  }
  hole(file.size)
  return holes
}

const progressOf =
  (phase: string, { onProgress }: Pick<RepairOptions, 'onProgress'>) =>
  (done: number, total: number) =>
    onProgress?.({ phase, done, total })

/** The undo file lies beside the image itself, whatever name leads to it. */
const realpathOf = (path: string) => withStorageErrors({ verb: 'open', path }, () => realpath(path))

const undoExists = (path: string) =>
  new RefusedError(
    'UNDO_EXISTS',
    `${undoPathOf(path)} is there: it is of an earlier repair. Go back with --undo, or delete it if the image is as it should be; then repair again. Nothing was changed`,
    { path: undoPathOf(path) },
  )

const unfinished = (path: string) =>
  new RefusedError(
    'REPAIR_UNFINISHED',
    `a repair of ${path} was cut off: what the image is now is half of two. vhdx repair finishes it, --undo goes back`,
    { path },
  )
