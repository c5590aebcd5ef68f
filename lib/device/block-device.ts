/** The contract that everything below a volume speaks. */
import { OutOfRangeError, ReadOnlyError } from '../errors.ts'
import type { Range } from './ranges.ts'

/** Something with a size that can be read anywhere. */
export interface ByteSource {
  /** Bytes. */
  readonly size: number
  /** Fills all of `target` with the bytes at `offset`, or throws. Never a short read. */
  read(offset: number, target: Buffer): Promise<void>
}

const ZEROS_LENGTH = 1024 * 1024
/** Shared by all devices; nobody writes to it. */
let zeros: Buffer | undefined

/**
 * A disk, a part of one, or a file. Offsets and lengths are bytes and need no alignment: a device over a medium that
 * wants whole sectors sees to it itself.
 *
 * A request outside the device throws OutOfRangeError, a write to a read-only one ReadOnlyError. The public methods of
 * this class check both, so implementations of `readBytes` and the like need not. A growable device takes writes that
 * end past its end, and grows; what lies between its old end and the write then reads as zeros.
 *
 * Requests may overlap in time; those to different bytes do not disturb each other. `target` and `source` belong to the
 * device until the promise settles. What was written is on the medium after `flush`. After `close` nothing is defined;
 * `close` itself may be called twice. `close` does not flush.
 */
export abstract class BlockDevice implements ByteSource, AsyncDisposable {
  /** Bytes. Constant, but for growable devices and after `resize`. */
  abstract readonly size: number
  /** Bytes of a logical sector: 512 or 4096. Nothing needs to be aligned to it here; partition tables count in it. */
  readonly sectorSize: number = 512
  /** Bytes of a physical sector, at least `sectorSize`. */
  readonly physicalSectorSize: number = 512
  readonly readOnly: boolean = false
  readonly growable: boolean = false

  protected abstract readBytes(offset: number, target: Buffer): Promise<void>
  protected abstract writeBytes(offset: number, source: Buffer): Promise<void>
  abstract close(): Promise<void>

  async flush(): Promise<void> {}

  /** What `zero` does when the medium has no better way: writes zeros, a MiB at a time. */
  protected async zeroBytes(offset: number, length: number): Promise<void> {
    zeros ??= Buffer.alloc(ZEROS_LENGTH)
    for (let done = 0; done < length; done += ZEROS_LENGTH) {
      await this.writeBytes(offset + done, zeros.subarray(0, Math.min(ZEROS_LENGTH, length - done)))
    }
  }

  /** What `cloneFrom` does: nothing, but for files. */
  protected async cloneBytes(_source: BlockDevice, _from: number, _offset: number, _length: number): Promise<boolean> {
    return false
  }

  /** What `trim` does: nothing, where the medium has no use for it. */
  protected async trimBytes(_offset: number, _length: number): Promise<void> {}

  /** Where data may be in `within`, in order, not touching each other. All else reads as zeros. */
  protected async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    if (within.length > 0) yield within
  }

  async read(offset: number, target: Buffer): Promise<void> {
    this.#check('read', offset, target.length, this.size)
    if (target.length > 0) await this.readBytes(offset, target)
  }

  async write(offset: number, source: Buffer): Promise<void> {
    this.#checkWrite('write', offset, source.length)
    if (source.length > 0) await this.writeBytes(offset, source)
  }

  /** Makes `length` bytes from `offset` read as zeros. */
  async zero(offset: number, length: number): Promise<void> {
    this.#checkWrite('zero', offset, length)
    if (length > 0) await this.zeroBytes(offset, length)
  }

  /** Says that `length` bytes from `offset` are not needed any more: they read as before or as zeros from then on. */
  async trim(offset: number, length: number): Promise<void> {
    this.#checkWrite('trim', offset, length)
    if (length > 0) await this.trimBytes(offset, length)
  }

  /**
   * Where the bytes of `range` lie as they are: in which device, and from which of its bytes on. Undefined where they are
   * put together, or nothing says where they are.
   */
  async placeOf(range: Range): Promise<{ readonly device: BlockDevice; readonly offset: number } | undefined> {
    return { device: this, offset: range.offset }
  }

  /**
   * Makes `length` bytes at `offset` those that `source` has at `from`, without copying: both lie in files of one file
   * system, and share its blocks until one of them is written. Whether that could be done; a `RangeCopier` copies what could not.
   */
  async cloneFrom(source: BlockDevice, from: number, offset: number, length: number): Promise<boolean> {
    source.#check('clone', from, length, source.size)
    this.#checkWrite('clone', offset, length)
    return length === 0 || this.cloneBytes(source, from, offset, length)
  }

  /** Where data may be, in order, not touching each other, cut to `within`; all else reads as zeros. */
  dataRanges(within: Range = { offset: 0, length: this.size }): AsyncIterable<Range> {
    this.#check('dataRanges', within.offset, within.length, this.size)
    return this.dataRangesWithin(within)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #checkWrite(verb: string, offset: number, length: number): void {
    if (this.readOnly) throw new ReadOnlyError('READ_ONLY', `cannot ${verb}: the device was opened for reading only`)
    this.#check(verb, offset, length, this.growable ? Number.MAX_SAFE_INTEGER : this.size)
  }

  #check(verb: string, offset: number, length: number, limit: number): void {
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
    if (whole && offset >= 0 && length >= 0 && offset + length <= limit) return
    throw new OutOfRangeError(
      'OUT_OF_RANGE',
      `cannot ${verb} ${length} bytes at byte ${offset}: the device ends at byte ${limit}`,
      { offset, length, size: limit },
    )
  }
}

/** A device whose size can be changed, as that of a file. */
export interface ResizableDevice extends BlockDevice {
  /** Cuts the device, or makes it longer by bytes that read as zeros. */
  resize(size: number): Promise<void>
}
