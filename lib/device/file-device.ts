/** A regular file or a raw device as a BlockDevice. */
import { ReadOnlyError, StorageError, UnsupportedError } from '../errors.ts'
import { BlockDevice } from './block-device.ts'
import { tryCloneRange } from './c-library.ts'
import type { LockKind } from './file-lock.ts'
import { dataByHoleMap } from './hole-map.ts'
import { blockDeviceExists, deviceNumber, type Geometry, linuxGeometry } from './linux-block-device.ts'
import type { Medium } from './medium.ts'
import { seekOf } from './native.ts'
import { OpenFile, type OpenMode } from './open-file.ts'
import type { Range } from './ranges.ts'
import { isWindows } from './windows-path.ts'
import { openWindowsRaw } from './windows-raw.ts'

/** How `FileDevice.open` opens. */
export interface FileDeviceOptions {
  /**
   * 'read' (default); 'write': an existing file or a raw device, size kept but for `resize`; 'create': a new file that
   * grows as it is written, never an existing one.
   */
  readonly mode?: OpenMode
  /**
   * 'shared' while reading, 'exclusive' while writing, unless said otherwise. On Windows nobody at all can open or
   * rename a file that is locked exclusively: close it first.
   */
  readonly lock?: LockKind
  /** Bytes, where the caller knows better than the system. */
  readonly size?: number
  /** Bytes of a logical sector, where the caller knows better: an image file has 512 unless told. */
  readonly sectorSize?: number
}

/** A regular file or a raw device. Open one with `FileDevice.open`. */
export class FileDevice extends BlockDevice {
  override readonly readOnly: boolean
  override readonly growable: boolean
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  readonly path: string
  /** Whether this is a disk or a volume of the system, not a file. */
  readonly raw: boolean
  readonly #file: OpenFile
  readonly #medium: Medium
  /** Files of which nothing can be cloned into this one: it is asked once. */
  readonly #uncloned = new WeakSet<FileDevice>()
  #size: number

  private constructor(file: OpenFile, mode: OpenMode, geometry: Geometry, medium: Medium) {
    super()
    this.path = file.path
    this.raw = file.kind !== 'file'
    this.readOnly = mode === 'read'
    this.growable = mode === 'create'
    this.sectorSize = geometry.sectorSize
    this.physicalSectorSize = geometry.physicalSectorSize
    this.#file = file
    this.#medium = medium
    this.#size = geometry.size
  }

