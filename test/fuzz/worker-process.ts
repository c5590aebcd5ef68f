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
    // What goes wrong before the first case begins is told of it.
    let running = order.from
    let alarm: NodeJS.Timeout | undefined
    try {
      await new Promise<void>(resolve => {
        const failed = (failure: string) => {
          onResult({ number: running, codes: [], time: 0, memory: 0, failure })
          resolve()
        }
        const wait = () => {
          clearTimeout(alarm)
          alarm = setTimeout(() => {
            this.close()
            failed('hangs')
          }, this.#patience)
        }
        child.on('message', (result: Result) => {
          if (result.kind === 'done') return resolve()
          if (result.kind === 'ended') return onResult(result)
          running = result.number
          wait()
        })
        child.on('exit', (code, signal) => {
          if (this.#child !== child) return
          this.#child = undefined
          failed(`ends with ${code ?? signal}`)
        })
        wait()
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
