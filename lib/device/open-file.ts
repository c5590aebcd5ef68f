/** A file or a raw device, opened: which kinds can be, whole reads and writes, the system's errors in our words. */
import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { GiB } from '../binary/size.ts'
import { UnsupportedError } from '../errors.ts'
import { DirectWriter } from './direct-writer.ts'
import { identityOfStats, identityOfWindowsName } from './file-identity.ts'
import { type LockKind, lockFile } from './file-lock.ts'
import type { Medium } from './medium.ts'
import { type Attempt, attemptFailed, storageError, withStorageErrors } from './storage-error.ts'
import { isWindows, type WindowsName, windowsName } from './windows-path.ts'

/** 'read'; 'write': an existing file or a raw device; 'create': a new file, never an existing one. */
export type OpenMode = 'read' | 'write' | 'create'

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = constants
const FLAGS: Readonly<Record<OpenMode, number>> = { read: O_RDONLY, write: O_RDWR, create: O_RDWR | O_CREAT | O_EXCL }

/** libuv's flag for a CreateFile that shares with nobody. Node passes it on but gives it no name. */
const UV_FS_O_EXLOCK = 0x10000000

/** Node takes no single request of 2 GiB or more. */
const LONGEST_REQUEST = GiB

export class OpenFile implements Medium {
  readonly path: string
  /** On Linux every block device is a 'disk'. */
  readonly kind: WindowsName['kind']
  /** As `fileIdentity` says. */
  readonly identity: string
  readonly #handle: FileHandle
  readonly #direct: DirectWriter
  #lock: LockKind = 'none'

  private constructor(path: string, kind: WindowsName['kind'], identity: string, handle: FileHandle) {
    this.path = path
    this.kind = kind
    this.identity = identity
    this.#handle = handle
    this.#direct = new DirectWriter(handle.fd)
  }

  /**
   * Opens and locks `path`. Throws NotFoundError, BusyError (IN_USE), RefusedError (FILE_EXISTS), UnsupportedError
   * (NOT_A_DISK) for folders, pipes and the like, and StorageError.
   */
  static async open(path: string, mode: OpenMode, lock: LockKind): Promise<OpenFile> {
    const file = await (isWindows ? OpenFile.#openOnWindows(path, mode, lock) : OpenFile.#openByStat(path, FLAGS[mode]))
    try {
      file.#lock = isWindows ? lock : await lockFile(file, lock)
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** On Windows the lock is a matter of opening: who shares with nobody is alone, and keeps others out. */
  static async #openOnWindows(path: string, mode: OpenMode, lock: LockKind): Promise<OpenFile> {
    const flags = FLAGS[mode] + (lock === 'exclusive' ? UV_FS_O_EXLOCK : 0)
    const { kind, paths } = windowsName(path)
    if (kind === 'file') return OpenFile.#openByStat(path, flags)
    return new OpenFile(path, kind, identityOfWindowsName(paths), await openFirst(paths, flags, path))
  }

  static async #openByStat(path: string, flags: number): Promise<OpenFile> {
    const attempt = { verb: 'open', path } as const
    // Before opening: opening a pipe waits for its other end, opening a device may set it off.
    if ((flags & O_CREAT) === 0)
      refuseOddFile(await withStorageErrors(attempt, () => stat(path, { bigint: true })), path)
    const handle = await withStorageErrors(attempt, () => open(path, flags))
    try {
      const stats = await withStorageErrors(attempt, () => handle.stat({ bigint: true }))
      return new OpenFile(path, stats.isBlockDevice() ? 'disk' : 'file', identityOfStats(stats), handle)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get fd(): number {
    return this.#handle.fd
  }

  /** The lock that is held: less than was asked for where the system has none to give. */
  get lock(): LockKind {
    return this.#lock
  }

  async read(offset: number, target: Buffer): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const attempt = this.#request('read', offset + done, target.length - done)
      const { bytesRead } = await withStorageErrors(attempt, () =>
        this.#handle.read(target, done, attempt.length, attempt.position),
      )
      if (bytesRead === 0) throw attemptFailed('SHORT_READ', attempt, 'it ends there. Something made it shorter')
      done += bytesRead
    }
  }

  async write(offset: number, source: Buffer): Promise<void> {
    const attempt = this.#request('write', offset, source.length)
    let done = await withStorageErrors(attempt, () => this.#direct.write(offset, source))
    while (done < source.length) {
      const attempt = this.#request('write', offset + done, source.length - done)
      const { bytesWritten } = await withStorageErrors(attempt, () =>
        this.#handle.write(source, done, attempt.length, attempt.position),
      )
      if (bytesWritten === 0) throw attemptFailed('WRITE_ERROR', attempt, 'the system took none of them')
      done += bytesWritten
    }
  }

  stat(): Promise<BigIntStats> {
    return withStorageErrors({ verb: 'examine', path: this.path }, () => this.#handle.stat({ bigint: true }))
  }

  flush(): Promise<void> {
    return withStorageErrors({ verb: 'flush', path: this.path }, () => this.#handle.sync())
  }

  truncate(size: number): Promise<void> {
    return withStorageErrors({ verb: 'resize', path: this.path }, () => this.#handle.truncate(size))
  }

  async close(): Promise<void> {
    await this.#direct.close()
    await this.#handle.close()
  }

  #request(verb: 'read' | 'write', position: number, length: number) {
    return { verb, path: this.path, position, length: Math.min(length, LONGEST_REQUEST) } satisfies Attempt
  }
}

function refuseOddFile(stats: BigIntStats, path: string): void {
  if (stats.isFile() || stats.isBlockDevice()) return
  const kind = stats.isDirectory()
    ? 'a folder'
    : stats.isFIFO()
      ? 'a pipe'
      : stats.isSocket()
        ? 'a socket'
        : 'a character device'
  throw new UnsupportedError('NOT_A_DISK', `cannot open ${path}: it is ${kind}, neither a file nor a disk`, {
    path,
    kind,
  })
}

/** The first of `paths` that opens. A name the system does not know fails in many ways; one it denies or has in use, in few. */
async function openFirst(paths: readonly (string | Buffer)[], flags: number, path: string): Promise<FileHandle> {
  let failure: unknown
  for (const candidate of paths) {
    try {
      return await open(candidate, flags)
    } catch (error) {
      failure = error
      if (['EACCES', 'EPERM', 'EBUSY'].includes(String((error as NodeJS.ErrnoException).code))) break
    }
  }
  throw storageError(failure, { verb: 'open', path })
}