  /**
   * Opens a file, a block device on Linux, or a disk or volume on Windows: `\\.\PhysicalDrive0`, `\\.\C:`,
   * `\\?\Volume{guid}`, `\\?\GLOBALROOT\Device\...`. Sizes and sectors are those the system says, or on Windows what
   * `openWindowsRaw` finds.
   * Throws NotFoundError, BusyError (IN_USE), RefusedError (FILE_EXISTS), UnsupportedError (NOT_A_DISK) and StorageError.
   */
  static async open(path: string, options: FileDeviceOptions = {}): Promise<FileDevice> {
    const mode = options.mode ?? 'read'
    const file = await OpenFile.open(path, mode, options.lock ?? (mode === 'read' ? 'shared' : 'exclusive'))
    try {
      const { medium, ...geometry } = await mediumAndGeometry(file, options)
      return new FileDevice(file, mode, geometry, medium)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get size(): number {
    return this.#size
  }

  /** Equal to `fileIdentity` of every name of this file or device. */
  get identity(): string {
    return this.#file.identity
  }

  /** The lock that is held: 'none' where the system has none to give. */
  get lock(): LockKind {
    return this.#file.lock
  }

  /** When the file was last changed; undefined for raw devices. */
  async modified(): Promise<Date | undefined> {
    return this.raw ? undefined : (await this.#file.stat()).mtime
  }

  /** Bytes the file takes on its file system; undefined for raw devices and on Windows, where Node does not say. */
  async allocatedBytes(): Promise<number | undefined> {
    return this.raw || isWindows ? undefined : Number((await this.#file.stat()).blocks) * 512
  }

  /** Whether the file has holes; undefined for raw devices and on Windows. */
  async isSparse(): Promise<boolean | undefined> {
    const allocated = await this.allocatedBytes()
    if (allocated === undefined) return undefined
    const seek = await seekOf(this.#file.fd)
    // Without a map of the holes: a file on a file system that compresses counts as one with holes.
    if (seek === undefined) return allocated < this.size
    const [first] = dataByHoleMap(seek, { offset: 0, length: this.size })
    return this.size > 0 && first?.length !== this.size
  }

  /** Makes a file `size` bytes long: cuts it, or adds a hole. Throws UnsupportedError for a raw device. */
  async resize(size: number): Promise<void> {
    if (this.raw) throw new UnsupportedError('FIXED_SIZE', `${this.path} is a device: its size cannot be changed`)
    await this.#file.truncate(size)
    this.#size = size
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    try {
      await this.#medium.read(offset, target)
    } catch (error) {
      throw await this.#failure(error)
    }
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    try {
      await this.#medium.write(offset, source)
    } catch (error) {
      throw await this.#failure(error)
    }
    this.#size = Math.max(this.#size, offset + source.length)
  }

  /** Not what has holes: the target would have them too, and Windows attaches no image with holes. */
  protected override async cloneBytes(
    source: BlockDevice,
    from: number,
    offset: number,
    length: number,
  ): Promise<boolean> {
    if (!(source instanceof FileDevice) || this.#uncloned.has(source) || source.raw || this.raw) return false
    const seek = await seekOf(source.#file.fd)
    if (seek === undefined) return false
    const [first] = dataByHoleMap(seek, { offset: from, length })
    if (first?.length !== length) return false
    const cloned = await tryCloneRange({
      from: { fd: source.#file.fd, offset: from },
      to: { fd: this.#file.fd, offset },
      length,
    })
    if (cloned === 'never') this.#uncloned.add(source)
    if (cloned === 'done') this.#size = Math.max(this.#size, offset + length)
    return cloned === 'done'
  }

  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    if (within.length === 0) return
    const seek = this.raw ? undefined : await seekOf(this.#file.fd)
    if (seek === undefined) yield within
    else yield* dataByHoleMap(seek, within)
  }

  override async flush(): Promise<void> {
    if (!this.readOnly) await this.#file.flush()
  }

  override close(): Promise<void> {
    return this.#file.close()
  }

  /** A disk that went away fails like a bad sector. Whoever skips bad sectors must not skip to the end of such a disk. */
  async #failure(error: unknown): Promise<unknown> {
    if (isWindows || !this.raw || !(error instanceof StorageError)) return error
    if (await blockDeviceExists(deviceNumber((await this.#file.stat()).rdev))) return error
    return new StorageError(
      'DEVICE_GONE',
      `${this.path} is not there any more. Check its cable and power`,
      { ...error.details },
      { cause: error },
    )
  }
}

async function mediumAndGeometry(file: OpenFile, options: FileDeviceOptions): Promise<Geometry & { medium: Medium }> {
  if (file.kind !== 'file' && isWindows) {
    const { medium, size, sectorSize } = await openWindowsRaw(file, file.kind, file.path, options)
    // The physical size cannot be read. 4096 is what most disks have, and what Windows gives to a new VHDX.
    return { medium, size, sectorSize, physicalSectorSize: 4096 }
  }
  const stats = await file.stat()
  const known =
    file.kind === 'file'
      ? { size: Number(stats.size), sectorSize: 512, physicalSectorSize: 512, readOnly: false }
      : await linuxGeometry(deviceNumber(stats.rdev), file.path)
  // Linux opens a write-protected disk for writing, and denies each write.
  if (known.readOnly && options.mode === 'write') {
    throw new ReadOnlyError('READ_ONLY_MEDIUM', `cannot write ${file.path}: the disk is write-protected`)
  }
  const sectorSize = options.sectorSize ?? known.sectorSize
  return {
    medium: file,
    size: options.size ?? known.size,
    sectorSize,
    physicalSectorSize: Math.max(sectorSize, known.physicalSectorSize),
  }
}
