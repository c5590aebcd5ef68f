/** Changes of a file that are written down, as it was and as it will be: they can be finished, and taken back. */
import { crc32c, crc32cWithout } from '../binary/crc32c.ts'
import type { BlockDevice, ResizableDevice } from '../device/block-device.ts'
import { FormatError, formatError, UnsupportedError } from '../errors.ts'
import {
  ABSENT,
  BYTES,
  MAX_MARKS,
  MAX_RECORD_LENGTH,
  MAX_REPORT_LENGTH,
  UNDO_VERSION,
  type UndoHeader,
  undoEnd,
  undoHeader,
  undoRecord,
  ZEROS,
} from './format.ts'

/** 'between': some of it is as before, all else as after. 'other': some of it is neither. */
export type FileState = 'before' | 'after' | 'between' | 'other'

/** What is in a range of the file. `bytes`: undefined for zeros, and where the file ends before. */
interface Content {
  readonly kind: number
  readonly bytes: Buffer | undefined
}

interface Change {
  readonly position: number
  readonly length: number
  readonly stage: number
  readonly before: Content
  readonly after: Content
}

/** What a disk writes whole. */
const SECTOR = 512

type OnProgress = (done: number, total: number) => void

export class UndoFile {
  readonly sizeBefore: number
  readonly sizeAfter: number
  /** What was kept beside the changes. */
  readonly report: Buffer
  readonly #device: BlockDevice

  private constructor(device: BlockDevice, header: UndoHeader, report: Buffer) {
    this.#device = device
    this.sizeBefore = header.sizeBefore
    this.sizeAfter = header.sizeAfter
    this.report = report
  }

  /**
   * The undo file in `device`; undefined for one that was not finished: nothing has been changed by it then.
   * Throws FormatError (NO_UNDO_FILE, UNDO_DAMAGED) and UnsupportedError (UNDO_VERSION).
   */
  static async open(device: BlockDevice): Promise<UndoFile | undefined> {
    const head = Buffer.alloc(Math.min(undoHeader.size, device.size))
    await device.read(0, head)
    // What a power cut leaves of a file that was never flushed.
    if (head.every(byte => byte === 0)) return undefined
    if (!undoHeader.matches(Buffer.concat([head], undoHeader.size))) {
      throw new FormatError('NO_UNDO_FILE', 'it does not begin as an undo file does')
    }
    if (!(await isFinished(device))) return undefined
    const header = undoHeader.decode(head)
    if (header.version !== UNDO_VERSION) {
      throw new UnsupportedError('UNDO_VERSION', `the undo file has version ${header.version}, of a newer program`)
    }
    if (header.reportLength > MAX_REPORT_LENGTH) throw damaged(0, 'a report of at most 1 MiB', `${header.reportLength}`)
    const report = Buffer.alloc(header.reportLength)
    await readWhole(device, undoHeader.size, report)
    checkSum(head, report, undoHeader.offsetOf('checksum'), 0)
    return new UndoFile(device, header, report)
  }

  /** Which of the two `file` is. Reads all that changes, and all of the undo file. */
  async stateOf(file: BlockDevice): Promise<FileState> {
    const tally = new StateTally(file)
    const marks = new Map<number, Change>()
    for await (const change of this.#changes()) {
      if (change.stage === 0) {
        if (marks.size === MAX_MARKS) throw damaged(change.position, `at most ${MAX_MARKS} marks`, 'more')
        marks.set(change.position, change)
        continue
      }
      await tally.add(change, marks.get(change.position)?.after)
      marks.delete(change.position)
    }
    for (const mark of marks.values()) await tally.add(mark)
    return tally.stateFor(this.sizeBefore, this.sizeAfter)
  }

  /** Makes `file` what it will be, whatever of that is done already. Its state must not be 'other'. */
  async redo(file: ResizableDevice, onProgress?: OnProgress): Promise<void> {
    await grow(file, this.sizeAfter)
    let stage = 0
    for await (const change of this.#changes(onProgress)) {
      if (change.stage !== stage) await file.flush()
      stage = change.stage
      await put(file, change.position, change.length, change.after)
    }
    await file.flush()
    await cut(file, this.sizeAfter)
  }

