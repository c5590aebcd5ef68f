/** The files of a file system whose directories hold all that is known of a file, each under one name: FAT and exFAT. */
import type { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { tryRead } from '../device/try-read.ts'
import { type DiskImageError, isDamage, NotFoundError, type StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { brokenChain, type ClusterEntry, ClusterFiles, shortage } from './cluster-files.ts'
import type { Entry } from './entry.ts'
import type { Files, ListOptions } from './files.ts'
import { sameLetters, type UpcaseTable } from './letter-case.ts'
import { namesOf } from './path.ts'

/** Entries in a batch of `scan`, or some more. */
const BATCH = 512
/** Bytes of a directory that are read and decoded at a time. */
const PIECE_LENGTH = 64 * 1024
/** What is lost at least where a directory cannot be read. */
const SECTOR = 512
/** UTF-16 units of a path, as many as Windows takes. Only directories that were made to be deep have longer ones. */
const MAX_PATH = 32_767

/** Whole entries of a directory. */
export interface DirectoryPiece {
  readonly bytes: Buffer
  /** Whether no other piece follows. */
  readonly isFinal: boolean
  /** The byte of the volume where byte `offset` of the piece lies. */
  positionOf(offset: number): Promise<number>
}

/** What is in a piece of a directory. */
export interface DecodedPiece<E> {
  readonly entries: readonly E[]
  /** Bytes that need not be looked at again; the rest belongs to an entry that goes on in the next piece. */
  readonly length: number
  /** Whether the directory ends in the piece. */
  readonly isLast: boolean
}

/** Entries that were read at once, and the bytes that were read for them. */
interface ReadPiece<E> {
  readonly entries: readonly E[]
  readonly length: number
}

/** Walks the directories of a volume of FAT or exFAT. */
export abstract class DirectoryFiles<E extends ClusterEntry> extends ClusterFiles<E> implements Files {
  protected abstract readonly upcase: UpcaseTable
  /** Bytes of the volume: directories have not more in all. */
  protected abstract readonly volumeSize: number
  /** A byte that, repeated, makes a deleted entry: it stands for what cannot be read. */
  protected abstract readonly filler: number
  /** The volume, for what is read again and again. */
  protected readonly cached: BlockDevice

  constructor(device: BlockDevice) {
    super(device)
    this.cached = new CachedDevice(device)
  }

  /** What is in a piece of `directory`. */
  protected abstract decode(directory: E, piece: DirectoryPiece): Promise<DecodedPiece<E>>

  async stat(path: string): Promise<E> {
    let entry = this.root
    for (const name of namesOf(path)) entry = await this.#find(entry, name)
    return entry
  }

  /** A name just as it was asked for comes first: a damaged directory may have others that differ in case only. */
  async #find(directory: E, name: string): Promise<E> {
    const matches = (other: string | undefined) => other !== undefined && sameLetters(other, name, this.upcase)
    let similar: E | undefined
    for await (const { entries } of this.#read(directory)) {
      for (const entry of entries) {
        if (entry.name === name) return entry
        if (similar === undefined && (matches(entry.name) || matches(entry.shortName))) similar = entry
      }
    }
    if (similar !== undefined) return similar
    const message = `there is no '${name}' in ${directory.path}`
    throw new NotFoundError('NO_SUCH_FILE', message, { name, directory: directory.path })
  }

  async *list(directory: E, { signal }: ListOptions = {}): AsyncGenerator<E> {
    for await (const { entries } of this.#read(directory)) {
      signal?.throwIfAborted()
      yield* entries
    }
  }

  /** Level by level, and the directories of each in the order of the disk. */
  async *scan(directory: E = this.root, { signal }: ListOptions = {}): AsyncGenerator<readonly E[]> {
    const seen = new Set([directory.position])
    let bytesLeft = this.volumeSize
    let batch: E[] = []
    for (let level = [directory]; level.length > 0; ) {
      const next: E[] = []
      for (const parent of level.sort((a, b) => a.position! - b.position!)) {
        for await (const { entries, length } of parent === directory ? this.#read(parent) : this.#readable(parent)) {
          signal?.throwIfAborted()
          for (const entry of entries) {
            batch.push(entry)
            if (this.#isToBeEntered(entry, seen)) next.push(entry)
          }
          if (batch.length >= BATCH) {
            yield batch
            batch = []
          }
          bytesLeft -= length
        }
        if (bytesLeft < 0) {
          this.note(crossedDirectories(parent))
          next.length = 0
          break
        }
      }
      level = next
    }
    if (batch.length > 0) yield batch
  }

  /** Whether `entry` is a directory that can be read and was not met before, as one that contains itself is. */
  #isToBeEntered(entry: E, seen: Set<number | undefined>): boolean {
    if (entry.kind !== 'directory' || entry.error !== undefined || entry.position === undefined) return false
    if (seen.has(entry.position)) this.note(directoryTwice(entry))
    else if (entry.path.length > MAX_PATH) this.note(pathTooLong(entry))
    else {
      seen.add(entry.position)
      return true
    }
    return false
  }

  /** What of `directory` can be read; a finding says why that is not all. */
  async *#readable(directory: E): AsyncIterable<ReadPiece<E>> {
    try {
      yield* this.#read(directory)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.note(lostDirectory(directory, error))
    }
  }

  async *#read(directory: E): AsyncIterable<ReadPiece<E>> {
    const { path, kind, error } = directory
    if (kind !== 'directory') throw new NotFoundError('NOT_A_DIRECTORY', `${path} is not a directory`, { path })
    if (error !== undefined) throw error
    const chain = await this.chainOf(directory)
    const content = this.contentIn(chain, directory, this.cached)
    const buffer = Buffer.allocUnsafe(Math.min(PIECE_LENGTH, content.size))
    for (let offset = 0; offset < content.size; ) {
      const bytes = buffer.subarray(0, Math.min(buffer.length, content.size - offset))
      if ((await tryRead(content, offset, bytes)) !== undefined) {
        await this.#rescue(directory, this.contentIn(chain, directory, this.device), offset, bytes)
      }
      const isFinal = offset + bytes.length === content.size
      const positionOf = async (at: number) => (await content.find(offset + at)).offset
      const { entries, length, isLast } = await this.decode(directory, { bytes, isFinal, positionOf })
      yield { entries, length: bytes.length }
      if (isLast) return
      offset += isFinal ? bytes.length : length
    }
    const problem = shortage(chain, directory, content.size)
    if (problem !== undefined) this.note(brokenChain(directory, problem))
  }

  /** Fills `piece` of a directory sector by sector, past the cache, which reads more than that at once. */
  async #rescue({ path }: E, content: BlockDevice, offset: number, piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; at += SECTOR) {
      const sector = piece.subarray(at, at + SECTOR)
      const problem = await tryRead(content, offset + at, sector)
      if (problem === undefined) continue
      sector.fill(this.filler)
      this.note(unreadableDirectory(path, problem))
    }
  }
}

const unreadableDirectory = (path: string, problem: StorageError): Finding => ({
  code: 'DIRECTORY_UNREADABLE',
  message: `a part of directory ${path} cannot be read: ${problem.message}`,
  details: { path, ...problem.details },
})

const lostDirectory = ({ path }: Entry, error: DiskImageError): Finding => ({
  code: 'DIRECTORY_DAMAGED',
  message: `not all of directory ${path} can be read: ${error.message}`,
  details: { path, ...error.details },
})

const directoryTwice = ({ path, position }: Entry): Finding => ({
  code: 'DIRECTORY_TWICE',
  message: `directory ${path} is another one too, or contains itself: what is in it is listed once`,
  details: { path, position },
})

const pathTooLong = ({ path, position }: Entry): Finding => ({
  code: 'PATH_TOO_LONG',
  message: `the path of a directory has more than ${MAX_PATH} letters, and it is not entered: ${path.slice(0, 80)}…`,
  details: { position },
})

const crossedDirectories = ({ path }: Entry): Finding => ({
  code: 'DIRECTORIES_CROSSED',
  message: `up to ${path} there is more in directories than the volume has room for: they share clusters. What comes after it is not listed`,
  details: { path },
})
