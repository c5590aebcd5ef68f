/** The entries of a volume that somebody looks for. */
import { globMatcher } from '../copy/glob.ts'
import type { Entry, EntryKind, FileTime } from '../volume/entry.ts'
import type { Files, ListOptions } from '../volume/files.ts'

/** What to look for. An entry has to be all of it; what is not told does not matter. */
export interface FindOptions extends ListOptions {
  /** Globs: one without a slash is for names, one with a slash for paths from the root. Any of them. Case does not matter. */
  readonly names?: readonly string[] | undefined
  /** Any of them. */
  readonly kinds?: readonly EntryKind[] | undefined
  /** Bytes of the content, both included. */
  readonly minSize?: number | undefined
  readonly maxSize?: number | undefined
  /** Modified after this, or before it. What has no such time is not found. */
  readonly newerThan?: FileTime | undefined
  readonly olderThan?: FileTime | undefined
}

/**
 * `start` and what is below it, as far as `options` ask for it, in the order of `Files.scan`: the fastest.
 * Throws what `Files.scan` throws, and OptionError (GLOBS_TOO_LONG).
 */
export async function* findEntries(
  files: Files,
  start: Entry,
  options: FindOptions = {},
): AsyncGenerator<readonly Entry[]> {
  const isWanted = criteria(options)
  if (isWanted(start)) yield [start]
  if (start.kind !== 'directory') return
  for await (const batch of files.scan(start, options)) {
    const found = batch.filter(isWanted)
    if (found.length > 0) yield found
  }
}

function criteria(options: FindOptions): (entry: Entry) => boolean {
  const { names, kinds, minSize = 0, maxSize = Number.POSITIVE_INFINITY, newerThan, olderThan } = options
  const isNamed = names === undefined ? () => true : globMatcher(names)
  return ({ path, kind, size, modified }) =>
    (kinds === undefined || kinds.includes(kind)) &&
    size >= minSize &&
    size <= maxSize &&
    (newerThan === undefined || (modified !== undefined && modified > newerThan)) &&
    (olderThan === undefined || (modified !== undefined && modified < olderThan)) &&
    isNamed(path)
}
