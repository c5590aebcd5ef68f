/**
 * System calls that neither Node nor fs-ext has, by way of koffi, which calls the C library as it is. Structures and numbers are those of
 * 64-bit Linux on the processors below; elsewhere, and where koffi is not installed, these calls are missing.
 */
const PROCESSORS: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64']

type CLibrary = Awaited<ReturnType<typeof loadCLibrary>>

let loading: Promise<CLibrary | undefined> | undefined

function cLibrary(): Promise<CLibrary | undefined> {
  const isKnown = process.platform === 'linux' && PROCESSORS.includes(process.arch)
  loading ??= isKnown ? loadCLibrary().catch(() => undefined) : Promise.resolve(undefined)
  return loading
}

/** struct flock */
const FILE_LOCK = { kind: 'short', whence: 'short', start: 'int64', length: 'int64', process: 'int' }
/** struct file_clone_range */
const CLONE_RANGE = { fromFd: 'int64', fromOffset: 'int64', length: 'int64', toOffset: 'int64' }

async function loadCLibrary() {
  const { default: koffi } = await import('koffi')
  const library = koffi.load(null)
  const pointerTo = (fields: Record<string, string>) => koffi.pointer(koffi.struct(fields))
  // On the processors above fcntl and ioctl, which take anything (...), are called as if they took just this.
  const calls = {
    fcntl: library.func('fcntl', 'int', ['int', 'int', koffi.inout(pointerTo(FILE_LOCK))]),
    ioctl: library.func('ioctl', 'int', ['int', 'ulong', pointerTo(CLONE_RANGE)]),
  }
  /** What the last call failed with. */
  const errorCode = () => {
    const errno = koffi.errno()
    const names = Object.entries(koffi.os.errno).find(([, number]) => number === errno)
    return names?.[0] ?? `Unknown system error -${errno}`
  }
  /** What the call gives; throws what Node would throw where it fails. */
  const call = (syscall: keyof typeof calls, ...args: unknown[]): number => {
    const result = calls[syscall](...args)
    if (result !== -1) return result
    const [errno, code] = [-koffi.errno(), errorCode()]
    throw Object.assign(new Error(`${code}: ${syscall}`), { errno, code, syscall })
  }
  return { call, ioctl: calls.ioctl, errorCode }
}

/** Locks on single bytes of an open file, many to a byte, until it is closed: the OFD locks of fcntl(2). */
export interface ByteLocks {
  /** Whether the byte could be locked: not where another holds it alone. Throws Node's system errors. */
  tryLock(position: number): boolean
  /** Whether another open file has a lock on the byte, of this process or of any. */
  isLocked(position: number): boolean
}

const [F_OFD_GETLK, F_OFD_SETLK] = [36, 37]
const [F_RDLCK, F_WRLCK, F_UNLCK] = [0, 1, 2]

/** The byte locks of `fd`; undefined where they cannot be called. */
export async function byteLocksOf(fd: number): Promise<ByteLocks | undefined> {
  const library = await cLibrary()
  if (library === undefined) return undefined
  const fcntl = (command: number, kind: number, start: number) => {
    const lock = { kind, whence: 0, start, length: 1, process: 0 }
    library.call('fcntl', fd, command, lock)
    return lock
  }
  return {
    tryLock(position) {
      try {
        fcntl(F_OFD_SETLK, F_RDLCK, position)
        return true
      } catch (error) {
        if (['EAGAIN', 'EACCES'].includes(String((error as NodeJS.ErrnoException).code))) return false
        throw error
      }
    },
    isLocked: position => fcntl(F_OFD_GETLK, F_WRLCK, position).kind !== F_UNLCK,
  }
}

const FICLONERANGE = 0x4020940d

/** What is answered for files that never can, whatever the range: by file systems that cannot, and for two of them. */
const NEVER = ['ENOTSUP', 'EOPNOTSUPP', 'ENOTTY', 'EXDEV', 'ENOSYS']

/**
 * Makes a range of one open file share the medium's blocks with a range of another, by FICLONERANGE of ioctl(2): the bytes
 * are copied when one of the two is written. Says whether that was done; 'never' where it cannot be for these files.
 */
export async function tryCloneRange(range: {
  readonly from: { readonly fd: number; readonly offset: number }
  readonly to: { readonly fd: number; readonly offset: number }
  readonly length: number
}): Promise<'done' | 'refused' | 'never'> {
  const { from, to, length } = range
  const library = await cLibrary()
  if (library === undefined) return 'never'
  const clone = { fromFd: from.fd, fromOffset: from.offset, length, toOffset: to.offset }
  return new Promise(resolve => {
    library.ioctl.async(to.fd, FICLONERANGE, clone, (error: unknown, result: unknown) => {
      if (error === null && result === 0) resolve('done')
      else resolve(error === null && !NEVER.includes(library.errorCode()) ? 'refused' : 'never')
    })
  })
}
