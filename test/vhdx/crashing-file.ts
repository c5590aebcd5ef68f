/** A file on a disk with a cache, and a cable that can be pulled: what was not flushed may be there, in part, or not. */
import { BlockDevice } from '../../lib/device/block-device.ts'

export class PowerCut extends Error {}

interface PendingWrite {
  readonly offset: number
  /** Undefined for a change of the size to `offset`. */
  readonly bytes: Buffer | undefined
}

export class CrashingFile extends BlockDevice {
  /** How many writes, flushes and changes of the size there were. */
  operations = 0
  /** As the program sees it. */
  content: Buffer
  /** As it is on the medium, but for what is pending. */
  #durable: Buffer
  #pending: PendingWrite[] = []
  readonly #limit: number

  /** The operation after `limit` of them throws PowerCut. */
  constructor(content: Buffer, limit = Number.POSITIVE_INFINITY) {
    super()
    this.content = content
    this.#durable = Buffer.from(content)
    this.#limit = limit
  }

  get size(): number {
    return this.content.length
  }

  /**
   * The file when the power comes back. Of the pending write number n, `survives[n]` says whether it reached the medium
   * and how many of its sectors of 512 bytes did at least; none does where nothing is said.
   */
  afterCrash(survives: readonly (readonly [boolean, number])[]): Buffer {
    let file: Buffer = Buffer.from(this.#durable)
    for (const [n, { offset, bytes }] of this.#pending.entries()) {
      const [reached, sectors] = survives[n % Math.max(1, survives.length)] ?? [false, 0]
      if (!reached) continue
      file = applied(file, { offset, bytes: bytes?.subarray(0, sectors * 512) })
    }
    return file
  }

  async resize(size: number): Promise<void> {
    this.#do({ offset: size, bytes: undefined })
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    this.content.copy(target, 0, offset)
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    this.#do({ offset, bytes: Buffer.from(source) })
  }

  override async flush(): Promise<void> {
    this.#count()
    for (const write of this.#pending) this.#durable = applied(this.#durable, write)
    this.#pending = []
  }

  override async close(): Promise<void> {}

  #do(write: PendingWrite): void {
    this.#count()
    this.content = applied(this.content, write)
    this.#pending.push(write)
  }

  #count(): void {
    if (this.operations === this.#limit) throw new PowerCut('the power was cut')
    this.operations++
  }
}

/** `file` after `write`: itself, but for one that has another size. */
function applied(file: Buffer, { offset, bytes }: PendingWrite): Buffer {
  const size = bytes === undefined ? offset : Math.max(file.length, offset + bytes.length)
  const changed = size === file.length ? file : Buffer.concat([file], size)
  bytes?.copy(changed, offset)
  return changed
}
