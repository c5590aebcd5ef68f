/** Files out of a volume into an archive. */
import { MiB } from '../binary/size.ts'
import { mapInOrder } from '../copy/map-in-order.ts'
import { OutputFile, refuseSources } from '../copy/output-file.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { DiskImageError, RefusedError, StorageError } from '../errors.ts'
import { type Entry, FileAttribute } from '../volume/entry.ts'
import type { Files } from '../volume/files.ts'
import type { Archive, ArchiveSink, Member } from './archive.ts'
import type { ExtractOptions } from './extract-options.ts'
import { ExtractLog, type ExtractReport } from './extract-report.ts'
import { ARCHIVE_NAMES, ZIP_NAMES } from './host-name.ts'
import { type Item, Layout, type PlannedFolder, type PlannedLink } from './layout.ts'
import { linkTarget } from './link-target.ts'
import { readContent } from './read-content.ts'
import { Selection } from './selection.ts'
import { findSources, wantedSources } from './sources.ts'
import { TargetNames } from './target-names.ts'
import { unixSeconds } from './unix-time.ts'

/** The archives that can be written. */
export const ARCHIVE_FORMATS = ['tar', 'zip'] as const
/** One of `ARCHIVE_FORMATS`. */
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number]

/** How files are put into an archive. */
export interface ArchiveOptions extends Omit<ExtractOptions, 'onConflict' | 'sources'> {
  readonly format: ArchiveFormat
}

/** Files up to here are read whole before they go into the archive, some of them ahead. */
const SMALL = MiB
const READ_AHEAD = 8
/** Pieces of a large file, and how many are read ahead. */
const PIECE_SIZE = MiB
const PIECES_AHEAD = 3

/**
 * Writes what `paths` mean (see `findSources`) to `sink` as one archive, in one pass: tar with pax headers, or zip. Named
 * streams are only in it with `streams`, as files `name:stream`. Hard links stay so in tar and are files in zip.
 *
 * What cannot be read is told to `onEvent`, and the rest goes on; but a file that turns out to be unreadable when half of
 * it is in the archive throws StorageError (ARCHIVE_BROKEN), for what is in the archive cannot be taken back.
 * Throws NotFoundError, OptionError (NEEDS_RECURSIVE), StorageError (DEVICE_GONE) and what the sink throws.
 */
export async function archiveFiles(
  files: Files,
  paths: readonly string[],
  sink: ArchiveSink,
  options: ArchiveOptions,
): Promise<ExtractReport> {
  const { system = false, streams = false, recursive = false, signal } = options
  const listing = { system, ...(signal === undefined ? {} : { signal }) }
  const log = new ExtractLog(options.onEvent)
  const sources = wantedSources(await findSources(files, paths, log, listing), recursive, log)
  options.onProgress?.({ phase: 'counting', done: 0, total: 0, files: 0 })
  const selection = new Selection(files, sources, { ...listing, streams })
  const { bytes } = await selection.survey()
  const archiving = new Archiving(files, await archiveTo(sink, options.format), bytes, log, options)
  for await (const window of selection.windows()) await archiving.add(window)
  await archiving.finish()
  return log.report()
}

/**
 * As `archiveFiles`, into the new file `path`, which has its name only when it is whole. Throws RefusedError
 * (TARGET_EXISTS), unless `onConflict` is 'overwrite'; OptionError (SAME_FILE) when it is one of `sources`.
 */
export async function archiveToFile(
  files: Files,
  paths: readonly string[],
  path: string,
  options: ArchiveOptions & Pick<ExtractOptions, 'onConflict' | 'sources'>,
): Promise<ExtractReport> {
  await refuseSources(path, options.sources ?? [])
  await using output = await createOutput(path, options.onConflict === 'overwrite')
  let end = 0
  const sink: ArchiveSink = {
    async write(bytes) {
      await output.device.write(end, bytes)
      end += bytes.length
    },
  }
  const report = await archiveFiles(files, paths, sink, options)
  await output.complete()
  return report
}

async function createOutput(path: string, overwrite: boolean): Promise<OutputFile> {
  try {
    return await OutputFile.create(path, { overwrite, needed: 0 })
  } catch (error) {
    if (!(error instanceof RefusedError) || error.code !== 'TARGET_EXISTS') throw error
    const message = `${path} or its partial file exists already. Choose another name, or replace it with --on-conflict overwrite`
    throw new RefusedError(error.code, message, error.details, { cause: error })
  }
}

/** Each is loaded when it is asked for: loading them takes longer than many a command. */
async function archiveTo(sink: ArchiveSink, format: ArchiveFormat): Promise<Archive> {
  if (format === 'tar') return new (await import('./tar-archive.ts')).TarArchive(sink)
  return new (await import('./zip-archive.ts')).ZipArchive(sink)
}

/** Content, or why there is none. */
interface Ready {
  readonly item: Item
  readonly whole?: Buffer
  readonly large?: BlockDevice
  readonly error?: unknown
}

class Archiving {
  readonly #files: Files
  readonly #archive: Archive
  readonly #total: number
  readonly #log: ExtractLog
  readonly #options: ArchiveOptions
  readonly #names: TargetNames
  readonly #layout: Layout
  readonly #links: PlannedLink[] = []
  readonly #folders: PlannedFolder[] = []
  #done = 0

