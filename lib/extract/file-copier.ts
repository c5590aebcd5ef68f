/** Contents of an image becoming files: small ones in batches, written by threads; large ones in pieces. */
import { chmod, rm, utimes } from 'node:fs/promises'
import { MiB } from '../binary/size.ts'
import { mapInOrder } from '../copy/map-in-order.ts'
import { alignedBuffer } from '../device/aligned-memory.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { BufferPool } from '../device/buffer-pool.ts'
import { storageError } from '../device/storage-error.ts'
import { isWindows } from '../device/windows-path.ts'
import { DiskImageError, InterruptedError, ReadOnlyError, RefusedError } from '../errors.ts'
import { FileAttribute } from '../volume/entry.ts'
import type { Files } from '../volume/files.ts'
import { copyContent } from './copy-content.ts'
import type { ExtractOptions, OnConflict } from './extract-options.ts'
import type { ExtractLog } from './extract-report.ts'
import { existsError, type HostFolder, sourceError } from './host-folder.ts'
import { hostName } from './host-name.ts'
import type { Item, Placed } from './layout.ts'
import type { TargetNames } from './target-names.ts'
import { unixTimes } from './unix-time.ts'
import { type SmallFile, type SystemFailure, WriterThread } from './writer-thread.ts'

interface Opened {
  readonly item: Item
  readonly content: BlockDevice
}

/** Files up to here are read whole and written by a thread. */
const SMALL = MiB
/** Files that are opened together, and how often at a time: many, so that their records lie close to each other. */
const GROUP_COUNT = 4096
const GROUPS = 2
/** The most that a batch has of bytes and of files. */
const BATCH_SIZE = 4 * MiB
const BATCH_COUNT = 256
/** Batches under way: one is read while the others are written. */
const BATCHES = 3
const THREADS = 2

/** Pieces of large files under way, and files they come from. */
const PIECES = 4
const PIECE_SIZE = 2 * MiB
const LARGE_FILES = 2

/** Errors after which nothing else would fare better. */
const FATAL = ['NO_SPACE', 'DEVICE_GONE', 'WRITE_ERROR', 'THREAD_ENDED']

export class FileCopier implements AsyncDisposable {
  /** Whether named streams are written with the files they belong to. */
  readonly keepsStreams = isWindows
  readonly #files: Files
  readonly #folder: HostFolder
  readonly #names: TargetNames
  readonly #total: number
  readonly #log: ExtractLog
  readonly #options: ExtractOptions
  readonly #onConflict: OnConflict
  readonly #memories: SharedArrayBuffer[] = []
  readonly #threads: WriterThread[] = []
  readonly #buffers = new BufferPool(PIECES, PIECE_SIZE, alignedBuffer)
  #done = 0

  constructor(
    files: Files,
    folder: HostFolder,
    names: TargetNames,
    total: number,
    log: ExtractLog,
    options: ExtractOptions,
  ) {
    this.#files = files
    this.#folder = folder
    this.#names = names
    this.#total = total
    this.#log = log
    this.#options = options
    this.#onConflict = options.onConflict ?? 'fail'
  }

