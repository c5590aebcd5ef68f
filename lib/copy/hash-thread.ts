/** SHA-256 on a thread of its own, over memory it shares with this one: nothing is copied. */
import { Worker } from 'node:worker_threads'
import { StorageError } from '../errors.ts'

/**
 * What the thread runs. As text, because a worker's own file would have to be found again in every form this program is
 * run in: from its sources, built, and bundled into something else.
 */
const THREAD = `
const { createHash } = require('node:crypto')
const { parentPort } = require('node:worker_threads')
parentPort.on('message', ({ job, memory, offset, length }) => {
  const digest = createHash('sha256').update(new Uint8Array(memory, offset, length)).digest()
  parentPort.postMessage({ job, digest })
})`

interface Job {
  readonly resolve: (digest: Buffer) => void
  readonly reject: (error: Error) => void
}

/** One thread that hashes. Close it, or the program does not end. */
export class HashThread implements AsyncDisposable {
  readonly #worker = new Worker(THREAD, { eval: true, execArgv: [] })
  readonly #jobs = new Map<number, Job>()
  #nextJob = 0
  #ended: Error | undefined

  constructor() {
    this.#worker.on('message', ({ job, digest }: { job: number; digest: Uint8Array }) => {
      this.#jobs.get(job)!.resolve(Buffer.from(digest))
      this.#jobs.delete(job)
    })
    this.#worker.on('error', cause => this.#end(`: ${cause.message}`, cause))
    this.#worker.on('exit', exitCode => this.#end(` with exit code ${exitCode}`))
  }

  /**
   * The hash of `bytes`, which lie in shared memory and must stay as they are until it is there.
   * Rejects with StorageError (HASH_THREAD_ENDED) when the thread is no more, by an error or because it was closed.
   */
  sha256(bytes: Buffer): Promise<Buffer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => {
      const job = this.#nextJob++
      this.#jobs.set(job, { resolve, reject })
      this.#worker.postMessage({ job, memory: bytes.buffer, offset: bytes.byteOffset, length: bytes.length })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }

  /** Nothing answers any more: neither the jobs under way nor those to come. Of several reasons the first is told. */
  #end(how: string, cause?: Error): void {
    this.#ended ??= new StorageError(
      'HASH_THREAD_ENDED',
      `the thread that hashes ended${how}. Start over`,
      {},
      { cause },
    )
    for (const { reject } of this.#jobs.values()) reject(this.#ended)
    this.#jobs.clear()
  }
}