  constructor(files: Files, archive: Archive, total: number, log: ExtractLog, options: ArchiveOptions) {
    this.#files = files
    this.#archive = archive
    this.#total = total
    this.#log = log
    this.#options = options
    this.#names = new TargetNames(options.format === 'tar' ? ARCHIVE_NAMES : ZIP_NAMES, renamed => log.renamed(renamed))
    this.#layout = new Layout(this.#names, log, { name: undefined, streams: options.streams ? 'files' : 'none' })
  }

  async add(window: Parameters<Layout['plan']>[0]): Promise<void> {
    const { folders, items, furtherNames, links } = this.#layout.plan(window)
    await this.#addFiles(items)
    for (const item of furtherNames) {
      const target = item.copies?.path
      if (this.#archive.hardLink === undefined || target === undefined) await this.#addFiles([item])
      else {
        await this.#archive.hardLink(memberOf(item), target)
        this.#log.counts.hardLinks++
      }
    }
    for (const link of links) this.#links.push(link)
    for (const folder of folders) this.#folders.push(folder)
  }

  async finish(): Promise<void> {
    for (const link of this.#links) {
      const target = linkTarget(link, this.#names.rules)
      if (typeof target === 'string') this.#log.skipped(link.path, target)
      else {
        await this.#archive.link(memberOf(link), target.path)
        this.#log.counts.links++
      }
    }
    await this.#addFolders()
    await this.#archive.finish()
  }

  /**
   * After all that is in them, and those below first: readers give a folder its time when they meet it, and whatever they
   * put into it later changes that. They make folders on the way to a file by themselves.
   */
  async #addFolders(): Promise<void> {
    this.#folders.sort((a, b) => (a.folder.path < b.folder.path ? 1 : -1))
    for (const { entry, folder } of this.#folders) {
      this.#log.counts.directories++
      if (folder.parent !== undefined) await this.#archive.folder(memberOf({ entry, place: folder.path }))
    }
  }

  async #addFiles(items: readonly Item[]): Promise<void> {
    for await (const ready of mapInOrder(items, READ_AHEAD, item => this.#ready(item))) {
      this.#options.signal?.throwIfAborted()
      const { item, error } = ready
      if (error === undefined) await this.#addFile(ready)
      else if (error instanceof DiskImageError && error.code !== 'DEVICE_GONE') this.#log.error(item.path, error)
      else throw error
    }
  }

  async #ready(item: Item): Promise<Ready> {
    try {
      this.#options.signal?.throwIfAborted()
      const content = await this.#files.open(item.entry, item.stream, { raw: this.#options.raw ?? false })
      if (content.size > SMALL) {
        if (isUnpacked(item.entry)) for await (const _ of readContent(content)) this.#options.signal?.throwIfAborted()
        return { item, large: content }
      }
      const whole = Buffer.allocUnsafe(content.size)
      await content.read(0, whole)
      return { item, whole }
    } catch (error) {
      return { item, error }
    }
  }

  async #addFile({ item, whole, large }: Ready): Promise<void> {
    const { counts } = this.#log
    const size = whole?.length ?? large!.size
    await this.#archive.file(memberOf(item), size, whole === undefined ? this.#piecesOf(item, large!) : once(whole))
    if (whole !== undefined) this.#progress(size)
    if (item.stream === undefined) counts.files++
    else counts.streams++
    counts.bytes += size
    if (item.copies !== undefined) item.copies.path = item.place
  }

  /** In buffers of their own: an archive may hold on to what it was given. */
  async *#piecesOf({ path }: Item, content: BlockDevice): AsyncGenerator<Buffer> {
    const pieces = mapInOrder(offsetsOf(content.size), PIECES_AHEAD, async offset => {
      this.#options.signal?.throwIfAborted()
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, content.size - offset))
      await content.read(offset, piece)
      return piece
    })
    try {
      for await (const piece of pieces) {
        yield piece
        this.#progress(piece.length)
      }
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      if (!(error instanceof DiskImageError)) throw error
      const message = `the archive is of no use, because ${path} cannot be read to its end: ${error.message}. Leave it out, or copy to a folder`
      throw new StorageError('ARCHIVE_BROKEN', message, { path }, { cause: error })
    }
  }

  #progress(bytes: number): void {
    this.#done += bytes
    const { files } = this.#log.counts
    this.#options.onProgress?.({ phase: 'copying', done: this.#done, total: this.#total, files })
  }
}

/** Content that can turn out to be damaged anywhere, so that it is read once before half of it is in the archive. */
const isUnpacked = ({ attributes }: Entry) =>
  (attributes & (FileAttribute.compressed | FileAttribute.reparsePoint)) !== 0

function memberOf({ entry, place }: { readonly entry: Entry; readonly place: string }): Member {
  const { modified, accessed, attributes } = entry
  return {
    path: place,
    modified: unixSeconds(modified),
    accessed: unixSeconds(accessed),
    readOnly: (attributes & FileAttribute.readOnly) !== 0,
  }
}

function* offsetsOf(size: number): Generator<number> {
  for (let offset = 0; offset < size; offset += PIECE_SIZE) yield offset
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield bytes
}
