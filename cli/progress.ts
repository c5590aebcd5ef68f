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

/** Takes reports as often as they come and prints some of them. `stop` before anything else is printed. */
export class Progress {
  readonly #output: Output
  readonly #interval: number
  #bar: SingleBar | undefined
  #phase = ''
  #startedAt = Date.now()
  #printedAt = 0
  #timer: NodeJS.Timeout | undefined
  #last: ProgressReport | undefined

  constructor(output: Output) {
    this.#output = output
    this.#interval = output.json ? JSON_INTERVAL : process.stderr.isTTY ? BAR_INTERVAL : LOG_INTERVAL
    if (output.quiet) return
    // A disk that does not answer for minutes must not look like a program that died.
    this.#timer = setInterval(() => this.#print(), this.#interval)
    this.#timer.unref()
  }

  report(report: ProgressReport): void {
    if (this.#output.quiet) return
    if (report.phase !== this.#phase) {
      this.stop()
      this.#phase = report.phase
      this.#startedAt = Date.now()
      this.#timer = setInterval(() => this.#print(), this.#interval)
      this.#timer.unref()
    }
    this.#last = report
    if (Date.now() - this.#printedAt >= this.#interval) this.#print()
  }

  /** Prints something else, above the bar. */
  aside(print: () => void): void {
    this.#bar?.stop()
    this.#bar = undefined
    print()
  }

  /** Ends the bar, leaving its last state on the screen. */
  stop(): void {
    clearInterval(this.#timer)
    if (this.#bar !== undefined) this.#print()
    this.#bar?.stop()
    this.#bar = undefined
  }

  #print(): void {
    if (this.#last === undefined) return
    this.#printedAt = Date.now()
    const { phase, done, total } = this.#last
    const seconds = (Date.now() - this.#startedAt) / 1000
    const rate = seconds > 0 ? done / seconds : 0
    const eta = rate > 0 && total > done ? Math.ceil((total - done) / rate) : undefined
    if (this.#output.json) {
      this.#output.jsonLine({
        type: 'progress',
        phase,
        bytesDone: done,
        bytesTotal: total,
        bytesPerSecond: Math.round(rate),
        etaSeconds: eta ?? null,
      })
    } else if (process.stderr.isTTY) {
      this.#drawBar(rate, eta)
    } else {
      const percent = total > 0 ? Math.floor((100 * done) / total) : 100
      this.#output.note(
        `${phase}: ${formatSize(done)} of ${formatSize(total)}, ${percent} %, ${formatSize(rate)}/s${eta === undefined ? '' : `, ${duration(eta)} left`}`,
      )
    }
  }

  #drawBar(rate: number, eta: number | undefined): void {
    const { phase, done, total } = this.#last!
    const payload = {
      phase,
      of: formatSize(total),
      have: formatSize(done),
      rate: formatSize(rate),
      left: eta === undefined ? '-' : duration(eta),
    }
    if (this.#bar === undefined) {
      this.#bar = new SingleBar({
        format: '{phase} [{bar}] {percentage} %  {have} of {of}  {rate}/s  {left} left',
        barCompleteChar: '#',
        barIncompleteChar: '.',
        hideCursor: true,
        noTTYOutput: false,
        stream: process.stderr,
        gracefulExit: false,
      })
      this.#bar.start(Math.max(total, 1), done, payload)
    } else this.#bar.update(done, payload)
  }
}

/** Seconds as `2 h 05 min`, `4 min 10 s` or `12 s`. */
export function duration(seconds: number): string {
  const [hours, minutes, rest] = [
    Math.floor(seconds / 3600),
    Math.floor((seconds % 3600) / 60),
    Math.floor(seconds % 60),
  ]
  const two = (value: number) => String(value).padStart(2, '0')
  if (hours > 0) return `${hours} h ${two(minutes)} min`
  return minutes > 0 ? `${minutes} min ${two(rest)} s` : `${rest} s`
}
