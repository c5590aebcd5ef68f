/** Files of which some may lack their content, and nothing says which: those that read as zeros are refused. */
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range, totalLength } from '../device/ranges.ts'
import { UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { Entry } from '../volume/entry.ts'
import type { EntryDetails, Files, ListOptions, OpenStreamOptions } from '../volume/files.ts'

/** A file is looked at in as many places, as long as there is nothing but zeros. More only make it rarer that a sound file is refused. */
const PLACES = 64
const PLACE_SIZE = 4096
/** Pieces of a file that are looked into. */
const MAX_PIECES = 1024

/**
 * All that was left out of a file reads as zeros, so one that does not in a single place is whole. One that does everywhere
 * may be whole too, or not be there at all: opening it is an error, for a file that is missing is looked for elsewhere,
 * and one of zeros is taken for what it was.
 */
export class DoubtedFiles implements Files {
  readonly #files: Files
  readonly #doubt: string

  /** `doubt`: why nothing says what was left out, as a clause. */
  constructor(files: Files, doubt: string) {
    this.#files = files
    this.#doubt = doubt
  }

  get findings(): readonly Finding[] {
    return this.#files.findings
  }

  stat(path: string): Promise<Entry> {
    return this.#files.stat(path)
  }

  list(directory: Entry, options?: ListOptions): AsyncIterable<Entry> {
    return this.#files.list(directory, options)
  }

  scan(directory?: Entry, options?: ListOptions): AsyncIterable<readonly Entry[]> {
    return this.#files.scan(directory, options)
  }

  details(entry: Entry): Promise<EntryDetails> {
    return this.#files.details(entry)
  }

  /** Throws, beside what the files throw, UnsupportedError (LEFT_OUT_UNKNOWN). */
  async open(entry: Entry, stream = '', options?: OpenStreamOptions): Promise<BlockDevice> {
    const content = await this.#files.open(entry, stream, options)
    // What is left out is the content of files, and lies in clusters.
    if (stream !== '' || entry.allocatedSize === 0 || !(await isZeroWherever(content))) return content
    throw new UnsupportedError(
      'LEFT_OUT_UNKNOWN',
      `it reads as zeros, and whether these are its content or it was left out of the image cannot be told: ${this.#doubt}`,
      { path: entry.path },
    )
  }
}

/** Whether there is something in `content`, and it is zero wherever it is looked at. */
async function isZeroWherever(content: BlockDevice): Promise<boolean> {
  const pieces: Range[] = []
  for await (const piece of content.dataRanges()) if (pieces.push(piece) === MAX_PIECES) break
  const distance = Math.max(PLACE_SIZE, totalLength(pieces) / PLACES)
  const buffer = Buffer.alloc(PLACE_SIZE)
  let next = 0
  for (const piece of pieces) {
    for (next = Math.max(next, piece.offset); next < endOf(piece); next += Math.ceil(distance)) {
      const place = buffer.subarray(0, Math.min(PLACE_SIZE, endOf(piece) - next))
      await content.read(next, place)
      if (place.some(byte => byte !== 0)) return false
    }
  }
  return pieces.length > 0
}
