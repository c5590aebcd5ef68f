/** A thread of its own that does one kind of job, one after the other, on memory it shares with this one. */
import { Worker } from 'node:worker_threads'
import { StorageError } from '../errors.ts'

interface Waiting<Answer> {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

/** Close it, or the program does not end. */
export class JobThread<Job, Answer> implements AsyncDisposable {
  readonly #worker: Worker
  readonly #does: string
  /** Jobs are answered in the order in which they were given. */
  readonly #waiting: Waiting<Answer>[] = []
  #ended: Error | undefined

  /**
   * `work`: the body of a function that gives the function from job to answer. As text, because a worker's own file would
   * have to be found again in every form this program is run in: from its sources, built, and bundled into something else.
   * `does`: a verb, for errors.
   */
  constructor(work: string, does: string) {
    const source = `
      const work = (() => {${work}})()
      const { parentPort } = require('node:worker_threads')
      parentPort.on('message', job => parentPort.postMessage(work(job)))`
    this.#does = does
    this.#worker = new Worker(source, { eval: true, execArgv: [] })
    this.#worker.on('message', answer => this.#waiting.shift()!.resolve(answer))
    this.#worker.on('error', cause => this.#end(`: ${cause.message}`, cause))
    this.#worker.on('exit', exitCode => this.#end(` with exit code ${exitCode}`))
  }

  /**
   * The answer to `job`, whose shared memory must stay as it is until then.
   * Rejects with StorageError (THREAD_ENDED) when the thread is no more, by an error or because it was closed.
   */
  run(job: Job): Promise<Answer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#worker.postMessage(job)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }

  /** Nothing answers any more: neither the jobs under way nor those to come. Of several reasons the first is told. */
  #end(how: string, cause?: Error): void {
    this.#ended ??= new StorageError(
      'THREAD_ENDED',
      `the thread that ${this.#does} ended${how}. Start over`,
      {},
      { cause },
    )
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended)
  }
}
