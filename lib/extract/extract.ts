/** Files out of a volume into a folder. */
import { mkdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { formatSize } from '../binary/size.ts'
import { withStorageErrors } from '../device/storage-error.ts'
import { isWindows } from '../device/windows-path.ts'
import { OptionError, StorageError } from '../errors.ts'
import { freeSpace } from '../platform/free-space.ts'
import type { Files } from '../volume/files.ts'
import type { ExtractOptions } from './extract-options.ts'
import { ExtractLog, type ExtractReport } from './extract-report.ts'
import { Extraction, type Place } from './extraction.ts'
import { probeNames } from './probe-names.ts'
import { Selection } from './selection.ts'
import { findSources, type Source, wantedSources } from './sources.ts'

/**
 * Copies what `paths` mean (see `findSources`) into `target`, as cp does: into it when it is a folder, else to that name;
 * several paths or a glob make it a folder. Nothing is ever written outside of it: names are made safe, links are made
 * only where they lead to what is copied with them, and none that lies in the target is followed.
 *
 * What cannot be read or written, or is not there, is told to `onEvent`, and the rest goes on. Throws NotFoundError when nothing is there;
 * OptionError (NEEDS_RECURSIVE, TARGET_NOT_A_FOLDER); StorageError (NO_SPACE, DEVICE_GONE and other trouble that concerns all files).
 */
export async function extractFiles(
  files: Files,
  paths: readonly string[],
  target: string,
  options: ExtractOptions = {},
): Promise<ExtractReport> {
  const { system = false, signal } = options
  const streams = options.streams ?? isWindows
  const listing = { system, ...(signal === undefined ? {} : { signal }) }
  const log = new ExtractLog(options.onEvent)
  const sources = await findSources(files, paths, log, listing)
  const wanted = wantedSources(sources, options.recursive ?? false, log)
  const place = await placeOf(target, paths, sources)
  options.onProgress?.({ phase: 'counting', done: 0, total: 0, files: 0 })
  const selection = new Selection(files, wanted, { ...listing, streams })
  const totals = await selection.survey()
  const free = await freeSpace(join(place.folder, 'any'))
  if (totals.space > free) throw noSpace(place.folder, totals.space, free)
  await using extraction = new Extraction(files, place, await probeNames(place.folder), totals.bytes, log, {
    ...options,
    streams,
  })
  for await (const window of selection.windows()) await extraction.copy(window)
  await extraction.finish()
  return log.report()
}

const noSpace = (folder: string, needed: number, free: number) =>
  new StorageError(
    'NO_SPACE',
    `${folder} needs ${formatSize(needed)}, but only ${formatSize(free)} are free there. Nothing was written`,
    { needed, free },
  )

async function placeOf(target: string, paths: readonly string[], sources: readonly Source[]): Promise<Place> {
  const path = resolve(target)
  const isNamed = paths.length === 1 && !sources[0]!.isMatch && !/[/\\]$/.test(target)
  const stats = await withStorageErrors({ verb: 'examine', path }, () =>
    stat(path).catch(error => {
      if (error.code !== 'ENOENT') throw error
      return isNamed ? undefined : mkdir(path).then(() => stat(path))
    }),
  )
  if (stats?.isDirectory()) return { folder: path, name: undefined }
  if (stats !== undefined && !(isNamed && sources[0]!.entry.kind !== 'directory')) {
    throw new OptionError('TARGET_NOT_A_FOLDER', `${target} is a file: what is copied needs a folder`, { target })
  }
  return { folder: dirname(path), name: basename(path) }
}
