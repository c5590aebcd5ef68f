/** Ctrl-C and being told to end: the work stops in order, deletes what is half-written, and then the program ends. */
import { InterruptedError } from '../lib/index.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Runs `work` with a signal that aborts at the first Ctrl-C; a second one ends the program at once. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const onSignal = (name: string) => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort(new InterruptedError('INTERRUPTED', `stopped by ${name}; what was half-written has been deleted`))
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  try {
    return await work(controller.signal)
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal)
  }
}
