/**
 * A file on a disk with a cache, and a cable that can be pulled: all that is written to it, and when it was flushed, is
 * kept, so that afterwards it can be said what may be on the medium when the power is cut at any moment.
 *
 * A flush covers what had been written when it was asked for. All else may have reached the medium or not, in any order
 * and in part, sector by sector of 512 bytes; so may changes of the size.
 */
import { BlockDevice, type ResizableDevice } from '../../lib/device/block-device.ts'
import type { Random } from '../fuzz/random.ts'
import type { SparseFile } from './sparse-file.ts'

const SECTOR_SIZE = 512

interface Change {
  readonly offset: number
  /** Undefined for a change of the size to `offset`. */
  readonly bytes: Buffer | undefined
  /** Whether whoever asked for it knows that it was done. */
  isDone: boolean
}

/** The power is cut here. */
export interface Moment {
  readonly durable: SparseFile
  /** In the order in which they were asked for. */
  readonly pending: readonly Change[]
}

export type Operation = 'read' | 'write' | 'resize' | 'flush'

/** What was done to the file. */
export interface Done {
  readonly operation: Exclude<Operation, 'read'>
  /** Of a write; the new size of a resize. */
  readonly offset: number
  readonly bytes: Buffer
}

const NOTHING = Buffer.alloc(0)

export interface RecordingOptions {
  /** Decides how long requests take, so that those under way at a time end in another order than they began. */
  readonly random?: Random
  /** Throws what the operation fails with. `operations` have been counted with it. */
  readonly fault?: (operation: Operation, operations: number) => void
}

export class RecordingDevice extends BlockDevice implements ResizableDevice {
  /** One for each write and flush, when it had just begun or ended. */
  readonly moments: Moment[] = []
  /** All changes and flushes, as they were answered. */
  readonly journal: Done[] = []
  /** How many requests there were. */
  operations = 0
  /** As the program sees it. */
  readonly content: SparseFile
  #durable: SparseFile
  #pending: Change[] = []
  readonly #options: RecordingOptions

  constructor(content: SparseFile, options: RecordingOptions = {}) {
    super()
    this.content = content
    this.#durable = content.copy()
    this.#options = options
  }

  get size(): number {
    return this.content.size
  }

  resize(size: number): Promise<void> {
    return this.#change('resize', { offset: size, bytes: undefined, isDone: false })
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    this.#count('read')
    await this.#wait()
    await this.content.read(offset, target)
    await this.#wait()
  }

  /** A cache writes whole sectors, with what else it holds of them. */
  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    const start = offset - (offset % SECTOR_SIZE)
    const length = Math.ceil((offset + source.length - start) / SECTOR_SIZE) * SECTOR_SIZE
    const bytes = Buffer.alloc(Math.max(offset + source.length, Math.min(this.size, start + length)) - start)
    if (bytes.length > source.length) await this.content.read(start, bytes.subarray(0, Math.max(0, this.size - start)))
    source.copy(bytes, offset - start)
    await this.#change('write', { offset: start, bytes, isDone: false })
  }

  override async flush(): Promise<void> {
    const covered = this.#pending.filter(({ isDone }) => isDone)
    this.#count('flush')
    await this.#wait()
    // What another flush that has ended meanwhile covered, too, is on the medium already, and perhaps written over.
    const now = covered.filter(change => this.#pending.includes(change))
    this.#durable = this.#durable.copy()
    for (const change of now) apply(this.#durable, change)
    this.#pending = this.#pending.filter(change => !now.includes(change))
    this.journal.push({ operation: 'flush', offset: 0, bytes: NOTHING })
    this.mark()
  }

  override async close(): Promise<void> {}

  /** Makes this a moment to cut the power at. */
  mark(): void {
    this.moments.push({ durable: this.#durable, pending: [...this.#pending] })
  }

  async #change(operation: Done['operation'], change: Change): Promise<void> {
    try {
      this.#count(operation)
    } catch (error) {
      if (change.bytes !== undefined) this.#writeSome(change.offset, change.bytes)
      throw error
    }
    this.#pending.push(change)
    this.mark()
    await this.#wait()
    apply(this.content, change)
    await this.#wait()
    change.isDone = true
    this.journal.push({ operation, offset: change.offset, bytes: change.bytes ?? NOTHING })
  }

  /** What fails may have been done in part. */
  #writeSome(offset: number, bytes: Buffer): void {
    const sectors = this.#options.random?.below(Math.ceil(bytes.length / SECTOR_SIZE)) ?? 0
    if (sectors === 0) return
    const change = { offset, bytes: bytes.subarray(0, sectors * SECTOR_SIZE), isDone: true }
    this.#pending.push(change)
    apply(this.content, change)
  }

  #count(operation: Operation): void {
    this.operations++
    this.#options.fault?.(operation, this.operations)
  }

  async #wait(): Promise<void> {
    for (let turns = this.#options.random?.below(8) ?? 0; turns > 0; turns--) await undefined
  }
}

/** The medium when all that was pending has reached it. */
export function afterAll({ durable, pending }: Moment): SparseFile {
  const file = durable.copy()
  for (const change of pending) apply(file, change)
  return file
}

/** The medium when by chance some of what was pending has reached it, or parts of it, in any order. */
export function afterSome({ durable, pending }: Moment, random: Random): SparseFile {
  const file = durable.copy()
  const left = [...pending]
  // Most of them, few, or some.
  const chance = random.pick([2, 2, 2, 8, 1])
  const survive = random.onceIn(2)
  while (left.length > 0) {
    const [change] = left.splice(random.onceIn(2) ? 0 : random.below(left.length), 1) as [Change]
    if (random.onceIn(chance) === survive) applyPart(file, change, random)
  }
  return file
}

function apply(file: SparseFile, { offset, bytes }: Change): void {
  if (bytes === undefined) file.cut(offset)
  else file.put(offset, bytes)
}

/** All of it, more often than not; else what lies before or behind a sector boundary, or between two. */
function applyPart(file: SparseFile, change: Change, random: Random): void {
  const { offset, bytes } = change
  const bound = () => random.below(Math.ceil((bytes?.length ?? 0) / SECTOR_SIZE) + 1) * SECTOR_SIZE
  const [first, end] = [bound(), bound()].sort((a, b) => a - b) as [number, number]
  const kind = random.below(6)
  if (bytes === undefined || kind > 2) apply(file, change)
  else if (kind === 0) file.put(offset, bytes.subarray(0, end))
  else if (kind === 1) file.put(offset + first, bytes.subarray(first))
  else file.put(offset + first, bytes.subarray(first, end))
}
