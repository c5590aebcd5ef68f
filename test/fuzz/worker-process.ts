/** A worker process, begun anew when it has died or had to be ended. */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { CaseResult, Order, Result } from './messages.ts'

/** Milliseconds on the clock, of a machine that may have other things to do: six times what a case may take of the processor. */
const PATIENCE = 60_000
/** JavaScript's own objects, in MiB. */
const HEAP_LIMIT = 512

export class WorkerProcess {
  readonly #targets: string
  readonly #patience: number
  #child: ChildProcess | undefined

  /** `targets`: path of the module that has them. */
  constructor(targets: string, patience = PATIENCE) {
    this.#targets = targets
    this.#patience = patience
  }

  /** Runs what `order` says and passes each result on. A case that hangs or ends the process is a failure, and the last of its order. */
  async run(order: Order, onResult: (result: CaseResult) => void): Promise<void> {
    const child = this.#child ?? (await this.#start())
    this.#child = child
    let running: number | undefined
    let alarm: NodeJS.Timeout | undefined
    const failed = (failure: string) => {
      if (running === undefined) throw new Error(`the worker ${failure} before its first case`)
      onResult({ number: running, codes: [], time: 0, memory: 0, failure })
    }
    try {
      await new Promise<void>((resolve, reject) => {
        child.on('message', (result: Result) => {
          if (result.kind === 'done') return resolve()
          if (result.kind === 'ended') onResult(result)
          if (result.kind !== 'begins') return
          running = result.number
          clearTimeout(alarm)
          alarm = setTimeout(() => {
            this.close()
            failed('hangs')
            resolve()
          }, this.#patience)
        })
        child.on('exit', (code, signal) => {
          if (this.#child !== child) return
          this.#child = undefined
          try {
            resolve(failed(`ends with ${code ?? signal}`))
          } catch (error) {
            reject(error)
          }
        })
        child.send(order)
      })
    } finally {
      clearTimeout(alarm)
      child.removeAllListeners()
    }
  }

  close(): void {
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }

  async #start(): Promise<ChildProcess> {
    const execArgv = ['--import', 'tsx', `--max-old-space-size=${HEAP_LIMIT}`]
    const child = fork(join(import.meta.dirname, 'worker.ts'), [this.#targets], { execArgv })
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve())
      child.once('exit', code => reject(new Error(`the worker cannot start: it ends with ${code}`)))
    })
    child.removeAllListeners()
    return child
  }
}
