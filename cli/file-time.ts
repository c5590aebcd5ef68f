/** Times of files as text and back. They count 100 ns since 1601, which a Date cannot hold. */
import { type FileTime, OptionError } from '../lib/index.ts'

const TICKS_PER_SECOND = 10_000_000
const SECONDS_PER_DAY = 86_400
/** Milliseconds between 1601 and 1970. */
const UNIX_EPOCH = 11_644_473_600_000

/** `2026-11-22T`, and all of `2026-11-22T17:23:38.3971234Z`. */
const DATE_LENGTH = 11
export const FILE_TIME_LENGTH = 28

/** The most bytes that `writeFileTime` writes: years above 9999 have a sign and six digits, as in ISO 8601. */
export const MAX_FILE_TIME_LENGTH = FILE_TIME_LENGTH + 3

/** The upper half of times about the end of the year 9999. */
const LAST_HIGH = Number(2_650_467_744_000_000_000n / 2n ** 32n)

const DIGIT_0 = 0x30
const [COLON, DOT, Z] = [0x3a, 0x2e, 0x5a]

/**
 * A time is written here as one number and read in halves and quarters, lowest first as on every machine this runs on:
 * dividing a bigint takes longer than all the rest.
 */
const whole = new BigUint64Array(1)
const halves = new Uint32Array(whole.buffer)
const quarters = new Uint16Array(whole.buffer)
const QUARTER = 2 ** 16

/** Of the time that was divided last: since 1601, and the rest of 100 ns each. */
let seconds = 0
let ticks = 0

/** Divides what is in `whole`. */
function divide(): void {
  // By hand, a digit of 16 bits after the other, so that no step has more than the 53 bits of a number.
  const high = Math.floor(halves[1]! / TICKS_PER_SECOND)
  let rest = (halves[1]! - high * TICKS_PER_SECOND) * QUARTER + quarters[1]!
  const middle = Math.floor(rest / TICKS_PER_SECOND)
  rest = (rest - middle * TICKS_PER_SECOND) * QUARTER + quarters[0]!
  const low = Math.floor(rest / TICKS_PER_SECOND)
  seconds = (high * QUARTER + middle) * QUARTER + low
  ticks = rest - low * TICKS_PER_SECOND
}

/** Writes `time` at `at` of `target` as 2026-11-22T17:23:38.3971234Z, to the last tick, and returns where it ends. */
export function writeFileTime(target: Uint8Array, at: number, time: FileTime): number {
  whole[0] = time
  divide()
  const day = Math.floor(seconds / SECONDS_PER_DAY)
  const date = dateOf(day)
  target.set(date, at)
  const end = at + date.length
  writeClock(target, end, seconds - day * SECONDS_PER_DAY)
  writeTicks(target, end + 9, ticks)
  return end + 17
}

/** `17:23:38.` */
function writeClock(target: Uint8Array, at: number, second: number): void {
  const minute = Math.floor(second / 60)
  const hour = Math.floor(minute / 60)
  writeTwoDigits(target, at, hour)
  target[at + 2] = COLON
  writeTwoDigits(target, at + 3, minute - hour * 60)
  target[at + 5] = COLON
  writeTwoDigits(target, at + 6, second - minute * 60)
  target[at + 8] = DOT
}

function writeTwoDigits(target: Uint8Array, at: number, value: number): void {
  const ten = Math.floor(value / 10)
  target[at] = DIGIT_0 + ten
  target[at + 1] = DIGIT_0 + value - ten * 10
}

