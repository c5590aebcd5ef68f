/** How much of a volume the files below each directory take. */
import { UnsupportedError } from '../errors.ts'
import type { Entry } from '../volume/entry.ts'
import type { Files, ListOptions } from '../volume/files.ts'

/** What a directory and all below it come to. A file with several names counts once, where it is first met. */
export interface DiskUsage {
  readonly path: string
  /** Bytes of the contents. */
  readonly size: number
  /** Bytes that files, their streams and directories take on the volume. */
  readonly allocatedSize: number
  readonly files: number
  readonly directories: number
  /** Entries that are damaged, so that their size may not be known. */
  readonly errors: number
}

/** How far down directories are listed for themselves. */
export interface DiskUsageOptions extends ListOptions {
  /** 0: only the start. Default: all. */
  readonly depth?: number | undefined
}

type Sums = { -readonly [Name in Exclude<keyof DiskUsage, 'path'>]: number }

/**
 * The usage of each directory below `start`, and of `start` itself, which is the last: what is below stands before it,
 * in order of names. Memory is that of the directories, not of the files. Throws what `Files.scan` throws.
 */
export async function diskUsage(files: Files, start: Entry, options: DiskUsageOptions = {}): Promise<DiskUsage[]> {
  const own = new Map<string, Sums>()
  const seen = new Set<number>()
  const add = (entry: Entry, path: string) => {
    const sums = sumsOf(own, path)
    if (entry.error !== undefined && !(entry.error instanceof UnsupportedError)) sums.errors++
    if (entry.kind === 'directory') sums.directories++
    else sums.files++
    if (entry.links > 1 && entry.record !== undefined) {
      if (seen.has(entry.record)) return
      seen.add(entry.record)
    }
    sums.size += entry.size
    sums.allocatedSize += entry.allocatedSize
  }
  add(start, start.path)
  if (start.kind === 'directory') {
    for await (const batch of files.scan(start, options)) {
      for (const entry of batch) add(entry, entry.kind === 'directory' ? entry.path : parentOf(entry.path))
    }
  }
  return inOrder(totals(own, start.path, options.depth ?? Number.POSITIVE_INFINITY))
}

const noUsage = (): Sums => ({ size: 0, allocatedSize: 0, files: 0, directories: 0, errors: 0 })

function sumsOf(all: Map<string, Sums>, path: string): Sums {
  let sums = all.get(path)
  if (sums === undefined) {
    sums = noUsage()
    all.set(path, sums)
  }
  return sums
}

/** `/Users/anna` → `/Users` → `/`, the root. */
const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/')) || '/'

const depthOf = (path: string) => (path === '/' ? 0 : path.split('/').length - 1)

/** With each directory all that is below it, down to `depth` levels below `start`. */
function totals(own: ReadonlyMap<string, Sums>, start: string, depth: number): Map<string, Sums> {
  const all = new Map<string, Sums>()
  const deepest = depthOf(start) + depth
  for (const [path, sums] of own) {
    let level = depthOf(path)
    for (let above = path; ; above = parentOf(above), level--) {
      if (level <= deepest) addTo(sumsOf(all, above), sums)
      if (above === start || above === '/') break
    }
  }
  return all
}

function addTo(sums: Sums, more: Sums): void {
  sums.size += more.size
  sums.allocatedSize += more.allocatedSize
  sums.files += more.files
  sums.directories += more.directories
  sums.errors += more.errors
}

function inOrder(all: ReadonlyMap<string, Sums>): DiskUsage[] {
  const listed = [...all].map(([path, sums]) => ({
    names: path === '/' ? [] : path.split('/'),
    usage: { path, ...sums },
  }))
  return listed.sort((a, b) => compareNames(a.names, b.names)).map(({ usage }) => usage)
}

/** By names, and what is below before what is above. */
function compareNames(a: readonly string[], b: readonly string[]): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1
  return b.length - a.length
}
