/** Ctrl-C and being told to end: the work stops in order, deletes what is half-written, and then the program ends. */
import { InterruptedError } from '../lib/index.ts'
import { describeError, type Output } from './output.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** How an image is left that is changed in its place, however the work is ended: a clause. */
export interface LeftAs {
  readonly leftAs: string
}

/**
 * Runs `work` with a signal that aborts at the first Ctrl-C; a second one ends the program at once. `target` is the image
 * that is being written: a path, `-` for a stream, undefined for none, or what is said of one that is there already.
 */
export async function interruptible<T>(
  { json }: Output,
  target: string | LeftAs | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const [stopped, ended] = consequences(target)
  const onSignal = (name: NodeJS.Signals) => {
    if (!controller.signal.aborted) {
      controller.abort(new InterruptedError('INTERRUPTED', `stopped by ${name}${stopped}`))
      return
    }
    const error = new InterruptedError('INTERRUPTED', `ended at once by a second ${name}${ended}`)
    process.stderr.write(`${process.stderr.isTTY ? '\n' : ''}${describeError(error, json)}\n`)
    // process.exit() would wait for requests under way, and a disk that does not answer may be why it is pressed again.
    ignore()
    process.kill(process.pid, name)
  }
  const ignore = () => {
    for (const name of SIGNALS) process.off(name, onSignal)
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  try {
    return await work(controller.signal)
  } finally {
    ignore()
  }
}

/** What becomes of the image when the work stops in order, and when the program just ends. */
function consequences(target: string | LeftAs | undefined): [stopped: string, ended: string] {
  if (target === undefined) return ['', '']
  if (typeof target === 'object') return [`; ${target.leftAs}`, `; ${target.leftAs}`]
  if (target === '-') return ['; the streamed image is not whole', '; the streamed image is not whole']
  return [
    '; what was half-written has been deleted',
    `; a half-written ${target}.partial may be left, and can be deleted`,
  ]
}
