/** SHA-256 on a thread of its own, over memory it shares with this one: nothing is copied. */
import { Worker } from 'node:worker_threads'

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

  constructor() {
    this.#worker.on('message', ({ job, digest }: { job: number; digest: Uint8Array }) => {
      this.#jobs.get(job)!.resolve(Buffer.from(digest))
      this.#jobs.delete(job)
    })
    this.#worker.on('error', error => {
      for (const { reject } of this.#jobs.values()) reject(error)
      this.#jobs.clear()
    })
  }

  /** The hash of `bytes`, which lie in shared memory and must stay as they are until it is there. */
  sha256(bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const job = this.#nextJob++
      this.#jobs.set(job, { resolve, reject })
      this.#worker.postMessage({ job, memory: bytes.buffer, offset: bytes.byteOffset, length: bytes.length })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }
}
