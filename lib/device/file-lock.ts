/**
 * Locks on open files: many may read a file, or one may write it. On Windows that is a matter of opening; elsewhere it is
 * flock(2), which the system takes back when the file is closed or the program dies. It is advice: it stops those who ask.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { BusyError } from '../errors.ts'
import { tryFlock } from './native.ts'
import { storageError } from './storage-error.ts'

export type LockKind = 'shared' | 'exclusive' | 'none'

/** An open file, as much of it as can be locked. */
export interface Lockable {
  readonly fd: number
  readonly path: string
  stat(): Promise<{ readonly ino: bigint }>
}

/** What file systems without locks answer. */
const UNSUPPORTED = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOLCK', 'EINVAL'])

/**
 * Locks `file` until it is closed, without waiting. Gives the lock that is held: 'none' where the file system has no
 * locks, or the system neither fs-ext nor a flock command. Throws BusyError (IN_USE) when another holds one against it.
 */
export async function lockFile(file: Lockable, kind: LockKind): Promise<LockKind> {
  if (kind === 'none') return 'none'
  try {
    const locked = (await tryFlock(file.fd, kind)) ?? (await tryFlockCommand(file.fd, kind))
    if (locked === undefined) return 'none'
    if (locked) return kind
  } catch (error) {
    if (UNSUPPORTED.has(String((error as NodeJS.ErrnoException).code))) return 'none'
    throw storageError(error, { verb: 'lock', path: file.path })
  }
  const holder = await lockHolder((await file.stat()).ino)
  const deed = kind === 'exclusive' ? 'write' : 'read'
  throw new BusyError(
    'IN_USE',
    `cannot ${deed} ${file.path}: ${holder ?? 'another program'} has locked it. Wait until it is done, or stop it`,
    { path: file.path, holder },
  )
}

/**
 * flock(1) of util-linux or busybox. The lock belongs to the open file, which the command inherits as its descriptor 3,
 * and so outlives the command. Undefined when there is no such command, or it fails.
 */
async function tryFlockCommand(fd: number, kind: 'shared' | 'exclusive'): Promise<boolean | undefined> {
  // Loaded where there is no other way: it takes milliseconds that every command would pay.
  const { spawn } = await import('node:child_process')
  const child = spawn('flock', ['-n', kind === 'shared' ? '-s' : '-x', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  })
  const exit = await once(child, 'exit').then(
    ([code]) => code as number | null,
    () => null,
  )
  return exit === 0 ? true : exit === 1 ? false : undefined
}

/** Which process holds a lock on the inode, for people; undefined when Linux does not say. */
async function lockHolder(inode: bigint): Promise<string | undefined> {
  try {
    const locks = await readFile('/proc/locks', 'latin1')
    // 1: FLOCK  ADVISORY  WRITE 1234 fe:00:2146385 0 EOF
    const pid = locks.match(new RegExp(`FLOCK .* (\\d+) [0-9a-f]+:[0-9a-f]+:${inode} `))?.[1]
    if (pid === undefined) return undefined
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim()
    return `process ${pid} (${command})`
  } catch {
    return undefined
  }
}
