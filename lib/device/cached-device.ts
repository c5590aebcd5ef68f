/** A device whose last read parts are kept: for file systems, which read small and read again. */
import { KiB, MiB, roundDown } from '../binary/size.ts'
import { BlockDevice } from './block-device.ts'
import type { Range } from './ranges.ts'
import { settle } from './settle.ts'

interface CachedDeviceOptions {
  /** Bytes that are read at a time, 64 KiB unless told. */
  readonly chunkSize?: number
  /** Bytes that are kept at most, 16 MiB unless told. */
  readonly capacity?: number
}

/**
 * Reads `base` in aligned chunks and keeps those last used. Reads of one chunk at a time share one read of `base`, and
 * reads of more than a quarter of the capacity go by the cache: they would only push out what is used again.
 * Writes go straight through. Nobody else may write `base` meanwhile. It keeps its size. Closing leaves `base` open.
 */
export class CachedDevice extends BlockDevice {
  readonly size: number
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  override readonly readOnly: boolean
  readonly #base: BlockDevice
  readonly #chunkSize: number
  readonly #capacity: number
  /** By number, the one used longest ago first. */
  readonly #chunks = new Map<number, Promise<Buffer>>()

  constructor(base: BlockDevice, options: CachedDeviceOptions = {}) {
    super()
    this.#base = base
    this.#chunkSize = options.chunkSize ?? 64 * KiB
    this.#capacity = options.capacity ?? 16 * MiB
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
    this.readOnly = base.readOnly
    this.size = base.size
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    if (target.length > this.#capacity / 4) return this.#base.read(offset, target)
    const pieces: Promise<unknown>[] = []
    for (let at = 0; at < target.length; ) {
      const start = roundDown(offset + at, this.#chunkSize)
      const from = offset + at - start
      const length = Math.min(this.#chunkSize - from, target.length - at)
      const piece = target.subarray(at, at + length)
      pieces.push(this.#chunk(start / this.#chunkSize).then(chunk => chunk.copy(piece, 0, from)))
      at += length
    }
    await settle(pieces)
  }

  #chunk(number: number): Promise<Buffer> {
    const chunk = this.#chunks.get(number) ?? this.#load(number)
    this.#chunks.delete(number)
    this.#chunks.set(number, chunk)
    if (this.#chunks.size * this.#chunkSize > this.#capacity) {
      const [oldest] = this.#chunks.keys()
      this.#chunks.delete(oldest!)
    }
    return chunk
  }

  #load(number: number): Promise<Buffer> {
    const start = number * this.#chunkSize
    const content = Buffer.allocUnsafe(Math.min(this.#chunkSize, this.size - start))
    const loading = this.#base.read(start, content).then(() => content)
    loading.catch(() => {
      if (this.#chunks.get(number) === loading) this.#chunks.delete(number)
    })
    return loading
  }

  protected override writeBytes(offset: number, source: Buffer): Promise<void> {
    return this.#change(offset, source.length, () => this.#base.write(offset, source))
  }

  protected override zeroBytes(offset: number, length: number): Promise<void> {
    return this.#change(offset, length, () => this.#base.zero(offset, length))
  }

  /** Forgets in the end what `change` changes, with all that was read of it meanwhile. */
  async #change(offset: number, length: number, change: () => Promise<void>): Promise<void> {
    try {
      await change()
    } finally {
      this.#forget(offset, length)
    }
  }

  #forget(offset: number, length: number): void {
    const first = Math.floor(offset / this.#chunkSize)
    const end = Math.ceil((offset + length) / this.#chunkSize)
    for (const number of this.#chunks.keys()) {
      if (number >= first && number < end) this.#chunks.delete(number)
    }
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return this.#base.dataRanges(within)
  }

  override flush(): Promise<void> {
    return this.#base.flush()
  }

  async close(): Promise<void> {}
}
