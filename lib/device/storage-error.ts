/** What the operating system says when a file or a disk fails, in the library's words. */
import {
  BusyError,
  type DiskImageError,
  NotFoundError,
  ReadOnlyError,
  RefusedError,
  StorageError,
  UnsupportedError,
} from '../errors.ts'

/** What was tried when the system failed. */
export interface Attempt {
  readonly verb: 'open' | 'read' | 'write' | 'flush' | 'resize' | 'rename' | 'delete' | 'lock' | 'examine'
  readonly path: string
  /** First byte and number of bytes of a read or a write. */
  readonly position?: number
  readonly length?: number
}

interface Meaning {
  readonly type: new (...args: ConstructorParameters<typeof DiskImageError>) => DiskImageError
  readonly code: string
  readonly text: string
}

const meaning = (type: Meaning['type'], code: string, text: string): Meaning => ({ type, code, text })

const missing = meaning(NotFoundError, 'NOT_FOUND', 'there is no such file or device')
const forbidden = meaning(
  StorageError,
  'NOT_PERMITTED',
  `the system does not permit it. Raw disks need ${process.platform === 'win32' ? 'a shell started as Administrator' : 'root (sudo)'}; for a file, check who owns it`,
)
const full = meaning(StorageError, 'NO_SPACE', 'no space is left. Free some, or choose another target')
const gone = meaning(StorageError, 'DEVICE_GONE', 'the device is not there any more. Check its cable and power')
const unreadable = meaning(StorageError, 'READ_ERROR', 'the medium could not be read there')
const unwritable = meaning(StorageError, 'WRITE_ERROR', 'the medium could not be written there')
const folder = meaning(UnsupportedError, 'NOT_A_DISK', 'it is a folder, not a file or a disk')
const busy = meaning(BusyError, 'IN_USE', 'another program uses it. Close that program, or wait until it is done')

/** Names of Node and libuv; Linux numbers that libuv has no name for come as text. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: missing,
  ENOTDIR: missing,
  EACCES: forbidden,
  EPERM: forbidden,
  EROFS: meaning(ReadOnlyError, 'READ_ONLY_MEDIUM', 'the medium or its file system is read-only'),
  EEXIST: meaning(RefusedError, 'FILE_EXISTS', 'it exists already'),
  ENOSPC: full,
  EDQUOT: full,
  'Unknown system error -122': full,
  EFBIG: meaning(
    StorageError,
    'FILE_TOO_LARGE',
    'the file system of the target holds no file that large. FAT32 ends at 4 GiB: use NTFS, exFAT or ext4',
  ),
  EIO: unreadable,
  // What Linux block drivers answer for a bad sector, a failed target and a failed checksum.
  ENODATA: unreadable,
  EREMOTEIO: unreadable,
  EILSEQ: unreadable,
  ENXIO: gone,
  ENODEV: gone,
  'Unknown system error -123': meaning(StorageError, 'DEVICE_GONE', 'there is no medium in the drive'),
  EISDIR: folder,
  EBUSY: busy,
  ETXTBSY: busy,
}

/**
 * The library's error for `error`, which the system gave for `attempt`. What is not an error of the system, such as a
 * mistake in this program or an error that has been through here, comes back as it is.
 */
export function storageError(error: unknown, attempt: Attempt): unknown {
  if (!(error instanceof Error) || !('syscall' in error || 'errno' in error)) return error
  const systemCode = String((error as NodeJS.ErrnoException).code)
  let found = MEANINGS[systemCode] ?? meaning(StorageError, 'IO_ERROR', error.message)
  if (found === unreadable && (attempt.verb === 'write' || attempt.verb === 'flush')) found = unwritable
  return new found.type(
    found.code,
    `cannot ${describe(attempt)}: ${found.text} (${systemCode})`,
    { ...attempt, systemCode },
    { cause: error },
  )
}

/** A StorageError for a failure that this library notices itself, in the same words. */
export const attemptFailed = (code: string, attempt: Attempt, text: string) =>
  new StorageError(code, `cannot ${describe(attempt)}: ${text}`, { ...attempt })

function describe({ verb, path, position, length }: Attempt): string {
  return position === undefined ? `${verb} ${path}` : `${verb} ${length} bytes at byte ${position} of ${path}`
}

/** What `work` gives; what the system throws meanwhile, as `storageError` of `attempt`. */
export async function withStorageErrors<T>(attempt: Attempt, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storageError(error, attempt)
  }
}
