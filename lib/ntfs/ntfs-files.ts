/** The files of an NTFS volume. spec-notes/ntfs.md, Files. */
import type { BlockDevice } from '../device/block-device.ts'
import { SliceDevice } from '../device/slice-device.ts'
import { FormatError, isDamage, NotFoundError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { Entry } from '../volume/entry.ts'
import type { EntryDetails, Files, FilesOptions, ListOptions, OpenStreamOptions } from '../volume/files.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { namesOf } from '../volume/path.ts'
import { openContent } from './content.ts'
import { type DirectoryEntry, DirectoryIndex } from './directory-index.ts'
import { EntryReader, placeIn } from './entry-reader.ts'
import { detailsOf, noDetailsOf } from './file-details.ts'
import { isShortName } from './file-name.ts'
import { FileScan } from './file-scan.ts'
import type { FileTree } from './file-tree.ts'
import { SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { isDirectory, type NtfsEntry } from './ntfs-entry.ts'
import { NtfsFile } from './ntfs-file.ts'
import { SecurityStore } from './security-store.ts'

const KIND_WORDS = {
  file: 'a file',
  directory: 'a directory',
  link: 'a link',
  other: 'a device, a pipe, a socket or the like',
} as const

/** Entries that are read and handed on together. */
const BATCH = 1024

/** Of as many records one is walked to rather than all of them read; and how many at most. */
const RECORDS_PER_WALKED = 64
const MOST_WALKED = 4096

/** Open one with `NtfsVolume.openFiles`. */
export class NtfsFiles implements Files {
  readonly findings: Finding[] = []
  readonly #mft: Mft
  readonly #tree: FileTree
  readonly #reader: EntryReader
  /** Opened when the first file's details are asked for. */
  #security: Promise<SecurityStore | undefined> | undefined

  private constructor(tree: FileTree, leftOut: ReadonlyMap<number, LeftOut>) {
    this.#mft = tree.mft
    this.#tree = tree
    this.#reader = new EntryReader(tree.mft, leftOut)
  }

  /** The files in `tree`. */
  static async open(tree: FileTree, { leftOut = [] }: FilesOptions): Promise<NtfsFiles> {
    const byRecord = new Map<number, LeftOut>()
    const files = new NtfsFiles(tree, byRecord)
    for (const file of leftOut) {
      const record = file.record ?? (await files.#recordAt(file.path))
      if (record !== undefined) byRecord.set(record, file)
    }
    return files
  }

  async stat(path: string): Promise<NtfsEntry> {
    let entry = await this.#reader.root()
    for (const name of namesOf(path)) entry = await this.#find(entry, name)
    return entry
  }

  /** Undefined where there is no such file. */
  async #recordAt(path: string): Promise<number | undefined> {
    try {
      return (await this.stat(path)).record
    } catch (error) {
      if (error instanceof NotFoundError || isDamage(error)) return undefined
      throw error
    }
  }

  async *list(directory: Entry, options: ListOptions = {}): AsyncGenerator<NtfsEntry, void> {
    for await (const batch of this.#batches(directory as NtfsEntry, options)) yield* batch
  }

  async *scan(directory?: Entry, options: ListOptions = {}): AsyncGenerator<readonly NtfsEntry[], void> {
    const listed = (directory as NtfsEntry | undefined) ?? (await this.#reader.root())
    const little = await this.#walkLittle(listed, options)
    if (little !== undefined) {
      if (little.length > 0) yield little
      return
    }
    const system = options.system === true || listed.isSystem
    const scanOptions = { listed: listed.record, system, signal: options.signal }
    const scan = new FileScan(this.#tree, this.#reader, scanOptions, this.findings)
    for await (const batch of scan.batches()) if (batch.length > 0) yield batch
  }

  async open(entry: Entry, stream = '', options: OpenStreamOptions = {}): Promise<BlockDevice> {
    const { reference, record, path, kind, attributes, position, size, isContiguous, error } = entry as NtfsEntry
    if (kind !== 'file' && stream === '') {
      throw new NotFoundError('NOT_A_FILE', `${path} is ${KIND_WORDS[kind]}`, { path, kind })
    }
    if (stream === '' && isContiguous && error === undefined && !this.#reader.leftOut.has(record)) {
      return new SliceDevice(this.#mft.volume, { offset: position!, length: size })
    }
    const file = await NtfsFile.open(this.#mft, reference)
    const leftOut = this.#reader.leftOut.get(record)
    return await openContent(file, stream, { ...options, path, leftOut, fileAttributes: attributes })
  }

  async details(entry: Entry): Promise<EntryDetails> {
    const { reference, path } = entry as NtfsEntry
    const onDamage = (part: string, error: Error) => {
      const message = `${part} of ${path} is left out: ${error.message}`
      this.findings.push({ code: 'NTFS_DAMAGED_ATTRIBUTE', message, details: { path, part } })
    }
    try {
      const file = await NtfsFile.open(this.#mft, reference)
      this.#security ??= this.#openSecurity()
      return await detailsOf(entry as NtfsEntry, file, await this.#security, onDamage)
    } catch (error) {
      if (!isDamage(error)) throw error
      onDamage('the file record', error)
      return noDetailsOf(entry as NtfsEntry)
    }
  }

  /** Undefined, and a finding, where $Secure is damaged. */
  async #openSecurity(): Promise<SecurityStore | undefined> {
    try {
      return await SecurityStore.open(this.#mft, this.findings)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.findings.push({ code: 'NTFS_DAMAGED_FILE', message: `$Secure cannot be read: ${error.message}` })
      return undefined
    }
  }

  /**
   * Everything below `directory` by way of its indexes. Undefined where a pass over $MFT is better: when there is a lot, or
   * damage, which has names that no index tells.
   */
  async #walkLittle(directory: NtfsEntry, options: ListOptions): Promise<NtfsEntry[] | undefined> {
    if (directory.record === SystemRecord.root) return undefined
    const most = Math.min(MOST_WALKED, this.#mft.recordCount / RECORDS_PER_WALKED)
    const told = this.findings.length
    const found: NtfsEntry[] = []
    try {
      const open = [directory]
      for (let next = open.pop(); next !== undefined; next = open.pop()) {
        for await (const batch of this.#batches(next, options)) {
          found.push(...batch)
          open.push(...batch.filter(isDirectory))
          if (found.length > most) return undefined
          if (found.some(({ error }) => error instanceof FormatError)) return undefined
        }
      }
      return this.findings.length === told ? found : undefined
    } catch (error) {
      if (!isDamage(error)) throw error
      return undefined
    } finally {
      // The pass tells of it again.
      this.findings.length = told
    }
  }

  /** The entry of `name` in `directory`. Where the index is damaged, $MFT is gone through instead. */
  async #find(directory: NtfsEntry, name: string): Promise<NtfsEntry> {
    const place = placeIn(directory)
    try {
      const found = await (await this.#indexOf(directory)).find(name)
      if (found !== undefined) return await this.#reader.read(found, place)
    } catch (error) {
      if (!isDamage(error)) throw error
      const found = await this.#findByScan(directory, name)
      if (found === undefined) throw error
      return found
    }
    const where = directory.kind === 'link' ? `, a link to ${directory.target}, which is not followed` : ''
    const message = `there is no '${name}' in ${directory.path}${where}`
    throw new NotFoundError('NO_SUCH_FILE', message, { name, directory: directory.path })
  }

  /** As in an index, a name in another case only where there is none of exactly that case. */
  async #findByScan(directory: NtfsEntry, name: string): Promise<NtfsEntry | undefined> {
    const { folder } = placeIn(directory)
    let similar: NtfsEntry | undefined
    for await (const batch of this.scan(directory, { system: true })) {
      for (const entry of batch) {
        if (entry.folder !== folder) continue
        if (entry.name === name) return entry
        if (this.#tree.upcase.compare(entry.name, name) === 0) similar ??= entry
      }
    }
    return similar
  }

  /** What is in a directory, in its order. Throws what `list` throws. */
  async *#batches(directory: NtfsEntry, { system, signal }: ListOptions): AsyncGenerator<NtfsEntry[], void> {
    const hides = !system && !directory.isSystem
    let names: DirectoryEntry[] = []
    const index = await this.#indexOf(directory)
    for await (const entry of index.entries(error => this.#tellDamage(directory, error))) {
      if (isShortName(entry.fileName) || entry.reference.record === directory.record) continue
      if (hides && entry.reference.record < SystemRecord.firstUser) continue
      if (names.push(entry) < BATCH) continue
      signal?.throwIfAborted()
      yield await this.#readAll(names, directory)
      names = []
    }
    if (names.length > 0) yield await this.#readAll(names, directory)
  }

  async #readAll(names: readonly DirectoryEntry[], directory: NtfsEntry): Promise<NtfsEntry[]> {
    const place = placeIn(directory)
    const entries: NtfsEntry[] = []
    for (const [i, entry] of (await this.#reader.readMany(names, place)).entries()) {
      try {
        entries.push(entry ?? (await this.#reader.read(names[i]!, place)))
      } catch (error) {
        if (!isDamage(error)) throw error
        const path = `${place.folder}/${names[i]!.fileName.name}`
        this.findings.push({
          code: 'NTFS_NAME_LEADS_NOWHERE',
          message: `${path} is passed over: ${error.message}`,
          details: { path },
        })
      }
    }
    return entries
  }

  #tellDamage({ path }: NtfsEntry, error: Error): void {
    const message = `not all of ${path} can be listed: ${error.message}`
    this.findings.push({ code: 'NTFS_DAMAGED_DIRECTORY', message, details: { path } })
  }

  async #indexOf(directory: NtfsEntry): Promise<DirectoryIndex> {
    const { reference, path, kind } = directory
    const file = await NtfsFile.open(this.#mft, reference)
    if (!file.base.directory) {
      throw new NotFoundError('NOT_A_DIRECTORY', `${path} is ${KIND_WORDS[kind]}`, { path, kind })
    }
    return new DirectoryIndex(file, this.#tree.upcase)
  }
}
