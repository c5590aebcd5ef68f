/** Sizes as people write and read them. Binary units only: a disk image's sizes are powers of two. */
import { OptionError } from '../errors.ts'

export const KiB = 1024
export const MiB = 1024 ** 2
export const GiB = 1024 ** 3
export const TiB = 1024 ** 4

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: KiB,
  kib: KiB,
  m: MiB,
  mib: MiB,
  g: GiB,
  gib: GiB,
  t: TiB,
  tib: TiB,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
}

/**
 * Bytes of `64GiB`, `64G`, `500GB` (decimal), `1.5TiB` or `1048576`. `what` names the option in the error.
 * Throws OptionError (BAD_SIZE) for anything else, for fractions of a byte and above 2^53 - 1.
 */
export function parseSize(text: string, what = 'size'): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text)
  const unit = match === null ? undefined : UNITS[match[2]!.toLowerCase()]
  const value = match === null || unit === undefined ? Number.NaN : Number(match[1]) * unit
  if (Number.isSafeInteger(value)) return value
  throw new OptionError(
    'BAD_SIZE',
    `'${text}' is not a ${what}. Write a whole number of bytes or one such as 64GiB, 512MiB or 500GB`,
    {
      what,
      actual: text,
    },
  )
}

/** `value` bytes in the largest unit that keeps it at 1 or more, with at most `digits` decimals: `1.5 GiB`, `512 B`. */
export function formatSize(value: number, digits = 1): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  const rounded = (scaled: number) => Number(scaled.toFixed(digits))
  let [scaled, unit] = [value, 0]
  // What would round to 1024 of a unit is 1 of the next.
  while (rounded(scaled) >= 1024 && unit < units.length - 1) {
    scaled /= 1024
    unit++
  }
  return `${rounded(scaled)} ${units[unit]}`
}

/** The smallest multiple of `unit` that is `value` or more. Both are bytes or counts, neither needs to be a power of two. */
export const roundUp = (value: number, unit: number) => Math.ceil(value / unit) * unit

/** The largest multiple of `unit` that is `value` or less. */
export const roundDown = (value: number, unit: number) => Math.floor(value / unit) * unit

/** Whether `value` is 1, 2, 4, 8 ... up to 2^53. Works above 2^31, where bit operators do not. */
export const isPowerOfTwo = (value: number) =>
  value >= 1 && Number.isInteger(Math.log2(value)) && 2 ** Math.log2(value) === value
