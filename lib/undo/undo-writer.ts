/** Makes an undo file: what of a file is going to change, as it is and as it will be. Nothing is changed here. */
import { crc32c } from '../binary/crc32c.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { ABSENT, BYTES, MAX_RECORD_LENGTH, UNDO_VERSION, undoEnd, undoHeader, undoRecord, ZEROS } from './format.ts'

/** What becomes of a file. */
export interface FileChange {
  readonly before: BlockDevice
  /** It need not differ where `stages` say it may, but differs nowhere else; behind the end of `before` all of it is new. */
  readonly after: BlockDevice
  /**
   * Where they may differ, in the order in which it has to reach the medium. Ranges of a stage do not overlap; the first
   * stage is a few sectors at most. Ends are those of `before` or `after`, whichever is larger.
   */
  readonly stages: readonly FileStage[]
}

/** What of a change may reach the medium in any order. */
export interface FileStage {
  readonly ranges: () => AsyncIterable<Range> | Iterable<Range>
  /** What the file has then, where that is not what it has in the end. */
  readonly after?: BlockDevice
}

interface WriteUndoOptions {
  /** Kept beside the changes, for whoever goes back: at most 1 MiB. */
  readonly report: Buffer
  /** Called with the bytes of the undo file so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** The unit in which the two are compared. */
const PAGE = 4096

/**
 * Writes all of `change` to `undo`, which is empty and grows, and flushes it. Only then may the file be changed: by
 * `UndoFile.redo`. Returns how many bytes of the file will change, those that are cut off among them.
 */
export async function writeUndoFile(undo: BlockDevice, change: FileChange, options: WriteUndoOptions): Promise<number> {
  const writer = new UndoWriter(undo, change, options)
  await writer.begin()
  for (const [number, { ranges, after = change.after }] of change.stages.entries()) {
    for await (const range of ranges()) await writer.add(number, range, after)
  }
  const tail = { offset: change.after.size, length: change.before.size - change.after.size }
  const cut = tail.length > 0 ? change.before.dataRanges(tail) : []
  for await (const range of cut) await writer.add(change.stages.length, range, change.after)
  await writer.finish()
  return writer.changed
}

class UndoWriter {
  /** Bytes of the file that change. */
  changed = 0
  readonly #undo: BlockDevice
  readonly #change: FileChange
  readonly #options: WriteUndoOptions
  readonly #old = Buffer.alloc(MAX_RECORD_LENGTH)
  readonly #young = Buffer.alloc(MAX_RECORD_LENGTH)
  #end = 0
  #count = 0

  constructor(undo: BlockDevice, change: FileChange, options: WriteUndoOptions) {
    this.#undo = undo
    this.#change = change
    this.#options = options
  }

  async begin(): Promise<void> {
    const { before, after } = this.#change
    const { report } = this.#options
    const head = undoHeader.toBuffer({
      version: UNDO_VERSION,
      checksum: 0,
      sizeBefore: before.size,
      sizeAfter: after.size,
      reportLength: report.length,
    })
    await this.#append([head, report], undoHeader.offsetOf('checksum'))
  }

  /** `range` of the file, which will be as `after` has it. */
  async add(stage: number, range: Range, after: BlockDevice): Promise<void> {
    for (const piece of piecesOf(range, [this.#change.before.size, after.size])) {
      this.#options.signal?.throwIfAborted()
      const old = await contentOf(this.#change.before, piece, this.#old)
      const young = await contentOf(after, piece, this.#young)
      for (const run of differences(piece, old, young)) {
        const part = (bytes: Buffer | undefined) =>
          bytes?.subarray(run.offset - piece.offset, endOf(run) - piece.offset)
        await this.#record(stage, run.offset, part(old), part(young))
      }
    }
  }

  async finish(): Promise<void> {
    await this.#undo.flush()
    const end = undoEnd.toBuffer({ checksum: 0, recordCount: this.#count, length: this.#end + undoEnd.size })
    await this.#append([end], undoEnd.offsetOf('checksum'))
    await this.#undo.flush()
  }

  async #record(stage: number, position: number, before: Buffer | undefined, after: Buffer | undefined): Promise<void> {
    const length = (before ?? after)!.length
    const kinds = { before: kindOf(before), after: kindOf(after) }
    const head = undoRecord.toBuffer({ checksum: 0, position, length, stage, ...kinds })
    const contents = [before, after].filter(content => kindOf(content) === BYTES) as Buffer[]
    await this.#append([head, ...contents], undoRecord.offsetOf('checksum'))
    this.#count++
    this.changed += length
    this.#options.onProgress?.(this.#end)
  }

  /** `parts`: a structure with a checksum over all of them, and what belongs to it. */
  async #append(parts: readonly Buffer[], checksumOffset: number): Promise<void> {
    const checksum = parts.reduce((crc, part) => crc32c(part, crc), 0)
    parts[0]!.writeUInt32LE(checksum, checksumOffset)
    for (const part of parts) {
      await this.#undo.write(this.#end, part)
      this.#end += part.length
    }
  }
}

/** `range` in pieces that fit a record, none of which goes across one of `bounds`. */
function* piecesOf(range: Range, bounds: readonly number[]): Iterable<Range> {
  for (let offset = range.offset; offset < endOf(range); ) {
    const limit = offset - (offset % MAX_RECORD_LENGTH) + MAX_RECORD_LENGTH
    const end = Math.min(endOf(range), limit, ...bounds.filter(bound => bound > offset))
    yield { offset, length: end - offset }
    offset = end
  }
}

/** The bytes of `piece`, in `buffer`; undefined where it lies behind the end. */
async function contentOf(file: BlockDevice, piece: Range, buffer: Buffer): Promise<Buffer | undefined> {
  if (piece.offset >= file.size) return undefined
  const bytes = buffer.subarray(0, piece.length)
  await file.read(piece.offset, bytes)
  return bytes
}

/** The runs of pages of `piece` that are not the same; all of it where it is only in one of the two. */
function* differences(piece: Range, old: Buffer | undefined, young: Buffer | undefined): Iterable<Range> {
  if (old === undefined || young === undefined) {
    yield piece
    return
  }
  let start: number | undefined
  for (let at = 0; at < piece.length; at += PAGE) {
    const isSame = old.subarray(at, at + PAGE).equals(young.subarray(at, at + PAGE))
    if (!isSame) start ??= at
    else if (start !== undefined) {
      yield { offset: piece.offset + start, length: at - start }
      start = undefined
    }
  }
  if (start !== undefined) yield { offset: piece.offset + start, length: piece.length - start }
}

const NOTHING = Buffer.alloc(MAX_RECORD_LENGTH)

function kindOf(content: Buffer | undefined): number {
  if (content === undefined) return ABSENT
  return content.equals(NOTHING.subarray(0, content.length)) ? ZEROS : BYTES
}
