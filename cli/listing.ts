/** Lists of entries on their way out, and what they mean for the exit code. */
import {
  type DirectoryWalk,
  DiskImageError,
  type Entry,
  type Files,
  FormatError,
  hashContents,
  NotFoundError,
  UnsupportedError,
} from '../lib/index.ts'
import { type Listed, writeEntry } from './entry-json.ts'
import { ExitCode } from './exit-code.ts'
import { JsonBytes } from './json-bytes.ts'
import type { Output } from './output.ts'
import { printableName } from './printable.ts'

/** Bytes that are written at a time. */
const PIECE_SIZE = 192 * 1024

const BATCH_LENGTH = 500

/** One listing: remembers whether anything in it was damaged, or could not be hashed. */
export class Listing {
  readonly #output: Output
  readonly #files: Files
  #isDamaged = false

  constructor(output: Output, files: Files) {
    this.#output = output
    this.#files = files
  }

  /** Prints all of `batches`: as lines of JSON, or each batch as the lines that `text` makes of it. False: nobody reads it. */
  print<T extends Listed>(
    batches: AsyncIterable<readonly T[]>,
    text: (batch: readonly T[]) => readonly string[],
  ): Promise<boolean> {
    return this.#output.pieces(this.#output.json ? this.#json(batches) : this.#text(batches, text))
  }

  /** `batches` as they are printed: with the hash of each file, if that is asked for. */
  listed(batches: AsyncIterable<readonly Entry[]>, hash: boolean): AsyncIterable<readonly Listed[]> {
    return hash ? hashContents(this.#files, plain(batches)) : plain(batches)
  }

  /** A file whose content nobody here can decode is listed as well as any; it matters to who wants the content. */
  judge({ entry, error }: Listed): void {
    if (error !== undefined || (entry.error !== undefined && !(entry.error instanceof UnsupportedError))) {
      this.#isDamaged = true
    }
  }

  /** What is wrong with the file or directory at `path`: said on stderr, and the listing goes on. */
  problem(path: string, { code, message }: DiskImageError): void {
    this.#isDamaged = true
    if (this.#output.json) this.#output.remark({ code, message: `${path}: ${message}` })
    else this.#output.complain(`${printableName(path)}: ${message} [${code}]`)
  }

  /**
   * What `find` gives for each of `paths`. What is wrong with one of several is said, and the others go on; where nothing
   * is found, or but one was asked for, the first error is thrown.
   */
  async each<T>(paths: readonly string[], find: (path: string) => Promise<T>): Promise<T[]> {
    const found: T[] = []
    const problems: [path: string, error: DiskImageError][] = []
    for (const path of paths) {
      try {
        found.push(await find(path))
      } catch (error) {
        if (!(error instanceof NotFoundError || error instanceof FormatError)) throw error
        problems.push([path, error])
      }
    }
    if (found.length === 0 && problems.length > 0) throw problems[0]![1]
    for (const [path, error] of problems) this.problem(path, error)
    return found
  }

  /** What is in `directory`, by name; nothing where damage hides it, which is said. */
  async list(walk: DirectoryWalk, directory: Entry): Promise<readonly Entry[]> {
    try {
      return await walk.list(directory)
    } catch (error) {
      if (!(error instanceof DiskImageError) || error.code === 'DEVICE_GONE') throw error
      this.problem(directory.path, error)
      return []
    }
  }

  /** Says what was noticed while the files were read. */
  finish(): ExitCode {
    const { findings } = this.#files
    for (const finding of findings) this.#output.remark(finding)
    return this.#isDamaged || findings.length > 0 ? ExitCode.problems : ExitCode.done
  }

  async *#json(batches: AsyncIterable<readonly Listed[]>): AsyncGenerator<Uint8Array> {
    const json = new JsonBytes()
    for await (const batch of batches) {
      for (const listed of batch) {
        this.judge(listed)
        writeEntry(json, listed)
        if (json.length >= PIECE_SIZE) yield json.take()
      }
    }
    yield json.take()
  }

  async *#text<T extends Listed>(
    batches: AsyncIterable<readonly T[]>,
    text: (batch: readonly T[]) => readonly string[],
  ): AsyncGenerator<string> {
    for await (const batch of batches) {
      for (const listed of batch) this.judge(listed)
      const lines = text(batch)
      if (lines.length > 0) yield `${lines.join('\n')}\n`
    }
  }
}

async function* plain(batches: AsyncIterable<readonly Entry[]>): AsyncGenerator<readonly { readonly entry: Entry }[]> {
  for await (const batch of batches) yield batch.map(entry => ({ entry }))
}

/** What comes one by one, in batches. */
export async function* inBatches<T>(items: AsyncIterable<T>): AsyncGenerator<readonly T[]> {
  let batch: T[] = []
  for await (const item of items) {
    batch.push(item)
    if (batch.length < BATCH_LENGTH) continue
    yield batch
    batch = []
  }
  yield batch
}
