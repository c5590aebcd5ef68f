/** What copying out tells while it runs and when it is done. */
import type { DiskImageError } from '../errors.ts'
import type { Renamed } from './target-names.ts'

/** Something that was not copied as it stands in the image. */
export type ExtractEvent =
  /** Not copied: it cannot be read, or not be written. */
  | { readonly type: 'error'; readonly path: string; readonly error: DiskImageError }
  /** Left out on purpose. */
  | { readonly type: 'skipped'; readonly path: string; readonly reason: string }
  /** Copied under another name. */
  | ({ readonly type: 'renamed' } & Renamed)

/** How far copying is. */
export interface ExtractProgress {
  readonly phase: 'counting' | 'copying'
  /** Bytes. */
  readonly done: number
  readonly total: number
  /** How many files. */
  readonly files: number
}

/** What copying came to. */
export interface ExtractReport {
  readonly files: number
  readonly directories: number
  /** Symbolic links. */
  readonly links: number
  /** Further names of files, made as hard links. */
  readonly hardLinks: number
  /** Named streams that were copied, and those that the target does not hold. */
  readonly streams: number
  readonly streamsNotKept: number
  /** Bytes of the contents. */
  readonly bytes: number
  readonly renamed: number
  readonly skipped: number
  readonly errors: number
  readonly seconds: number
}

/** Counts what happens and tells it. */
export class ExtractLog {
  readonly counts = {
    files: 0,
    directories: 0,
    links: 0,
    hardLinks: 0,
    streams: 0,
    streamsNotKept: 0,
    bytes: 0,
    renamed: 0,
    skipped: 0,
    errors: 0,
  }
  readonly #onEvent: ((event: ExtractEvent) => void) | undefined
  readonly #startedAt = Date.now()

  constructor(onEvent: ((event: ExtractEvent) => void) | undefined) {
    this.#onEvent = onEvent
  }

  error(path: string, error: DiskImageError): void {
    this.counts.errors++
    this.#onEvent?.({ type: 'error', path, error })
  }

  skipped(path: string, reason: string): void {
    this.counts.skipped++
    this.#onEvent?.({ type: 'skipped', path, reason })
  }

  renamed(renamed: Renamed): void {
    this.counts.renamed++
    this.#onEvent?.({ type: 'renamed', ...renamed })
  }

  report(): ExtractReport {
    return { ...this.counts, seconds: (Date.now() - this.#startedAt) / 1000 }
  }
}
