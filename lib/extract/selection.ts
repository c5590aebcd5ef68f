/** All entries that sources stand for, counted first and then given in the order in which they lie on the disk. */
import { type Entry, FileAttribute } from '../volume/entry.ts'
import type { Files, ListOptions } from '../volume/files.ts'
import type { Source } from './sources.ts'

/** An entry to be copied, and the source it belongs to. */
export interface Selected {
  readonly source: Source
  readonly entry: Entry
}

/** What copying comes to. */
export interface Totals {
  readonly files: number
  readonly directories: number
  /** Bytes of the contents; of a file with several names once. */
  readonly bytes: number
  /** Bytes that they take in the target at least, where holes stay holes. */
  readonly space: number
}

/** How many entries are kept and sorted at a time: more would take memory that grows with the volume. */
const WINDOW = 100_000

/** What was selected. Entries are kept where they are few; a volume with more is gone through twice. */
export class Selection {
  readonly #files: Files
  readonly #sources: readonly Source[]
  readonly #options: ListOptions
  readonly #streams: boolean
  #kept: Selected[] | undefined

  /** `streams`: whether named streams are copied and count. */
  constructor(files: Files, sources: readonly Source[], options: ListOptions & { readonly streams: boolean }) {
    this.#files = files
    this.#sources = sources
    this.#options = options
    this.#streams = options.streams
  }

  /** Goes through everything once. Throws what `Files.scan` throws. */
  async survey(): Promise<Totals> {
    const seen = new Set<number>()
    const totals = { files: 0, directories: 0, bytes: 0, space: 0 }
    this.#kept = []
    for await (const selected of this.#all()) {
      const { entry, source } = selected
      if (this.#kept !== undefined && this.#kept.push(selected) > WINDOW) this.#kept = undefined
      if (entry.kind === 'directory') totals.directories++
      else totals.files++
      if (entry.links > 1 && entry.record !== undefined) {
        if (seen.has(entry.record)) continue
        seen.add(entry.record)
      }
      const bytes = bytesOf(selected, this.#streams)
      const isSparse = source.stream === undefined && (entry.attributes & FileAttribute.sparse) !== 0
      totals.bytes += bytes
      totals.space += isSparse ? Math.min(bytes, entry.allocatedSize) : bytes
    }
    return totals
  }

  /** Everything, window by window; in each it is sorted by its place on the disk. */
  async *windows(): AsyncGenerator<readonly Selected[]> {
    if (this.#kept !== undefined) {
      yield byPlace(this.#kept)
      return
    }
    let window: Selected[] = []
    for await (const selected of this.#all()) {
      if (window.push(selected) < WINDOW) continue
      yield byPlace(window)
      window = []
    }
    yield byPlace(window)
  }

  async *#all(): AsyncGenerator<Selected> {
    for (const source of this.#sources) {
      yield { source, entry: source.entry }
      if (source.entry.kind !== 'directory' || source.stream !== undefined) continue
      for await (const batch of this.#files.scan(source.entry, this.#options)) {
        for (const entry of batch) yield { source, entry }
      }
    }
  }
}

/** Bytes of the content of what was selected, with its named streams where those count. */
export function bytesOf({ entry, source }: Selected, streams: boolean): number {
  if (source.stream !== undefined) return entry.streams.find(({ name }) => name === source.stream)?.size ?? 0
  const named = streams ? entry.streams.reduce((sum, { size }) => sum + size, 0) : 0
  return (entry.kind === 'file' && entry.error === undefined ? entry.size : 0) + named
}

const byPlace = (entries: Selected[]) =>
  entries.sort(
    (a, b) => (a.entry.position ?? -1) - (b.entry.position ?? -1) || (a.entry.record ?? 0) - (b.entry.record ?? 0),
  )
