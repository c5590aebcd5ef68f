/**
 * A time of writing to an image, from its first change to its close: the life of headers and log, [MS-VHDX] 2.2.2 and
 * 2.3, and the order in which things reach the medium. Whatever is cut off in between, the file is that of before or
 * after a commit.
 *
 * A commit flushes the payload that was written, and with it what earlier commits put to its home; writes one entry to
 * the log and flushes that; then puts the changes home.
 */
import { NIL_GUID } from '../binary/guid.ts'
import { KiB, MiB, roundUp } from '../binary/size.ts'
import type { ResizableDevice } from '../device/block-device.ts'
import { ReadOnlyError, StorageError } from '../errors.ts'
import { Bat } from './bat.ts'
import { BatCheck } from './bat-check.ts'
import { FULLY_PRESENT } from './format.ts'
import { FreeSpace } from './free-space.ts'
import { logOf } from './header.ts'
import { HeaderWriter } from './header-writer.ts'
import { replayLogOnDisk } from './log-recovery.ts'
import { type FileOffsets, LogWriter } from './log-writer.ts'
import { type ChangedSector, type MetadataChange, MetadataPages } from './metadata-pages.ts'
import { type ItemKey, MetadataWriter } from './metadata-writer.ts'
import { errorOf, RULES } from './rules.ts'
import { readSoundStructures, type SoundStructures } from './structures.ts'
import type { ItemContent } from './virtual-disk-items.ts'

/** Bytes. What is left of the last step is cut off at the close. */
const GROWTH_STEP = 32 * MiB
/** Bytes of an item that are changed at once: less than a log entry has room for. */
const ITEM_PIECE = 256 * KiB

export interface WriteSessionOptions {
  /** What the image's DataWriteGuid becomes when what it holds changes. Default: a random one. */
  readonly dataWriteGuid?: string | undefined
}

export class WriteSession {
  /** As they were when the session began; the log is clean. */
  readonly structures: SoundStructures
  /** The file's metadata with all changes, committed or not. */
  readonly pages: MetadataPages
  readonly file: ResizableDevice
  /** 'replayed': the image had not been closed properly, and opening it for writing has replayed its log on disk. */
  readonly log: 'clean' | 'replayed'
  readonly #headers: HeaderWriter
  readonly #metadata: MetadataWriter
  readonly #dataWriteGuid: string
  /** Whether the headers say that the file, and that what it holds, is not what it was. */
  #begun: { isVisible: boolean; done: Promise<void> } | undefined
  #logWriter: LogWriter | undefined
  #freeSpace: FreeSpace | undefined
  /** While the free space is being found. */
  #search: Promise<FreeSpace> | undefined
  /** A fixed image that lacks blocks keeps the room for them. */
  #leastSize = 0
  /** The commits so far, one after the other. */
  #commits: Promise<void> = Promise.resolve()
  /** The one that has not begun yet, which will take in what is changed meanwhile. */
  #nextCommit: Promise<void> | undefined
  #growth: Promise<void> = Promise.resolve()
  #failure: unknown
  #isClosed = false

  private constructor(
    file: ResizableDevice,
    structures: SoundStructures,
    log: 'clean' | 'replayed',
    options: WriteSessionOptions,
  ) {
    this.file = file
    this.log = log
    this.structures = structures
    this.pages = new MetadataPages(file, () => this.commit())
    this.#headers = new HeaderWriter(file, structures.headers.current)
    this.#metadata = new MetadataWriter(structures.regionTables.metadata, structures.metadataRegion.items)
    this.#dataWriteGuid = options.dataWriteGuid ?? crypto.randomUUID()
  }

