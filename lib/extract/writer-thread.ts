/**
 * Writes many small files on a thread of its own, out of memory it shares with this one. Small files are all system
 * calls: made one after the other on a thread they take a third of the time that Node's asynchronous ones do, and this
 * thread reads the next ones meanwhile.
 */
import { JobThread } from '../copy/job-thread.ts'

/** A file as the thread writes it. */
export interface SmallFile {
  readonly path: string
  /** Written first and renamed to `path`, replacing what is there. Without it, nothing is ever replaced. */
  readonly temporary?: string | undefined
  /** Where its bytes are in the memory. */
  readonly offset: number
  readonly length: number
  readonly mode: number
  /** Seconds since 1970; undefined to leave the times as they come. */
  readonly modified: number | undefined
  readonly accessed: number | undefined
}

/** Why a file was not written, as Node's errors say it. */
export interface SystemFailure {
  /** Which of the files. */
  readonly index: number
  readonly code: string
  readonly message: string
  readonly syscall: string
}

/** Numbers of a file in a message. A message of objects takes longer to pass than a small file to write. */
const NUMBERS = 5

interface WriteJob {
  readonly memory: SharedArrayBuffer
  readonly paths: readonly string[]
  readonly temporaries: readonly (string | undefined)[]
  readonly numbers: Float64Array
}

const WORK = `
const fs = require('node:fs')
const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = fs.constants
function write(bytes, path, temporary, [offset, length, mode, modified, accessed]) {
  const place = temporary ?? path
  const file = fs.openSync(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  try {
    try {
      for (let done = 0; done < length; ) done += fs.writeSync(file, bytes, offset + done, length - done)
      // Not every file system keeps times.
      if (!Number.isNaN(modified)) try { fs.futimesSync(file, accessed, modified) } catch {}
    } finally {
      fs.closeSync(file)
    }
    if (temporary !== undefined) fs.renameSync(temporary, path)
  } catch (error) {
    fs.rmSync(place, { force: true })
    throw error
  }
}
return ({ memory, paths, temporaries, numbers }) => {
  const bytes = new Uint8Array(memory)
  const failures = []
  for (const [index, path] of paths.entries()) {
    try {
      write(bytes, path, temporaries[index], numbers.subarray(${NUMBERS} * index, ${NUMBERS} * (index + 1)))
    } catch ({ code, message, syscall }) {
      failures.push({ index, code: String(code), message, syscall: String(syscall) })
    }
  }
  return failures
}`

export class WriterThread extends JobThread<WriteJob, readonly SystemFailure[]> {
  constructor() {
    super(WORK, 'writes')
  }

  /** Writes the files out of `memory`, and says which were not written, and why. What fails leaves nothing behind. As for `run`. */
  write(memory: SharedArrayBuffer, files: readonly SmallFile[]): Promise<readonly SystemFailure[]> {
    const numbers = new Float64Array(NUMBERS * files.length)
    for (const [index, { offset, length, mode, modified, accessed }] of files.entries()) {
      numbers.set([offset, length, mode, modified ?? Number.NaN, accessed ?? Number.NaN], NUMBERS * index)
    }
    const paths = files.map(({ path }) => path)
    const temporaries = files.map(({ temporary }) => temporary)
    return this.run({ memory, paths, temporaries, numbers })
  }
}
