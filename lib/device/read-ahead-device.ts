/** A device on which small reads that follow each other become few large ones: for files that are read in the order of the disk. */
import { KiB } from '../binary/size.ts'
import { BlockDevice } from './block-device.ts'
import type { Range } from './ranges.ts'

/** What is read at a time once reads follow each other. */
const WINDOW_SIZE = 256 * KiB
const MAX_WINDOWS = 32
/** Reads from here on up are large enough by themselves. */
const LARGE = WINDOW_SIZE / 2
/** A read follows another when it begins no further behind its end than this. */
const GAP = 32 * KiB
/** Reads that have followed each other when the next is read ahead of: a look-up of a path has two now and then. */
const LEAST_FOLLOWING = 3
/** How many runs of reads may be under way side by side, as records and contents of files are. */
const RUNS = 8

/** Reads that followed each other. */
interface Run {
  readonly end: number
  readonly reads: number
}

interface Window {
  readonly offset: number
  readonly length: number
  /** Of WINDOW_SIZE, to be used again. */
  readonly buffer: Buffer
  readonly loaded: Promise<void>
  /** Reads that are to be given bytes of it. */
  readers: number
}

/** Reads `base`, which nobody may write meanwhile. A read that follows no other is left as it is. Closing leaves `base` open. */
export class ReadAheadDevice extends BlockDevice {
  override readonly readOnly = true
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  readonly size: number
  readonly #base: BlockDevice
  /** The newest last. */
  readonly #windows: Window[] = []
  /** The newest last. */
  readonly #runs: Run[] = []

  constructor(base: BlockDevice) {
    super()
    this.#base = base
    this.size = base.size
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
  }

  protected override readBytes(offset: number, target: Buffer): Promise<void> {
    const end = offset + target.length
    const follows = this.#noteRun(offset, end)
    if (target.length >= LARGE) return this.#base.read(offset, target)
    const window =
      this.#windows.find(known => offset >= known.offset && end <= known.offset + known.length) ??
      (follows ? this.#load(offset) : undefined)
    return window === undefined ? this.#base.read(offset, target) : this.#readFrom(window, offset, target)
  }

  async #readFrom(window: Window, offset: number, target: Buffer): Promise<void> {
    window.readers++
    try {
      await window.loaded
    } catch {
      // What is wrong may be with bytes that nobody asked for.
      return this.#base.read(offset, target)
    } finally {
      window.readers--
    }
    window.buffer.copy(target, 0, offset - window.offset, offset - window.offset + target.length)
  }

  /** Whether a read follows enough others. */
  #noteRun(offset: number, end: number): boolean {
    const at = this.#runs.findLastIndex(run => offset >= run.end && offset - run.end <= GAP)
    const reads = 1 + (at < 0 ? 0 : this.#runs[at]!.reads)
    if (at >= 0) this.#runs.splice(at, 1)
    else if (this.#runs.length === RUNS) this.#runs.shift()
    this.#runs.push({ end, reads })
    return reads > LEAST_FOLLOWING
  }

  #load(offset: number): Window {
    const length = Math.min(WINDOW_SIZE, this.size - offset)
    const buffer = this.#freeBuffer()
    const loaded = this.#base.read(offset, buffer.subarray(0, length))
    // Counted as its own reader until it is there, so that the buffer stays its own.
    const window: Window = { offset, length, buffer, loaded, readers: 1 }
    this.#windows.push(window)
    loaded.then(
      () => window.readers--,
      () => this.#windows.splice(this.#windows.indexOf(window), 1),
    )
    return window
  }

  /** That of the oldest window which nobody waits for, when there are enough. Memory of its own for each costs more than reading. */
  #freeBuffer(): Buffer {
    const free = this.#windows.length < MAX_WINDOWS ? -1 : this.#windows.findIndex(({ readers }) => readers === 0)
    return free < 0 ? Buffer.allocUnsafeSlow(WINDOW_SIZE) : this.#windows.splice(free, 1)[0]!.buffer
  }

  protected override writeBytes(): Promise<void> {
    throw new Error('a device that is read-only was written')
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return this.#base.dataRanges(within)
  }

  override async close(): Promise<void> {}
}
