/** Progress of long work: a bar on a terminal, a plain line now and then in a log, JSON with --json. */
import { SingleBar } from 'cli-progress'
import { formatSize } from '../lib/index.ts'
import type { Output } from './output.ts'

export interface ProgressReport {
  /** What is being done, such as 'copying'. */
  readonly phase: string
  /** Bytes done and to do. */
  readonly done: number
  readonly total: number
}

const JSON_INTERVAL = 1_000
const BAR_INTERVAL = 200
const LOG_INTERVAL = 30_000

/** Seconds before which a rate says nothing. */
const RATE_AFTER = 0.5

/** Columns that the words beside the bar take at most. */
const BESIDE_BAR = 66

/** Takes reports as often as they come and prints some of them. `stop` before anything else is printed. */
export class Progress {
  readonly #output: Output
  #bar: SingleBar | undefined
  #phase = ''
  #startedAt = 0
  #printedAt = 0
  #timer: NodeJS.Timeout | undefined
  #last: ProgressReport | undefined

  constructor(output: Output) {
    this.#output = output
  }

  report(report: ProgressReport): void {
    if (this.#output.quiet) return
    if (report.phase !== this.#phase) this.#begin(report.phase)
    this.#last = report
    if (Date.now() - this.#printedAt >= this.#interval(report)) this.#print()
  }

  /** Prints something else, above the bar. */
  aside(print: () => void): void {
    this.#stopBar()
    print()
  }

  /** Ends the bar and takes it off the screen. */
  stop(): void {
    clearInterval(this.#timer)
    this.#stopBar()
  }

  /** A disk that does not answer for minutes must not look like a program that died, so a timer prints as well. */
  #begin(phase: string): void {
    this.stop()
    this.#phase = phase
    this.#startedAt = Date.now()
    this.#printedAt = 0
    this.#timer = setInterval(() => {
      if (Date.now() - this.#printedAt >= this.#interval(this.#last!)) this.#print()
    }, BAR_INTERVAL)
    this.#timer.unref()
  }

  #interval({ total }: ProgressReport): number {
    if (this.#output.json) return JSON_INTERVAL
    return process.stderr.isTTY && total > 0 ? BAR_INTERVAL : LOG_INTERVAL
  }

  #print(): void {
    this.#printedAt = Date.now()
    const { phase, done, total } = this.#last!
    const seconds = (Date.now() - this.#startedAt) / 1000
    const rate = seconds >= RATE_AFTER ? done / seconds : 0
    const eta = rate > 0 && total > done ? Math.ceil((total - done) / rate) : undefined
    if (this.#output.json) {
      const [bytesPerSecond, etaSeconds] = [Math.round(rate), eta ?? null]
      this.#output.jsonLine({ type: 'progress', phase, bytesDone: done, bytesTotal: total, bytesPerSecond, etaSeconds })
    } else if (total === 0) {
      this.#output.note(seconds < 1 ? phase : `${phase}, for ${duration(seconds)}`)
    } else if (process.stderr.isTTY) {
      this.#drawBar(rate, eta)
    } else {
      const parts = [`${formatSize(done)} of ${formatSize(total)}`, `${Math.floor((100 * done) / total)} %`]
      if (rate > 0) parts.push(`${formatSize(rate)}/s`)
      if (eta !== undefined) parts.push(`${duration(eta)} left`)
      this.#output.note(`${phase}: ${parts.join(', ')}`)
    }
  }

  #stopBar(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }

  #drawBar(rate: number, eta: number | undefined): void {
    const { phase, done, total } = this.#last!
    const left = eta === undefined ? '' : `  ${duration(eta)} left`
    const payload = { phase, of: formatSize(total), rate: formatSize(rate), left }
    if (this.#bar === undefined) {
      this.#bar = new SingleBar({
        format: '{phase} [{bar}] {percentage} % of {of}  {rate}/s{left}',
        barsize: Math.max(4, Math.min(40, (process.stderr.columns ?? 80) - BESIDE_BAR)),
        barCompleteChar: '#',
        barIncompleteChar: '.',
        // A second Ctrl-C ends the program as it stands, so the terminal is left as it is.
        linewrap: true,
        clearOnComplete: true,
        noTTYOutput: false,
        stream: process.stderr,
        gracefulExit: false,
      })
      this.#bar.start(Math.max(total, 1), done, payload)
    } else this.#bar.update(done, payload)
  }
}

/** Seconds as `2 h 05 min`, `4 min 10 s`, `12 s` or `0.4 s`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`
  const [hours, minutes, rest] = [
    Math.floor(seconds / 3600),
    Math.floor((seconds % 3600) / 60),
    Math.floor(seconds % 60),
  ]
  const two = (value: number) => String(value).padStart(2, '0')
  if (hours > 0) return `${hours} h ${two(minutes)} min`
  return minutes > 0 ? `${minutes} min ${two(rest)} s` : `${rest} s`
}
