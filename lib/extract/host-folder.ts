/**
 * The folder that is copied into. Nothing is ever written through a link that lies in it: folders are looked at before
 * anything goes into them, and files are made under names that nothing had before.
 */
import { randomBytes } from 'node:crypto'
import {
  constants,
  type FileHandle,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  rename,
  rm,
  symlink,
  utimes,
} from 'node:fs/promises'
import { sep } from 'node:path'
import { fileIdentity, identityOfStats } from '../device/file-identity.ts'
import { storageError, withStorageErrors } from '../device/storage-error.ts'
import { isWindows } from '../device/windows-path.ts'
import { RefusedError, StorageError } from '../errors.ts'
import type { TargetFolder } from './target-names.ts'

/** Modification and access time in seconds since 1970, as Node takes them. */
export interface UnixTimes {
  readonly modified: number
  readonly accessed: number
}

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants

export class HostFolder {
  readonly root: string
  readonly #sources: readonly string[]
  readonly #made = new Map<number, Promise<void>>()
  /** Of this run alone, so that what another left behind is not in the way. */
  readonly #run = randomBytes(4).toString('hex')
  #temporaries = 0

  /** `root` is there, or is made by `create`. `sources`: what is read meanwhile. */
  constructor(root: string, sources: readonly string[]) {
    this.root = root
    this.#sources = sources
  }

  /** A path of this system for a place below the target. */
  absolute(place: string): string {
    if (place === '') return this.root
    return `${this.root}${this.root.endsWith(sep) ? '' : sep}${isWindows ? place.replaceAll('/', sep) : place}`
  }

  /** A name beside `path` that nothing has. */
  temporaryFor(path: string): string {
    return `${path.slice(0, path.lastIndexOf(sep) + 1)}.vhdx-${this.#run}-${this.#temporaries++}.partial`
  }

  /**
   * Sees to it that the folder is there, and is a folder: a link to one is not taken, whoever made it.
   * Throws RefusedError (NOT_A_FOLDER), StorageError.
   */
  ensure(folder: TargetFolder): Promise<void> {
    if (folder.parent === undefined) return Promise.resolve()
    let made = this.#made.get(folder.number)
    if (made === undefined) {
      made = this.ensure(folder.parent).then(() => makeFolder(this.absolute(folder.path)))
      this.#made.set(folder.number, made)
      // Everything that goes into it gets the same error; until something does, it is not unhandled.
      made.catch(() => {})
    }
    return made
  }

  /** A new file for writing, never an existing one. */
  create(path: string, mode: number): Promise<FileHandle> {
    return withStorageErrors({ verb: 'open', path }, () => open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode))
  }

  /** Gives a whole file its name. Throws RefusedError (FILE_EXISTS) when that is taken, unless `replaces`. */
  async settle(temporary: string, path: string, replaces: boolean): Promise<void> {
    await withStorageErrors({ verb: 'rename', path }, async () => {
      if (replaces) return rename(temporary, path)
      try {
        await link(temporary, path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
        // The file system has no hard links.
        if (await this.isTaken(path)) throw existsError(path)
        return rename(temporary, path)
      }
      return rm(temporary)
    })
  }

  /** Another name for a file that was copied. Throws what `settle` throws. */
  async linkFile(from: string, to: string, replaces: boolean): Promise<void> {
    await withStorageErrors({ verb: 'open', path: to }, async () => {
      if (!replaces) return link(from, to)
      const temporary = this.temporaryFor(to)
      await link(from, temporary)
      return rename(temporary, to).finally(() => rm(temporary, { force: true }))
    })
  }

  /** A symbolic link. Throws StorageError (NO_LINKS), and what `settle` throws. */
  async linkPath(target: string, path: string, isFolder: boolean, times: UnixTimes | undefined, replaces: boolean) {
    await withStorageErrors({ verb: 'open', path }, async () => {
      const made = replaces ? this.temporaryFor(path) : path
      await symlink(isWindows ? target.replaceAll('/', sep) : target, made, isFolder ? 'dir' : 'file').catch(error => {
        throw NO_LINKS.includes(error.code) ? noLinks(path, error) : error
      })
      // Times of links are a nicety that not every system has.
      if (times !== undefined) await lutimes(made, times.accessed, times.modified).catch(() => {})
      if (replaces) await rename(made, path).finally(() => rm(made, { force: true }))
    })
  }

  /** Whether `path` is one of the files that are read meanwhile. A link to one is not: there is nothing in it to lose. */
  async isSource(path: string): Promise<boolean> {
    if (this.#sources.length === 0) return false
    const stats = await lstat(path, { bigint: true }).catch(() => undefined)
    return stats !== undefined && (await Promise.all(this.#sources.map(fileIdentity))).includes(identityOfStats(stats))
  }

  /** Whether anything has this name, a link that leads nowhere included. */
  async isTaken(path: string): Promise<boolean> {
    try {
      await lstat(path)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw storageError(error, { verb: 'examine', path })
    }
  }

  /** The times of a folder, which have to come after everything that was written into it. */
  async setTimes(folder: TargetFolder, { modified, accessed }: UnixTimes): Promise<void> {
    // Not every file system keeps times.
    await utimes(this.absolute(folder.path), accessed, modified).catch(() => {})
  }
}

/** Makes `path`, unless it is a folder already. */
async function makeFolder(path: string): Promise<void> {
  await withStorageErrors({ verb: 'open', path }, async () => {
    try {
      await mkdir(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if ((await lstat(path)).isDirectory()) return
      throw new RefusedError(
        'NOT_A_FOLDER',
        `${path} is in the way: it is no folder, and links are not followed. Move it, or choose another target`,
        { path },
      )
    }
  })
}

/** What systems answer for a link where a file system has none, or Windows wants more rights. */
const NO_LINKS = ['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']

function noLinks(path: string, cause: NodeJS.ErrnoException): StorageError {
  const why = isWindows
    ? 'Windows lets only administrators make symbolic links, or everybody in developer mode'
    : 'the file system of the target has no symbolic links'
  return new StorageError('NO_LINKS', `cannot make the link ${path}: ${why} (${cause.code})`, { path }, { cause })
}

/** For what is read by this very copy. */
export const sourceError = (path: string) =>
  new RefusedError('SAME_FILE', `${path} is what is being read, and is not written over. Choose another target`, {
    path,
  })

export const existsError = (path: string) =>
  new RefusedError('FILE_EXISTS', `${path} exists already. --on-conflict says what becomes of it`, { path })