  /**
   * A session on the image in `file`, which stays the caller's. A log that was not replayed is replayed on disk; nothing
   * else is written before the first change. Throws ReadOnlyError, and what `VhdxDevice.open` throws.
   */
  static async open(file: ResizableDevice, options: WriteSessionOptions = {}): Promise<WriteSession> {
    if (file.readOnly)
      throw new ReadOnlyError('READ_ONLY', 'the image cannot be changed: its file was opened for reading only')
    const log = (await replayLogOnDisk(file)) ? 'replayed' : 'clean'
    return new WriteSession(file, await readSoundStructures(file), log, options)
  }

  /**
   * Tells the file apart from what it was, before anything of it changes: a new FileWriteGuid, and where `isVisible`, when
   * the disk will read differently, a new DataWriteGuid. Once is enough; more often does no harm.
   */
  async begin(isVisible: boolean): Promise<void> {
    this.#refuseFailed()
    const before = this.#begun
    if (before === undefined || (isVisible && !before.isVisible)) {
      const begun = { isVisible, done: this.#writeIds(isVisible, before?.done) }
      this.#begun = begun
      begun.done.catch(() => {
        // It may be tried again.
        if (this.#begun === begun) this.#begun = before
      })
    }
    await this.#begun!.done
  }

  /**
   * Gives metadata new content, which shows at once: region tables, metadata region, BAT, sector bitmaps. All of
   * `changes`, at most 126 sectors of 4 KiB, reach the medium together, at the next commit or before.
   */
  async change(changes: readonly MetadataChange[]): Promise<void> {
    await this.begin(false)
    await this.pages.change(changes)
  }

  /**
   * Gives metadata items new content, and takes away those in `removed`. It reaches the medium with `also`, all together.
   * Throws UnsupportedError (METADATA_FULL).
   */
  async setItems(
    set: readonly ItemContent[],
    removed: readonly ItemKey[] = [],
    also: readonly MetadataChange[] = [],
  ): Promise<void> {
    const { unnamed, named } = this.#metadata.changes(set, removed)
    for (const { position, bytes } of unnamed) {
      for (let at = 0; at < bytes.length; at += ITEM_PIECE) {
        await this.change([{ position: position + at, bytes: bytes.subarray(at, at + ITEM_PIECE) }])
      }
    }
    await this.change([...named, ...also])
  }

  /** Makes what was written and changed so far durable. After it has failed once nothing can be written any more. */
  commit(): Promise<void> {
    if (this.#nextCommit === undefined) {
      const commit = this.#commits.then(() => {
        this.#nextCommit = undefined
        return this.#commit()
      })
      this.#nextCommit = commit
      // The one behind it finds out by `#failure`.
      this.#commits = commit.catch(() => {})
    }
    return this.#nextCommit
  }

