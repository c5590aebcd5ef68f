/**
 * Writes many small files on a thread of its own, out of memory it shares with this one. Small files are all system
 * calls: made one after the other on a thread they take a third of the time that Node's asynchronous ones do, and this
 * thread reads the next ones meanwhile.
 */
import { Worker } from 'node:worker_threads'
import { StorageError } from '../errors.ts'

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

/** As text, for the reasons that HashThread has: a file of its own would be lost where this program is bundled. */
const THREAD = `
const fs = require('node:fs')
const { parentPort } = require('node:worker_threads')
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
parentPort.on('message', ({ job, memory, paths, temporaries, numbers }) => {
  const bytes = new Uint8Array(memory)
  const failures = []
  for (const [index, path] of paths.entries()) {
    try {
      write(bytes, path, temporaries[index], numbers.subarray(${NUMBERS} * index, ${NUMBERS} * (index + 1)))
    } catch ({ code, message, syscall }) {
      failures.push({ index, code: String(code), message, syscall: String(syscall) })
    }
  }
  parentPort.postMessage({ job, failures })
})`

interface Job {
  readonly resolve: (failures: readonly SystemFailure[]) => void
  readonly reject: (error: Error) => void
}

/** One thread that writes. Close it, or the program does not end. */
export class WriterThread implements AsyncDisposable {
  readonly #worker = new Worker(THREAD, { eval: true, execArgv: [] })
  readonly #jobs = new Map<number, Job>()
  #nextJob = 0
  #ended: Error | undefined

  constructor() {
    this.#worker.on('message', ({ job, failures }) => {
      this.#jobs.get(job)!.resolve(failures)
      this.#jobs.delete(job)
    })
    this.#worker.on('error', cause => this.#end(`: ${cause.message}`, cause))
    this.#worker.on('exit', exitCode => this.#end(` with exit code ${exitCode}`))
  }

  /**
   * Writes the files, whose bytes must stay as they are until it is done, and says which were not, and why. What fails
   * leaves nothing behind. Rejects with StorageError (WRITER_THREAD_ENDED) when the thread is no more.
   */
  write(memory: SharedArrayBuffer, files: readonly SmallFile[]): Promise<readonly SystemFailure[]> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => {
      const job = this.#nextJob++
      this.#jobs.set(job, { resolve, reject })
      const numbers = new Float64Array(NUMBERS * files.length)
      for (const [index, { offset, length, mode, modified, accessed }] of files.entries()) {
        numbers.set([offset, length, mode, modified ?? Number.NaN, accessed ?? Number.NaN], NUMBERS * index)
      }
      const paths = files.map(({ path }) => path)
      const temporaries = files.map(({ temporary }) => temporary)
      this.#worker.postMessage({ job, memory, paths, temporaries, numbers })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }

  #end(how: string, cause?: Error): void {
    this.#ended ??= new StorageError(
      'WRITER_THREAD_ENDED',
      `the thread that writes ended${how}. Start over`,
      {},
      { cause },
    )
    for (const { reject } of this.#jobs.values()) reject(this.#ended)
    this.#jobs.clear()
  }
}
