/** Directories listed one by one and sorted, as people read them; `Files.scan` is faster and knows no order. */
import { formatError } from '../errors.ts'
import type { Entry } from '../volume/entry.ts'
import type { Files, ListOptions } from '../volume/files.ts'

/** Lists each directory of a volume at most once: on a damaged volume one may be found below itself, or in many places. */
export class DirectoryWalk {
  readonly #files: Files
  readonly #options: ListOptions
  readonly #listed = new Set<string>()

  constructor(files: Files, options: ListOptions = {}) {
    this.#files = files
    this.#options = options
  }

  /** What is in `directory`, by name. Throws what `Files.list` throws, and FormatError (DIRECTORY_TWICE). */
  async list(directory: Entry): Promise<Entry[]> {
    const { record, position, path } = directory
    if (directory.error !== undefined) throw directory.error
    // Where there are no records the place of its content tells a directory from others; an empty one may have none.
    const identity = record === undefined ? `at ${position ?? path}` : `record ${record}`
    if (this.#listed.has(identity)) {
      throw formatError('DIRECTORY_TWICE', {
        structure: 'directory',
        field: path,
        position: position ?? 0,
        expected: 'one place for each directory',
        actual: `listed elsewhere already (${identity})`,
      })
    }
    this.#listed.add(identity)
    const entries: Entry[] = []
    for await (const entry of this.#files.list(directory, this.#options)) entries.push(entry)
    return sortedByName(entries)
  }
}

function sortedByName(entries: readonly Entry[]): Entry[] {
  const keyed = entries.map(entry => ({ entry, key: entry.name.toUpperCase() }))
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return keyed.sort((a, b) => compare(a.key, b.key) || compare(a.entry.name, b.entry.name)).map(({ entry }) => entry)
}
