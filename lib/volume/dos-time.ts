/** Dates and times as DOS wrote them, which FAT and exFAT keep: 16 bits each. spec-notes/fat.md, "Times". */
import type { FileTime } from './entry.ts'

const FIRST_YEAR = 1980
const TICKS_PER_MS = 10_000n
/** From 1601, where FILETIME begins, to 1970. */
const EPOCH_MS = 11_644_473_600_000

/**
 * The moment of `date` and `time`, `hundredths` of a second later, on a clock `offset` minutes ahead of UTC.
 * Undefined for what is no date, which zero is, and no time of the day.
 */
export function dosTime(date: number, time: number, hundredths = 0, offset = 0): FileTime | undefined {
  const [year, month, day] = [FIRST_YEAR + (date >>> 9), (date >>> 5) & 15, date & 31]
  const [hours, minutes, seconds] = [time >>> 11, (time >>> 5) & 63, 2 * (time & 31)]
  const midnight = Date.UTC(year, month - 1, day)
  // The 31st of February would be one of March.
  if (month === 0 || month > 12 || day === 0 || new Date(midnight).getUTCDate() !== day) return undefined
  if (hours > 23 || minutes > 59 || seconds > 59 || hundredths > 199) return undefined
  const ms = midnight + ((hours * 60 + minutes - offset) * 60 + seconds) * 1000 + hundredths * 10
  return BigInt(ms + EPOCH_MS) * TICKS_PER_MS
}
