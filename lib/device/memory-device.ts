/** A device held in memory: small disks, and every test that needs one. */
import { BlockDevice } from './block-device.ts'

interface MemoryDeviceOptions {
  readonly sectorSize?: number
  readonly physicalSectorSize?: number
  readonly readOnly?: boolean
  readonly growable?: boolean
}

/** A device over a Buffer, which it shares with the caller until it grows. */
export class MemoryDevice extends BlockDevice {
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  override readonly readOnly: boolean
  override readonly growable: boolean
  #content: Buffer

  /** `content`: the bytes, or how many zeros. */
  constructor(content: Buffer | number, options: MemoryDeviceOptions = {}) {
    super()
    this.#content = typeof content === 'number' ? Buffer.alloc(content) : content
    this.sectorSize = options.sectorSize ?? 512
    this.physicalSectorSize = options.physicalSectorSize ?? this.sectorSize
    this.readOnly = options.readOnly ?? false
    this.growable = options.growable ?? false
  }

  get size(): number {
    return this.#content.length
  }

  /** The bytes as they are now. */
  get content(): Buffer {
    return this.#content
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    this.#content.copy(target, 0, offset)
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    const end = offset + source.length
    if (end > this.size) this.#content = Buffer.concat([this.#content], end)
    source.copy(this.#content, offset)
  }

  /** Cuts the content, or appends zeros. */
  async resize(size: number): Promise<void> {
    this.#content = size <= this.size ? this.#content.subarray(0, size) : Buffer.concat([this.#content], size)
  }

  override async close(): Promise<void> {}
}
