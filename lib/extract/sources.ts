/** What is to be copied: paths and globs as people give them, and what they mean in a volume. */
import { isGlob, relativeMatcher } from '../copy/glob.ts'
import { NotFoundError, OptionError } from '../errors.ts'
import type { Entry } from '../volume/entry.ts'
import type { Files, ListOptions } from '../volume/files.ts'
import { pathIn } from '../volume/path.ts'
import type { ExtractLog } from './extract-report.ts'
import { findStream, type StreamPath } from './stream-path.ts'

/** An entry or a stream that somebody asked for. */
export interface Source extends StreamPath {
  /** By a glob, and not by its own name. */
  readonly isMatch: boolean
}

/**
 * What `paths` mean: files, directories, links, streams (`file:name`) and globs, in which a `**` stands for any number of
 * directories. What is there by the name of a glob is meant itself. What is not there, and a glob that nothing matches, is
 * told to `log`. Throws NotFoundError (NO_SUCH_FILE) when nothing is there; what `Files.stat` and `Files.scan` throw.
 */
export async function findSources(
  files: Files,
  paths: readonly string[],
  log: ExtractLog,
  options: ListOptions = {},
): Promise<readonly Source[]> {
  const sources: Source[] = []
  const missing: [path: string, error: NotFoundError][] = []
  for (const path of paths) {
    const found = await tryPath(files, path)
    if (!(found instanceof NotFoundError)) {
      sources.push({ ...found, isMatch: false })
      continue
    }
    if (!isGlob(path)) {
      missing.push([path, found])
      continue
    }
    const first = sources.length
    for await (const entry of expand(files, await files.stat('/'), segmentsOf(path), options)) {
      sources.push({ entry, stream: undefined, isMatch: true })
    }
    if (sources.length === first) {
      missing.push([path, new NotFoundError('NO_SUCH_FILE', `nothing in the volume matches ${path}`, { path })])
    }
  }
  if (sources.length === 0 && missing.length > 0) throw missing[0]![1]
  for (const [path, error] of missing) log.error(path, error)
  return sources
}

async function tryPath(files: Files, path: string): Promise<StreamPath | NotFoundError> {
  try {
    return await findStream(files, path)
  } catch (error) {
    if (error instanceof NotFoundError) return error
    throw error
  }
}

const segmentsOf = (path: string) => path.split(path.includes('/') ? '/' : '\\').filter(segment => segment !== '')

/** What below `directory` the segments match, each level listed for itself up to a `**`. */
async function* expand(
  files: Files,
  directory: Entry,
  segments: readonly string[],
  options: ListOptions,
): AsyncGenerator<Entry> {
  const [segment, ...rest] = segments
  if (segment === undefined || segment.includes('**')) {
    const above = directory.path === '/' ? 1 : directory.path.length + 1
    const matches = relativeMatcher(segments.join('/'))
    for await (const batch of files.scan(directory, options)) {
      yield* batch.filter(({ path }) => matches(path.slice(above)))
    }
    return
  }
  for await (const entry of named(files, directory, segment, options)) {
    if (rest.length === 0) yield entry
    else if (entry.kind === 'directory') yield* expand(files, entry, rest, options)
  }
}

async function* named(files: Files, directory: Entry, segment: string, options: ListOptions): AsyncGenerator<Entry> {
  if (!isGlob(segment)) {
    const found = await tryPath(files, pathIn(directory.path, segment))
    if (!(found instanceof NotFoundError) && found.stream === undefined) yield found.entry
    return
  }
  const matches = relativeMatcher(segment)
  // What is below is only listed when all of this directory has been: lists may not be open inside each other for long.
  const entries: Entry[] = []
  for await (const entry of files.list(directory, options)) if (matches(entry.name)) entries.push(entry)
  yield* entries
}

/**
 * The sources without directories, unless `recursive`: one that a glob matches is passed over, and told.
 * Throws OptionError (NEEDS_RECURSIVE) for one that was named itself.
 */
export function wantedSources(sources: readonly Source[], recursive: boolean, log: ExtractLog): readonly Source[] {
  return sources.filter(({ entry: { kind, path }, stream, isMatch }) => {
    if (kind !== 'directory' || stream !== undefined || recursive) return true
    if (!isMatch) {
      throw new OptionError('NEEDS_RECURSIVE', `${path} is a directory: --recursive (-r) copies it with all in it`, {
        path,
      })
    }
    log.skipped(path, 'it is a directory, which --recursive copies')
    return false
  })
}
