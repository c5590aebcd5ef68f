/** System calls that Node lacks, by way of fs-ext. It is compiled at install, so it may be missing: then so are they. */
import { isWindows } from './windows-path.ts'

type FsExt = typeof import('fs-ext')['default']

let loading: Promise<FsExt | undefined> | undefined

/** fs-ext; undefined where it could not be installed or loaded. On Windows it has none of these calls. */
function fsExt(): Promise<FsExt | undefined> {
  loading ??= isWindows
    ? Promise.resolve(undefined)
    : import('fs-ext').then(
        module => module.default,
        () => undefined,
      )
  return loading
}

/** lseek(2) with `whence` of SEEK_DATA or SEEK_HOLE. */
export type Seek = (position: number, whence: typeof SEEK_DATA | typeof SEEK_HOLE) => number
export const SEEK_DATA = 3
export const SEEK_HOLE = 4

/**
 * lseek(2) for `fd`, or undefined. It moves the offset of `fd`, so all else has to read and write at positions.
 * It throws Node's system errors: ENXIO past the last data, EINVAL where the file system keeps no map.
 */
export async function seekOf(fd: number): Promise<Seek | undefined> {
  const native = await fsExt()
  return native && ((position, whence) => native.seekSync(fd, position, whence))
}

/** Tries flock(2) on `fd`: whether it was got; undefined when there is no flock to call. Throws Node's system errors. */
export async function tryFlock(fd: number, kind: 'shared' | 'exclusive'): Promise<boolean | undefined> {
  const native = await fsExt()
  if (native === undefined) return undefined
  try {
    native.flockSync(fd, kind === 'shared' ? 'shnb' : 'exnb')
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false
    throw error
  }
}

/** Size and free bytes of the file system that holds `path`, by statvfs(3); undefined without fs-ext. */
export async function fileSystemSpace(path: string): Promise<{ size: number; free: number } | undefined> {
  const status = (await fsExt())?.statVFS(path)
  return status && { size: status.f_blocks * status.f_frsize, free: status.f_bavail * status.f_frsize }
}
