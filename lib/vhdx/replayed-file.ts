/** A file as it will be when its log is replayed, [MS-VHDX] 2.3.3. Nothing is written: the log is read when it is needed. */
import { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { ReadOnlyError } from '../errors.ts'
import type { LogReplay } from './log-replay.ts'
import { type LogWrites, readLogged } from './log-writes.ts'

/** What a part of the file is not written by. */
const NONE = -1

/** A part of the file, and which write is the last to it. */
interface Part extends Range {
  readonly write: number
}

/** `file` with a replay shown in its place. Its memory depends on how many writes there are, not on what they write. */
export class ReplayedFile extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  readonly #file: BlockDevice
  readonly #writes: LogWrites
  /** Where parts begin that one write each is the last to, in order; the one before the first is written by none. */
  readonly #starts: Float64Array
  /** By the number of its start, the write of each part. */
  readonly #lastWrites: Int32Array

  constructor(file: BlockDevice, { writes, fileSize }: LogReplay) {
    super()
    this.size = fileSize
    this.#file = file
    this.#writes = writes
    this.#starts = partStarts(writes)
    this.#lastWrites = lastWrites(writes, this.#starts)
  }

  /** Whether any byte of `range` comes out of the log. */
  isReplayed(range: Range): boolean {
    for (const { write } of this.#parts(range)) if (write !== NONE) return true
    return false
  }

  /** What of the file comes out of the log, in order. */
  *replayedRanges(): Iterable<Range> {
    for (const { offset, length, write } of this.#parts({ offset: 0, length: this.size })) {
      if (write !== NONE) yield { offset, length }
    }
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    for (const part of this.#parts({ offset, length: target.length })) {
      await this.#readPart(part, target.subarray(part.offset - offset, endOf(part) - offset))
    }
  }

  async #readPart(part: Part, target: Buffer): Promise<void> {
    if (part.write === NONE) return this.#readUnwritten(part.offset, target)
    const { offset, descriptor, sector } = this.#writes.at(part.write)
    if (sector === undefined) target.fill(0)
    else (await readLogged(this.#file, descriptor, sector)).copy(target, 0, part.offset - offset)
  }

  /** The file itself, and zeros where the replay makes it longer. */
  async #readUnwritten(offset: number, target: Buffer): Promise<void> {
    const length = Math.min(target.length, Math.max(0, this.#file.size - offset))
    if (length > 0) await this.#file.read(offset, target.subarray(0, length))
    target.fill(0, length)
  }

  *#parts(range: Range): Iterable<Part> {
    const end = endOf(range)
    let number = lastNotAbove(this.#starts, range.offset)
    for (let offset = range.offset; offset < end; number++) {
      const next = Math.min(end, this.#starts[number + 1] ?? end)
      yield { offset, length: next - offset, write: this.#lastWrites[number] ?? NONE }
      offset = next
    }
  }

  protected override writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'a file whose log is replayed in memory is for reading only')
  }

  /** Leaves the file open. */
  override async close(): Promise<void> {}
}

/** Every byte where a write begins or ends, in order and once. */
function partStarts(writes: LogWrites): Float64Array {
  const bounds = new Float64Array(writes.count * 2)
  for (let index = 0; index < writes.count; index++) {
    const write = writes.at(index)
    bounds[index * 2] = write.offset
    bounds[index * 2 + 1] = endOf(write)
  }
  bounds.sort()
  let count = 0
  for (const bound of bounds) if (count === 0 || bound !== bounds[count - 1]) bounds[count++] = bound
  return bounds.slice(0, count)
}

/**
 * For each part the last write to it. The newest write takes its parts first, and each older one what is left: `free`
 * leads from a part to the next one that nobody has taken, so that none is looked at more than a few times.
 */
function lastWrites(writes: LogWrites, starts: Float64Array): Int32Array {
  const owners = new Int32Array(starts.length).fill(NONE)
  const next = Int32Array.from({ length: starts.length + 1 }, (_, part) => part)
  const free = (part: number) => {
    while (next[part] !== part) {
      next[part] = next[next[part]!]!
      part = next[part]!
    }
    return part
  }
  for (let index = writes.count - 1; index >= 0; index--) {
    const write = writes.at(index)
    const end = lastNotAbove(starts, endOf(write))
    for (let part = free(lastNotAbove(starts, write.offset)); part < end; part = free(part)) {
      owners[part] = index
      next[part] = part + 1
    }
  }
  return owners
}

/** The index of the last of `sorted` that is not above `value`; -1 when all are. */
function lastNotAbove(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (sorted[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}