  /** Makes `file` what it was, whatever of the changes is done. Its state must not be 'other'. */
  async undo(file: ResizableDevice, onProgress?: OnProgress): Promise<void> {
    await grow(file, this.sizeBefore)
    for await (const { position, length, before } of this.#changes(onProgress))
      await put(file, position, length, before)
    await file.flush()
    await cut(file, this.sizeBefore)
  }

  /** All of them, in their order; the content of each is good until the next one is asked for, but for the first stage. */
  async *#changes(onProgress?: OnProgress): AsyncIterable<Change> {
    const buffer = Buffer.alloc(2 * MAX_RECORD_LENGTH)
    let position = undoHeader.size + this.report.length
    const end = this.#device.size - undoEnd.size
    let count = 0
    while (position < end) {
      const head = Buffer.alloc(undoRecord.size)
      await readWhole(this.#device, position, head)
      if (!undoRecord.matches(head)) throw damaged(position, 'a record', 'something else')
      const record = undoRecord.decode(head, 0, position)
      const { length } = record
      if (length === 0 || length > MAX_RECORD_LENGTH)
        throw damaged(position, 'a record of 1 byte to 1 MiB', `${length}`)
      const kept = [record.before, record.after].filter(kind => kind === BYTES).length
      // Those of the first stage are kept.
      const bytes = record.stage === 0 ? Buffer.alloc(kept * length) : buffer.subarray(0, kept * length)
      await readWhole(this.#device, position + head.length, bytes)
      checkSum(head, bytes, undoRecord.offsetOf('checksum'), position)
      const before = contentOf(record.before, bytes.subarray(0, length))
      const after = contentOf(record.after, bytes.subarray(bytes.length - length))
      yield { position: record.position, length, stage: record.stage, before, after }
      position += head.length + bytes.length
      count++
      onProgress?.(position, end)
    }
    const last = Buffer.alloc(undoEnd.size)
    await this.#device.read(end, last)
    const { recordCount } = undoEnd.decode(last, 0, end)
    if (recordCount !== count) throw damaged(end, `${recordCount} records`, `${count}`)
  }
}

/** Whether the end is there: it was written when all else was on the medium. */
async function isFinished(device: BlockDevice): Promise<boolean> {
  const end = Buffer.alloc(undoEnd.size)
  if (device.size < undoHeader.size + end.length) return false
  await device.read(device.size - end.length, end)
  if (!undoEnd.matches(end) || crc32cWithout(end, undoEnd.offsetOf('checksum')) !== undoEnd.decode(end).checksum) {
    return false
  }
  return undoEnd.decode(end).length === device.size
}

function contentOf(kind: number, bytes: Buffer): Content {
  return { kind, bytes: kind === BYTES ? bytes : undefined }
}

async function put(file: BlockDevice, position: number, length: number, { kind, bytes }: Content): Promise<void> {
  if (bytes !== undefined) await file.write(position, bytes)
  else if (kind === ZEROS) await file.zero(position, length)
}

/** On the medium before anything is written behind the old end: a file of a size in between would be neither of the two. */
async function grow(file: ResizableDevice, size: number): Promise<void> {
  if (file.size >= size) return
  await file.resize(size)
  await file.flush()
}

/** What is cut off must not be missed: everything else is on the medium by then. */
async function cut(file: ResizableDevice, size: number): Promise<void> {
  if (file.size <= size) return
  await file.resize(size)
  await file.flush()
}

/** Compares a file with what it was and what it will be, sector by sector: a power cut leaves some of both. */
class StateTally {
  readonly #file: BlockDevice
  #isBefore = true
  #isAfter = true
  #isOther = false

  constructor(file: BlockDevice) {
    this.#file = file
  }

  /** `mark`: what the range has for a while. */
  async add({ position, length, before, after }: Change, mark?: Content): Promise<void> {
    const current = Buffer.alloc(Math.max(0, Math.min(length, this.#file.size - position)))
    if (current.length > 0) await this.#file.read(position, current)
    for (let at = 0; at < length; ) {
      const end = Math.min(length, at + SECTOR - ((position + at) % SECTOR))
      const sector = current.subarray(at, end)
      const isLike = (content: Content) => isSectorOf(content, sector, at, end)
      const [isBefore, isAfter] = [isLike(before), isLike(after)]
      this.#isBefore &&= isBefore
      this.#isAfter &&= isAfter
      this.#isOther ||= !isBefore && !isAfter && !(mark !== undefined && isLike(mark))
      at = end
    }
  }

  stateFor(sizeBefore: number, sizeAfter: number): FileState {
    const { size } = this.#file
    if (this.#isOther || (size !== sizeBefore && size !== sizeAfter)) return 'other'
    if (this.#isBefore && size === sizeBefore) return 'before'
    return this.#isAfter && size === sizeAfter ? 'after' : 'between'
  }
}

const NOTHING = Buffer.alloc(SECTOR)

/** Whether bytes `at` to `end` of `content` are those of `sector`, which is shorter where the file ends. */
function isSectorOf({ kind, bytes }: Content, sector: Buffer, at: number, end: number): boolean {
  if (kind === ABSENT) return sector.equals(NOTHING.subarray(0, sector.length))
  return sector.equals(bytes?.subarray(at, end) ?? NOTHING.subarray(0, end - at))
}

function checkSum(head: Buffer, bytes: Buffer, offset: number, position: number): void {
  const [expected, actual] = [crc32c(bytes, crc32cWithout(head, offset)), head.readUInt32LE(offset)]
  if (expected !== actual) throw damaged(position, `the checksum ${expected}`, `${actual}`)
}

async function readWhole(device: BlockDevice, position: number, target: Buffer): Promise<void> {
  if (position + target.length > device.size) throw damaged(position, `${target.length} bytes`, 'the end of the file')
  await device.read(position, target)
}

const damaged = (position: number, expected: string, actual: string) =>
  formatError('UNDO_DAMAGED', { structure: 'undo file', position, expected, actual })