/** The three digits of each number below 1000. */
const THREE_DIGITS = Buffer.from(Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0')).join(''), 'latin1')

/** `3971234Z` */
function writeTicks(target: Uint8Array, at: number, value: number): void {
  const thousands = (value / 1000) | 0
  const million = (thousands / 1000) | 0
  const middle = 3 * (thousands - million * 1000)
  const last = 3 * (value - thousands * 1000)
  target[at] = DIGIT_0 + million
  target[at + 1] = THREE_DIGITS[middle]!
  target[at + 2] = THREE_DIGITS[middle + 1]!
  target[at + 3] = THREE_DIGITS[middle + 2]!
  target[at + 4] = THREE_DIGITS[last]!
  target[at + 5] = THREE_DIGITS[last + 1]!
  target[at + 6] = THREE_DIGITS[last + 2]!
  target[at + 7] = Z
}

/**
 * A place for one time after the other, such as the times of creation in a list: only what is not as it was is written.
 * Neighbours in a list often have the day in common, and the second.
 */
export class FileTimeSlot {
  readonly #target: Uint8Array
  /** Where the second of the time before began, in halves. The lower one may be below 0. */
  #high = -1
  #low = 0
  #ticks = -1
  #day = -1

  /** Writes the first `FILE_TIME_LENGTH` bytes of `target`. */
  constructor(target: Uint8Array) {
    this.#target = target
  }

  /** Whether `time` fits, as all do before the year 10000; otherwise nothing is written. */
  set(time: FileTime): boolean {
    whole[0] = time
    const high = halves[1]!
    // Exact where it matters, which is below a second.
    const since = (high - this.#high) * 2 ** 32 + (halves[0]! - this.#low)
    if (since === this.#ticks) return true
    if (since >= 0 && since < TICKS_PER_SECOND) this.#ticks = since
    else {
      if (high >= LAST_HIGH) return false
      divide()
      this.#ticks = ticks
      this.#high = high
      this.#low = halves[0]! - ticks
      const day = Math.floor(seconds / SECONDS_PER_DAY)
      if (day !== this.#day) this.#target.set(dateOf(day), 0)
      this.#day = day
      writeClock(this.#target, DATE_LENGTH, seconds - day * SECONDS_PER_DAY)
    }
    writeTicks(this.#target, DATE_LENGTH + 9, this.#ticks)
    return true
  }
}

/** `2026-11-22T` by days since 1601: the times of a volume lie in few days. Emptied when it grows large. */
const dates = new Map<number, Buffer>()
const MAX_DATES = 10_000

function dateOf(day: number): Buffer {
  const known = dates.get(day)
  if (known !== undefined) return known
  const [date] = new Date(day * SECONDS_PER_DAY * 1000 - UNIX_EPOCH).toISOString().split('T')
  const bytes = Buffer.from(`${date}T`, 'latin1')
  if (dates.size === MAX_DATES) dates.clear()
  dates.set(day, bytes)
  return bytes
}

/** `time` as `writeFileTime` writes it. */
export function formatFileTime(time: FileTime): string {
  const bytes = Buffer.alloc(MAX_FILE_TIME_LENGTH)
  return bytes.toString('latin1', 0, writeFileTime(bytes, 0, time))
}

/** For lists that people read: `2026-11-22 17:23:38`, in UTC. */
export function shortFileTime(time: FileTime | undefined): string {
  if (time === undefined) return '-'
  const [date, clock] = formatFileTime(time).split('T')
  return `${date} ${clock!.slice(0, 8)}`
}

const DATE = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?(Z|[+-]\d\d:\d\d)?)?$/

/**
 * `2026-11-22`, `2026-11-22T17:23` or with seconds and their fraction, in UTC unless `Z` is an offset such as `+01:00`.
 * `option` names the option in the error. Throws OptionError (BAD_DATE) for anything else and for years before 1601.
 */
export function parseFileTime(text: string, option: string): FileTime {
  const [, date, minute = '00:00', second = '00', fraction = '', zone = 'Z'] = DATE.exec(text.trim()) ?? []
  const midnight = Date.parse(`${date}T00:00Z`)
  const time = Date.parse(`${date}T${minute}:${second}${zone}`) + UNIX_EPOCH
  // Date takes the 31st of February for a day in March.
  const isDate = !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(date!)
  if (isDate && time >= 0) return BigInt(time) * 10_000n + BigInt(fraction.padEnd(7, '0'))
  const example = '2026-11-22 or 2026-11-22T17:23:38Z'
  throw new OptionError('BAD_DATE', `--${option} '${text}' is no date. Write one such as ${example}`)
}
