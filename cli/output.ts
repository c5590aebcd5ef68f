/** What a command says, and where: results on stdout, everything else on stderr; text for people or a line of JSON. */
import { DiskImageError, type Finding, StorageError } from '../lib/index.ts'
import { printable, printableLine } from './printable.ts'

export interface OutputOptions {
  readonly json?: boolean | undefined
  readonly quiet?: boolean | undefined
}

/** bigint as decimal text, byte strings as hex: JSON knows neither. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

/** Characters that are collected before they are written. */
const BATCH = 65_536

/**
 * A reader that has seen enough, as in `vhdx map … | head`, is no error: what it does not read is dropped, work that has
 * a purpose beside its output goes on, and the program ends with the exit code it would have had.
 */
export class Output {
  readonly json: boolean
  readonly quiet: boolean
  readonly #results: NodeJS.WritableStream
  /** Why results are no longer written. */
  #lost: NodeJS.ErrnoException | undefined

  /** `stdoutIsTaken`: the image itself goes to stdout, so results go to stderr as well. */
  constructor(options: OutputOptions, stdoutIsTaken = false) {
    this.json = options.json ?? false
    this.quiet = options.quiet ?? false
    this.#results = stdoutIsTaken ? process.stderr : process.stdout
  }

  /** The answer to what was asked: `value` as one line of JSON with --json, else the lines of `text`. */
  async result(value: unknown, text: () => string): Promise<void> {
    await this.#write(this.json ? jsonLine(value) : `${printable(text())}\n`)
    this.#throwIfLost()
  }

  /** Results in a form of their own, no faster than they are read. False: nobody reads them, so more need not be made. */
  async pieces(pieces: AsyncIterable<Uint8Array | string> | Iterable<string>): Promise<boolean> {
    for await (const piece of pieces) {
      await this.#write(piece)
      if (this.#lost !== undefined) break
    }
    this.#throwIfLost()
    return this.#lost === undefined
  }

  /** Any number of answers, a line each, no faster than they are read, and no more when nobody reads them. */
  async results<T>(values: AsyncIterable<T>, text: (value: T) => string): Promise<void> {
    let lines = ''
    for await (const value of values) {
      lines += this.json ? jsonLine(value) : `${printable(text(value))}\n`
      if (lines.length < BATCH) continue
      await this.#write(lines)
      if (this.#lost !== undefined) return
      lines = ''
    }
    await this.#write(lines)
  }

  /** A line of JSON among others, such as progress; nothing without --json. */
  jsonLine(value: unknown): void {
    if (this.json && !this.quiet) void this.#write(jsonLine(value))
  }

  /** Something a person should know while waiting; nothing with --quiet, and with --json the results tell it. */
  note(text: string): void {
    if (!this.quiet && !this.json) process.stderr.write(`${printableLine(text)}\n`)
  }

  warn(finding: Finding): void {
    this.note(`warning: ${finding.message}`)
  }

  /** What went wrong with a part of the work, while the rest went on; with --quiet too, and with --json the results tell it. */
  complain(text: string): void {
    if (!this.json) process.stderr.write(`${printableLine(text)}\n`)
  }

  /** Something to know that no result tells: a line on stderr, of JSON with --json; nothing with --quiet. */
  remark({ code, message }: Finding, type: 'note' | 'warning' = 'warning'): void {
    if (this.quiet) return
    if (this.json) process.stderr.write(jsonLine({ type, code, message }))
    else this.note(type === 'note' ? message : `warning: ${message}`)
  }

  /** Resolves when the system has taken it, or will take nothing any more. */
  #write(text: Uint8Array | string): Promise<void> {
    return new Promise(resolve => {
      this.#results.write(text, error => {
        this.#lost ??= error ?? undefined
        resolve()
      })
    })
  }

  #throwIfLost(): void {
    if (this.#lost === undefined || this.#lost.code === 'EPIPE') return
    throw new StorageError('RESULT_LOST', `the result cannot be written: ${this.#lost.message}`)
  }
}

const jsonLine = (value: unknown) => `${JSON.stringify(value, plain)}\n`

/** `error` as its front end prints it: one line for people, or one JSON line. A stack only for what is a bug. */
export function describeError(error: unknown, json: boolean): string {
  const known = error instanceof DiskImageError
  const message = error instanceof Error ? error.message : String(error)
  const code = known ? error.code : 'UNEXPECTED'
  if (json) return JSON.stringify({ type: 'error', code, message, details: known ? error.details : {} }, plain)
  if (known) return `vhdx: ${printableLine(message)} [${code}]`
  const stack = process.env.VHDX_DEBUG && error instanceof Error ? `\n${error.stack}` : ''
  return `vhdx: unexpected error: ${message}. This is a bug; VHDX_DEBUG=1 shows where.${stack}`
}

/** `name: value` lines with the values in one column. Undefined values are left out. */
export function facts(pairs: readonly (readonly [string, string | number | undefined])[]): string {
  const known = pairs.filter(([, value]) => value !== undefined)
  const width = Math.max(...known.map(([name]) => name.length)) + 1
  return known.map(([name, value]) => `${`${name}:`.padEnd(width)} ${value}`).join('\n')
}

/** Whether the terminal is likely to show characters for blocks and lines. */
export function isUtf8(): boolean {
  const locale = process.env.LC_ALL || process.env.LC_CTYPE || process.env.LANG || ''
  return process.platform === 'win32' || /utf-?8/i.test(locale)
}
