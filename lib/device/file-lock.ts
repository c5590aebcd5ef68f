/**
 * Locks on open files: many may read a file, or one may write it. On Windows that is a matter of opening. On Linux they
 * are the byte locks that QEMU puts on images, so that it respects ours and we respect its; where those cannot be had,
 * flock(2), which only stops copies of this program that use it too. All of them end when the file is closed or the
 * program dies. They are advice: they stop those who ask.
 */
import { once } from 'node:events'
import { statfs } from 'node:fs/promises'
import { BusyError } from '../errors.ts'
import { type ByteLocks, byteLocksOf } from './c-library.ts'
import { lockHolder } from './file-lock-holder.ts'
import { tryFlock } from './native.ts'
import { storageError } from './storage-error.ts'

export type LockKind = 'shared' | 'exclusive' | 'none'

/** An open file, as much of it as can be locked. */
export interface Lockable {
  readonly fd: number
  readonly path: string
  readonly identity: string
}

/** What file systems without locks answer. */
const UNSUPPORTED = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOLCK', 'EINVAL'])

/**
 * Locks `file` until it is closed, without waiting. Gives the lock that is held: 'none' where the file system has no
 * locks, or the system neither koffi nor fs-ext nor a flock command. Throws BusyError (IN_USE) when another holds one against it.
 */
export async function lockFile(file: Lockable, kind: LockKind): Promise<LockKind> {
  if (kind === 'none') return 'none'
  try {
    const bytes = (await isOnSmb(file.fd)) ? undefined : await byteLocksOf(file.fd)
    const locked = bytes === undefined ? await tryFlockAnyhow(file.fd, kind) : tryLockBytes(bytes, kind)
    if (locked === undefined) return 'none'
    if (locked) return kind
  } catch (error) {
    if (UNSUPPORTED.has(String((error as NodeJS.ErrnoException).code))) return 'none'
    throw storageError(error, { verb: 'lock', path: file.path })
  }
  const deed = kind === 'exclusive' ? 'write' : 'read'
  const holder = await lockHolder(file)
  const reason =
    holder === undefined
      ? 'another program has locked it, run by another user or, on a network share, by another machine. A lock ends with its program, or when the server of the share gives the machine up'
      : `${holder} has locked it. Wait until it is done, or stop it`
  throw new BusyError('IN_USE', `cannot ${deed} ${file.path}: ${reason}`, { path: file.path, holder })
}

/** Magic numbers of statfs(2): SMB, CIFS, SMB2. */
const SMB = [0x517b, 0xff534d42, 0xfe534d42]

/** There a lock is no advice: nobody writes to bytes that many have locked, not even who did, and those of QEMU lie in content. */
async function isOnSmb(fd: number): Promise<boolean> {
  const { type } = await statfs(`/proc/self/fd/${fd}`).catch(() => ({ type: 0 }))
  return SMB.includes(type)
}

/** What a program can do with an image; the numbers are QEMU's (spec-notes/images.md, "Locks on image files"). */
const [READ, WRITE, RESIZE] = [0, 1, 3]
/** The byte that a program locks for what it does is this and the number; for what it lets nobody else do, that. */
const [DONE, DENIED] = [100, 200]

const CLAIMS = {
  shared: { does: [READ], denies: [WRITE, RESIZE] },
  exclusive: { does: [READ, WRITE, RESIZE], denies: [WRITE, RESIZE] },
} as const

/**
 * Says what we do and what we deny, and only then looks what others said: of two that come at once both may give way,
 * but never do both go on.
 */
function tryLockBytes(bytes: ByteLocks, kind: 'shared' | 'exclusive'): boolean {
  const { does, denies } = CLAIMS[kind]
  const own = [...does.map(number => DONE + number), ...denies.map(number => DENIED + number)]
  const others = [...does.map(number => DENIED + number), ...denies.map(number => DONE + number)]
  return own.every(position => bytes.tryLock(position)) && !others.some(position => bytes.isLocked(position))
}

/** flock(2), by whatever there is to call it; undefined where there is nothing. */
const tryFlockAnyhow = async (fd: number, kind: 'shared' | 'exclusive') =>
  (await tryFlock(fd, kind)) ?? (await tryFlockCommand(fd, kind))

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
