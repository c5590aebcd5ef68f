/** Hashes of files, many at a time. */
import { createHash } from 'node:crypto'
import { MiB } from '../binary/size.ts'
import { DiskImageError } from '../errors.ts'
import type { Entry } from '../volume/entry.ts'
import type { Files } from '../volume/files.ts'
import { readContent } from './read-content.ts'

/** The algorithms `hashContents` knows. */
export const HASH_ALGORITHMS = ['sha256', 'sha1', 'sha512', 'sha384', 'md5'] as const
/** One of `HASH_ALGORITHMS`. */
export type HashAlgorithm = (typeof HASH_ALGORITHMS)[number]

/** Content to hash: that of a file, or of one of its streams. */
export interface HashSource {
  readonly entry: Entry
  readonly stream?: string | undefined
}

/** What became of hashing it. */
export interface HashResult extends HashSource {
  /** In hex; undefined for what has no content, such as a directory, and where there is an error. */
  readonly hash: string | undefined
  /** Why there is no hash: what is damaged, or cannot be decoded, is not made up. */
  readonly error: DiskImageError | undefined
}

/** How `hashContents` hashes. */
export interface HashOptions {
  /** Default: sha256. */
  readonly algorithm?: HashAlgorithm
  /** The bytes of encrypted files as they lie on the volume. */
  readonly raw?: boolean
  /** Stops with the signal's reason. */
  readonly signal?: AbortSignal
}

/** Files that are read at once. */
const IN_FLIGHT = 8

/** Results are given in portions of no more content than this, or of one file, so that they come while work goes on. */
const PORTION_SIZE = 64 * MiB

/**
 * Hashes all contents of `batches` and gives the results in the same order, portion by portion. Within a portion files
 * are read in the order in which they lie on the disk. Throws what `batches` throws and StorageError (DEVICE_GONE):
 * what is wrong with one file is its result.
 */
export async function* hashContents(
  files: Files,
  batches: AsyncIterable<readonly HashSource[]>,
  options: HashOptions = {},
): AsyncGenerator<readonly HashResult[]> {
  for await (const batch of batches) {
    for (const portion of portionsOf(batch)) yield await hashPortion(files, portion, options)
  }
}

function* portionsOf(batch: readonly HashSource[]): Generator<readonly HashSource[]> {
  let [first, size] = [0, 0]
  for (const [i, { entry }] of batch.entries()) {
    size += entry.size
    if (size < PORTION_SIZE) continue
    yield batch.slice(first, i + 1)
    ;[first, size] = [i + 1, 0]
  }
  if (first < batch.length) yield batch.slice(first)
}

async function hashPortion(files: Files, sources: readonly HashSource[], options: HashOptions): Promise<HashResult[]> {
  const results = sources.map(source => ({ ...source, hash: undefined, error: source.entry.error }) as HashResult)
  const readable = [...results.keys()].filter(i => hasContent(results[i]!))
  const positionOf = (i: number) => results[i]!.entry.position ?? 0
  const waiting = readable.sort((a, b) => positionOf(a) - positionOf(b)).values()
  const work = async () => {
    // All take from one iterator, so that each content is hashed once.
    for (const i of waiting) results[i] = await hashOne(files, results[i]!, options)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, work))
  return results
}

const hasContent = ({ entry: { kind }, stream, error }: HashResult) =>
  error === undefined && (kind === 'file' || stream !== undefined)

async function hashOne(files: Files, source: HashSource, options: HashOptions): Promise<HashResult> {
  const { algorithm = 'sha256', raw = false, signal } = options
  try {
    const device = await files.open(source.entry, source.stream, { raw })
    const hash = createHash(algorithm)
    for await (const piece of readContent(device)) {
      signal?.throwIfAborted()
      hash.update(piece)
    }
    return { ...source, hash: hash.digest('hex'), error: undefined }
  } catch (error) {
    if (!(error instanceof DiskImageError) || error.code === 'DEVICE_GONE' || signal?.aborted) throw error
    // Some of NTFS's own files have nothing but an index.
    const hasNone = source.stream === undefined && error.code === 'NO_SUCH_STREAM'
    return { ...source, hash: undefined, error: hasNone ? undefined : error }
  }
}
