/** A file that appears under its name only when it is whole: written as NAME.partial, flushed, then renamed. */
import { link, lstat, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { formatSize } from '../binary/size.ts'
import { FileDevice } from '../device/file-device.ts'
import { fileIdentity } from '../device/file-identity.ts'
import { flushFolder } from '../device/folder.ts'
import { withStorageErrors } from '../device/storage-error.ts'
import { NotFoundError, OptionError, RefusedError, StorageError } from '../errors.ts'
import { freeSpace } from '../platform/free-space.ts'

export class OutputFile implements AsyncDisposable {
  readonly path: string
  readonly partialPath: string
  readonly device: FileDevice
  readonly #overwrite: boolean
  #isOpen = true
  #isKept = false

  private constructor(path: string, device: FileDevice, overwrite: boolean) {
    this.path = path
    this.partialPath = partialPathOf(path)
    this.device = device
    this.#overwrite = overwrite
  }

  /**
   * Opens NAME.partial for writing. Throws RefusedError (TARGET_EXISTS) when `path` or its partial file is there
   * already, unless `overwrite`; then the partial file is deleted at once, and `path` replaced in the end. Throws
   * StorageError (NO_SPACE) when there is no room for `needed` bytes.
   */
  static async create(
    path: string,
    { overwrite, needed }: { overwrite: boolean; needed: number },
  ): Promise<OutputFile> {
    await refuseTarget(path, overwrite)
    const partial = partialPathOf(path)
    if ((await kindOf(partial)) !== undefined) {
      if (!overwrite) throw leftoverError(partial)
      await refuseTarget(partial, overwrite)
      // Opening for writing takes the lock: a program that still runs keeps its file.
      await (await FileDevice.open(partial, { mode: 'write' })).close()
      await unlink(partial)
    }
    await refuseFullTarget(path, needed)
    return new OutputFile(path, await FileDevice.open(partial, { mode: 'create' }), overwrite)
  }

  /** Flushes, gives the file its name and flushes the folder. A file that came to be there meanwhile is not replaced. */
  async complete(): Promise<void> {
    await this.device.flush()
    await this.#close()
    await withStorageErrors({ verb: 'rename', path: this.partialPath }, () =>
      this.#overwrite ? rename(this.partialPath, this.path) : renameToNew(this.partialPath, this.path),
    )
    this.#isKept = true
    await flushFolder(dirname(this.path))
  }

  /** Deletes what was written, unless it is complete. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isKept) return
    // Whatever made it stop is being told already; what goes wrong here must not hide it.
    await this.#close().catch(() => {})
    await unlink(this.partialPath).catch(() => {})
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.device.close()
  }
}

export const partialPathOf = (path: string) => `${path}.partial`

/**
 * Throws RefusedError when there is something at `path` that must not be replaced: TARGET_EXISTS for a file, unless
 * `overwrite`; TARGET_NOT_A_FILE for a device, a folder or a link, whatever the user says.
 */
export async function refuseTarget(path: string, overwrite: boolean): Promise<void> {
  const kind = await kindOf(path)
  if (kind === undefined || (kind === 'file' && overwrite)) return
  if (kind !== 'file') {
    throw new RefusedError(
      'TARGET_NOT_A_FILE',
      `${path} is ${kind}, which an image does not replace. Give the path of a file`,
      { path, kind },
    )
  }
  throw new RefusedError('TARGET_EXISTS', `${path} exists already. Choose another name, or replace it with --force`, {
    path,
  })
}

/** Throws OptionError (SAME_FILE) when `target` or its partial file is one of `sources`, which are read meanwhile. */
export async function refuseSources(target: string, sources: readonly string[]): Promise<void> {
  const identities = await Promise.all(sources.map(fileIdentity))
  for (const path of [target, partialPathOf(target)]) {
    const identity = await fileIdentity(path)
    if (identity === undefined || !identities.includes(identity)) continue
    throw new OptionError('SAME_FILE', `${path} is what is being read. Write to another file`, { path })
  }
}

/** Throws StorageError (NO_SPACE) when the file system of `path` has not `needed` bytes left. */
export async function refuseFullTarget(path: string, needed: number): Promise<void> {
  const free = await freeSpace(path)
  if (free >= needed) return
  throw new StorageError(
    'NO_SPACE',
    `${path} needs ${formatSize(needed)}, but only ${formatSize(free)} are free there. Nothing was written`,
    { needed, free },
  )
}

function leftoverError(partial: string): RefusedError {
  return new RefusedError(
    'TARGET_EXISTS',
    `${partial} exists: another program is writing it, or one was stopped. If none runs, delete it or use --force`,
    { path: partial },
  )
}

/** What is at `path`, not following links; undefined when nothing is. */
async function kindOf(path: string): Promise<string | undefined> {
  try {
    const stats = await withStorageErrors({ verb: 'examine', path }, () => lstat(path))
    if (stats.isFile()) return 'file'
    return stats.isDirectory() ? 'a folder' : stats.isSymbolicLink() ? 'a link' : 'a device'
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

/** A hard link fails when the name is taken, where a rename would replace; not every file system has them. */
async function renameToNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    await refuseTarget(to, false)
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
    return rename(from, to)
  }
  await unlink(from)
}
