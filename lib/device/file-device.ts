/** A regular file or a raw device as a BlockDevice. */
import { type FileHandle, open } from 'node:fs/promises'
import { StorageError } from '../errors.ts'
import { BlockDevice } from './block-device.ts'

export interface FileDeviceOptions {
  /** 'read' (default); 'write': an existing file, size kept; 'create': a new file that grows as it is written, never an existing one. */
  readonly mode?: 'read' | 'write' | 'create'
  /** Bytes, where the caller knows better than the system: a raw device on Windows. */
  readonly size?: number
  readonly sectorSize?: number
}

/** A file. Open one with `FileDevice.open`. */
export class FileDevice extends BlockDevice {
  override readonly readOnly: boolean
  override readonly growable: boolean
  override readonly sectorSize: number
  readonly path: string
  readonly #handle: FileHandle
  #size: number

  private constructor(path: string, handle: FileHandle, size: number, options: FileDeviceOptions) {
    super()
    this.path = path
    this.#handle = handle
    this.#size = size
    this.readOnly = (options.mode ?? 'read') === 'read'
    this.growable = options.mode === 'create'
    this.sectorSize = options.sectorSize ?? 512
  }

  static async open(path: string, options: FileDeviceOptions = {}): Promise<FileDevice> {
    const flags = { read: 'r', write: 'r+', create: 'wx+' }[options.mode ?? 'read']
    const handle = await open(path, flags)
    const size = options.size ?? (await handle.stat()).size
    return new FileDevice(path, handle, size, options)
  }

  get size(): number {
    return this.#size
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await this.#handle.read(target, done, target.length - done, offset + done)
      if (bytesRead === 0) throw new StorageError('SHORT_READ', `${this.path} ended at byte ${offset + done}`)
      done += bytesRead
    }
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    for (let done = 0; done < source.length; ) {
      done += (await this.#handle.write(source, done, source.length - done, offset + done)).bytesWritten
    }
    this.#size = Math.max(this.#size, offset + source.length)
  }

  override async flush(): Promise<void> {
    await this.#handle.sync()
  }

  override async close(): Promise<void> {
    await this.#handle.close()
  }
}
