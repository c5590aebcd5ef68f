/** Times of an image as Node and the archives take them. */
import { type Entry, type FileTime, UNIX_EPOCH } from '../volume/entry.ts'
import type { UnixTimes } from './host-folder.ts'

const TICKS_PER_SECOND = 10_000_000

/** The last second of the year 9999: what is later is damage, and file systems differ in what they make of it. */
const LATEST = 253_402_300_799

/** Seconds since 1970, to a quarter of a microsecond; undefined for a time that is not there or cannot be. */
export function unixSeconds(time: FileTime | undefined): number | undefined {
  if (time === undefined || time === 0n) return undefined
  const seconds = Number(time - UNIX_EPOCH) / TICKS_PER_SECOND
  return seconds > LATEST ? undefined : seconds
}

/** Both times that every system can set; the one stands in for the other where the image has but one. */
export function unixTimes({ modified, accessed }: Entry): UnixTimes | undefined {
  const [first, second] = [unixSeconds(modified), unixSeconds(accessed)]
  const known = first ?? second
  return known === undefined ? undefined : { modified: first ?? known, accessed: second ?? known }
}