  /**
   * What of the file is free, from one pass over the BAT. Throws FormatError with the code of the first rule that an
   * entry breaks: where two things share a place, to write to one damages the other.
   */
  async freeSpace(): Promise<FreeSpace> {
    if (this.#freeSpace === undefined) {
      this.#search ??= this.#findFreeSpace().finally(() => {
        this.#search = undefined
      })
      this.#freeSpace = await this.#search
    }
    return this.#freeSpace
  }

  /**
   * `length` bytes of the file, a MiB multiple, that `fill` has written to. Something else may have lain there, or a hole:
   * every one of them has to be written before anything names them. Gives their byte in the file.
   */
  async allocate(length: number, fill: (place: number) => Promise<void>): Promise<number> {
    const freeSpace = await this.freeSpace()
    const place = freeSpace.allocate(length)
    try {
      await this.#growTo(place + length)
      await fill(place)
      return place
    } catch (error) {
      freeSpace.free({ offset: place, length })
      throw error
    }
  }

  /**
   * Commits, marks the log clean and cuts the file behind the last thing in it. The file stays open. When it throws, the
   * file is left as it is: what was committed is in its log.
   */
  async close(): Promise<void> {
    if (this.#isClosed || (this.#begun === undefined && this.log === 'clean')) return
    this.#isClosed = true
    await this.commit()
    if (this.#logWriter !== undefined) {
      await this.file.flush()
      await this.#updateBothHeaders({ logGuid: NIL_GUID })
    }
    // Who did not close the image did not cut it either.
    if (this.log === 'replayed') await this.freeSpace().catch(() => {})
    if (this.#freeSpace === undefined) return
    const end = Math.max(this.#freeSpace.end, this.#leastSize)
    // After the log is clean: it tells how long the file must at least be.
    if (end >= this.file.size) return
    await this.file.resize(end)
    await this.file.flush()
  }

  /** In steps: to make a file longer costs more than to write to it. A full disk may have room for less than a step. */
  #growTo(size: number): Promise<void> {
    const growth = this.#growth.then(async () => {
      if (this.file.size >= size) return
      await this.file.resize(roundUp(size, GROWTH_STEP)).catch(() => this.file.resize(size))
    })
    this.#growth = growth.catch(() => {})
    return growth
  }

  async #writeIds(isVisible: boolean, before: Promise<void> | undefined): Promise<void> {
    await before
    const fileWriteGuid = crypto.randomUUID()
    await this.#updateBothHeaders(isVisible ? { fileWriteGuid, dataWriteGuid: this.#dataWriteGuid } : { fileWriteGuid })
  }

  /** Both, so that it does no harm to lose one. */
  async #updateBothHeaders(change: Parameters<HeaderWriter['update']>[0]): Promise<void> {
    for (const _ of this.structures.headers.copies) await this.#headers.update(change)
  }

  async #commit(): Promise<void> {
    this.#refuseFailed()
    try {
      const freeSpace = this.#freeSpace
      const released = freeSpace?.takeReleased() ?? []
      const sectors = this.pages.takeChanged()
      // All that the sectors name lies inside it.
      const flushed = this.file.size
      await this.file.flush()
      const last = Math.min(freeSpace?.end ?? flushed, flushed)
      if (sectors.length > 0) await this.#writeEntry(sectors, { flushed, last })
      for (const range of released) freeSpace!.free(range)
      for (const { position, bytes } of sectors) await this.file.write(position, bytes)
      this.pages.committed()
    } catch (cause) {
      this.#failure = cause
      throw cause
    }
  }

  async #writeEntry(sectors: readonly ChangedSector[], offsets: FileOffsets): Promise<void> {
    this.#logWriter ??= await this.#startLog(offsets)
    await this.#logWriter.append(sectors, offsets)
  }

  /** An empty entry first: a header that names a log without one is a broken file. */
  async #startLog(offsets: FileOffsets): Promise<LogWriter> {
    const logGuid = crypto.randomUUID()
    const log = new LogWriter(this.file, logOf(this.structures.headers.current.header), logGuid)
    await log.append([], offsets)
    // Another version does no harm in a file whose log is clean.
    await this.#updateBothHeaders({ logGuid, logVersion: 0 })
    return log
  }

  async #findFreeSpace(): Promise<FreeSpace> {
    const { regionTables, geometry, areas } = this.structures
    const check = new BatCheck(this.file.size, regionTables.bat.offset, geometry, areas)
    for await (const page of new Bat(this.pages, regionTables.bat.offset, geometry).pages()) check.page(page)
    const broken = check.problems.find(({ code }) => RULES[code].severity === 'error')
    if (broken !== undefined) throw errorOf(broken)
    const { leaveBlocksAllocated } = this.structures.metadataRegion.metadata
    if (leaveBlocksAllocated && check.states[FULLY_PRESENT]! < geometry.blockCount) this.#leastSize = this.file.size
    return new FreeSpace(check)
  }

  #refuseFailed(): void {
    if (this.#failure === undefined) return
    const why = this.#failure instanceof Error ? this.#failure.message : String(this.#failure)
    throw new StorageError(
      'WRITE_FAILED_BEFORE',
      `nothing more is written to the image, for this failed: ${why}. What was flushed before is safe: close it and open it again`,
      {},
      { cause: this.#failure },
    )
  }
}