  /** Copies the items in their order, as far as many at a time have one. What is wrong with one is told, and the rest goes on. */
  async copy(items: readonly Item[]): Promise<void> {
    const small = items.filter(({ size }) => size <= SMALL)
    for await (const opened of mapInOrder(groupsOf(small), GROUPS, group => this.#openAll(group))) {
      const batches = batchesOf(opened)
      for await (const _ of mapInOrder(batches, BATCHES, (batch, slot) => this.#copyBatch(batch, slot)));
    }
    const large = items.filter(({ size }) => size > SMALL)
    for await (const _ of mapInOrder(large, LARGE_FILES, item => this.#copyLarge(item)));
  }

  /** Makes hard links to what was copied of the same files, and gives back those of which nothing was, or that cannot be linked. */
  async link(items: readonly Item[]): Promise<Item[]> {
    const left: Item[] = []
    for (const item of items) {
      this.#options.signal?.throwIfAborted()
      const from = item.copies?.path
      if (from === undefined || !(await this.#link(from, item))) left.push(item)
    }
    return left
  }

  /**
   * Puts something at `item.place` by `make`, which is given the path and whether it replaces what is there. Where that is
   * taken, the user's word decides. Whether it was made; if not, it has been told why.
   */
  async place(item: Placed, make: (path: string, replaces: boolean) => Promise<void>): Promise<boolean> {
    try {
      await this.#folder.ensure(item.folder)
      for (let place: string | undefined = item.place; place !== undefined; place = this.#afterConflict(item, place)) {
        try {
          const path = this.#folder.absolute(place)
          await make(path, await this.#replaces(path))
          return true
        } catch (error) {
          if (!isConflict(error)) throw error
        }
      }
    } catch (error) {
      this.failed(item.path, error)
    }
    return false
  }

  /** Tells why something was not copied. Throws it when nothing else would be either, or when it is a mistake of this program. */
  failed(path: string, error: unknown): void {
    this.#options.signal?.throwIfAborted()
    if (!(error instanceof DiskImageError) || error instanceof InterruptedError) throw error
    if (FATAL.includes(error.code) || error instanceof ReadOnlyError) throw error
    this.#log.error(path, error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(thread => thread[Symbol.asyncDispose]()))
  }

  /** Where it goes instead of `place`, which is taken; undefined, and told, when nowhere. */
  #afterConflict(item: Placed, place: string): string | undefined {
    if (this.#onConflict === 'rename') return this.#names.another(item.folder, item.place, item.path)
    if (this.#onConflict === 'skip') this.#log.skipped(item.path, 'the target has a file of this name')
    else {
      const error = this.#onConflict === 'overwrite' ? sourceError : existsError
      this.#log.error(item.path, error(this.#folder.absolute(place)))
    }
    return undefined
  }

  /** Whether what is at `path` may be replaced. */
  async #replaces(path: string): Promise<boolean> {
    return this.#onConflict === 'overwrite' && !(await this.#folder.isSource(path))
  }

  /** False when the file system has no links, or no more for this file. */
  async #link(from: string, item: Item): Promise<boolean> {
    let isPossible = true
    const isMade = await this.place(item, async (path, replaces) => {
      try {
        await this.#folder.linkFile(from, path, replaces)
      } catch (error) {
        if (isConflict(error)) throw error
        isPossible = false
      }
    })
    if (isMade && isPossible) this.#log.counts.hardLinks++
    return isPossible
  }

  /** In the order of the records, which is not that of the contents; given back in the order of the contents. */
  async #openAll(group: readonly Item[]): Promise<Opened[]> {
    const contents = new Map<Item, BlockDevice>()
    const inOrder = group.toSorted((a, b) => (a.entry.record ?? 0) - (b.entry.record ?? 0))
    for (let i = 0; i < inOrder.length; i += BATCH_COUNT) {
      this.#options.signal?.throwIfAborted()
      const opening = inOrder.slice(i, i + BATCH_COUNT).map(async item => {
        try {
          contents.set(item, await this.#open(item))
        } catch (error) {
          this.failed(item.path, error)
        }
      })
      await Promise.all(opening)
    }
    return group.flatMap(item => {
      const content = contents.get(item)
      return content === undefined ? [] : [{ item, content }]
    })
  }

  async #copyBatch(batch: readonly Opened[], slot: number): Promise<void> {
    this.#options.signal?.throwIfAborted()
    this.#memories[slot] ??= new SharedArrayBuffer(BATCH_SIZE)
    const memory = this.#memories[slot]
    let end = 0
    const read = await Promise.all(
      batch.map(async ({ item, content }) => {
        const offset = end
        end += item.size
        // Its entry says something else: as large ones, which go by their content.
        if (content.size !== item.size) {
          await this.#copyLarge(item)
          return undefined
        }
        try {
          await this.#folder.ensure(item.folder)
          await content.read(0, Buffer.from(memory, offset, item.size))
          return await this.#smallFile(item, item.place, offset)
        } catch (error) {
          this.failed(item.path, error)
          return undefined
        }
      }),
    )
    let left = read.filter(file => file !== undefined)
    while (left.length > 0) {
      const files = left.map(({ file }) => file)
      const failures = new Map((await this.#thread(slot).write(memory, files)).map(failure => [failure.index, failure]))
      const again: typeof left = []
      for (const [i, { item, place, file }] of left.entries()) {
        const failure = failures.get(i)
        if (failure === undefined) await this.#copied(item, file.path)
        else if (failure.code !== 'EEXIST') this.failed(item.path, asError(failure, file.path))
        else {
          const other = this.#afterConflict(item, place)
          if (other !== undefined) again.push(await this.#smallFile(item, other, file.offset))
        }
      }
      left = again
    }
  }

  #thread(slot: number): WriterThread {
    this.#threads[slot % THREADS] ??= new WriterThread()
    return this.#threads[slot % THREADS]!
  }

  async #smallFile(item: Item, place: string, offset: number): Promise<{ item: Item; place: string; file: SmallFile }> {
    const path = this.#folder.absolute(place)
    const temporary = (await this.#replaces(path)) ? this.#folder.temporaryFor(path) : undefined
    const { modified, accessed } = unixTimes(item.entry) ?? {}
    return {
      item,
      place,
      file: { path, temporary, offset, length: item.size, mode: this.#modeOf(item), modified, accessed },
    }
  }

  async #copyLarge(item: Item): Promise<void> {
    this.#options.signal?.throwIfAborted()
    let copied = 0
    const isMade = await this.place(item, async (path, replaces) => {
      // Before any of it is read; nothing but a race is left for `settle` to notice.
      if (!replaces && (await this.#folder.isTaken(path))) throw existsError(path)
      const content = await this.#open(item)
      const temporary = this.#folder.temporaryFor(path)
      const file = await this.#folder.create(temporary, this.#modeOf(item))
      try {
        try {
          await copyContent(content, file, path, {
            buffers: this.#buffers,
            signal: this.#options.signal,
            onCopied: bytes => {
              copied += bytes
              this.#progress(bytes)
            },
          })
          const times = unixTimes(item.entry)
          // Not every file system keeps times.
          if (times !== undefined) await file.utimes(times.accessed, times.modified).catch(() => {})
        } finally {
          await file.close()
        }
        await this.#folder.settle(temporary, path, replaces)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
      await this.#copied(item, path, copied)
    })
    if (!isMade) this.#progress(item.size - copied)
  }

  #open({ entry, stream }: Item): Promise<BlockDevice> {
    return this.#files.open(entry, stream, { raw: this.#options.raw ?? false })
  }

  /** Counts what is at `path` now. `told`: bytes of it that progress knows of. */
  async #copied(item: Item, path: string, told = 0): Promise<void> {
    const { counts } = this.#log
    if (item.stream === undefined) counts.files++
    else counts.streams++
    counts.bytes += item.size
    if (item.copies !== undefined) item.copies.path = path
    this.#progress(item.size - told)
    if (item.stream === undefined && this.#options.streams && this.keepsStreams) await this.#copyStreams(item, path)
  }

  #progress(bytes: number): void {
    this.#done += bytes
    const { files } = this.#log.counts
    this.#options.onProgress?.({ phase: 'copying', done: this.#done, total: this.#total, files })
  }

  /** Only where the system has streams. They come after the file, whose times they would change. */
  async #copyStreams({ entry, path }: Item, to: string): Promise<void> {
    for (const { name, size } of entry.streams) {
      try {
        const content = await this.#files.open(entry, name, { raw: this.#options.raw ?? false })
        const streamPath = `${to}:${hostName(name, this.#names.rules)}`
        const file = await this.#folder.create(streamPath, 0o666)
        const options = {
          buffers: this.#buffers,
          signal: this.#options.signal,
          onCopied: (bytes: number) => this.#progress(bytes),
        }
        await copyContent(content, file, streamPath, options).finally(() => file.close())
        this.#log.counts.streams++
        this.#log.counts.bytes += size
      } catch (error) {
        this.failed(`${path}:${name}`, error)
      }
    }
    if (entry.streams.length === 0) return
    const times = unixTimes(entry)
    if (times !== undefined) await utimes(to, times.accessed, times.modified).catch(() => {})
    if ((entry.attributes & FileAttribute.readOnly) !== 0) await chmod(to, 0o444)
  }

  /** Read-only files stay so, but where their streams are still to come. */
  #modeOf({ entry, stream }: Item): number {
    const isReadOnly = (entry.attributes & FileAttribute.readOnly) !== 0 && stream === undefined
    return isReadOnly && !(this.keepsStreams && this.#options.streams && entry.streams.length > 0) ? 0o444 : 0o666
  }
}

const isConflict = (error: unknown) => error instanceof RefusedError && error.code === 'FILE_EXISTS'

const asError = ({ code, message, syscall }: SystemFailure, path: string) =>
  storageError(Object.assign(new Error(message), { code, syscall }), { verb: 'write', path })

function* groupsOf(items: readonly Item[]): Generator<readonly Item[]> {
  for (let i = 0; i < items.length; i += GROUP_COUNT) yield items.slice(i, i + GROUP_COUNT)
}

/** Items that fit one memory and are not too many, in their order. */
function* batchesOf(items: readonly Opened[]): Generator<readonly Opened[]> {
  let [first, size] = [0, 0]
  for (const [i, { item }] of items.entries()) {
    if (size + item.size > BATCH_SIZE || i - first === BATCH_COUNT) {
      yield items.slice(first, i)
      ;[first, size] = [i, 0]
    }
    size += item.size
  }
  if (first < items.length) yield items.slice(first)
}
