/** Every name of a volume by one pass over $MFT. spec-notes/ntfs.md, Scan of $MFT. */
import { isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { EntryReader, OpenedFile } from './entry-reader.ts'
import { isShortName } from './file-name.ts'
import type { FileTree } from './file-tree.ts'
import { FindingTally } from './finding-tally.ts'
import { type Folder, Folders } from './folders.ts'
import { SystemRecord } from './format.ts'
import { isDirectory, type NtfsEntry } from './ntfs-entry.ts'
import { recordBytes } from './record-bytes.ts'
import { type MftPiece, nextInUse, recordsInUse } from './record-scan.ts'

/** Entries that wait take about 25 MiB then. */
const MOST_WAITING = 2 ** 16
/** Files of several records that are put together at the same time. */
const CONCURRENCY = 8

/** What to scan for. */
export interface ScanOptions {
  /** The directory whose entries, and those of all below it, are given out. */
  readonly listed: number
  /** Whether files of NTFS itself are. */
  readonly system: boolean
  readonly signal: AbortSignal | undefined
  /** Names that may wait for the record of their directory; with more, those are read out of turn. */
  readonly mostWaiting?: number
}

/** One scan. Memory goes with the number of directories, not of files. */
export class FileScan {
  readonly #tree: FileTree
  readonly #reader: EntryReader
  readonly #options: ScanOptions
  readonly #mostWaiting: number
  readonly #findings: Finding[]
  readonly #folders: Folders
  readonly #tally = new FindingTally()
  /** Records in use that cannot be read, or not all of whose extension records can. */
  readonly #damaged = new Map<number, string>()
  /** Files of the piece at hand that are to be opened: they have more than one record, or a damaged one. */
  #partial: number[] = []
  #batch: NtfsEntry[] = []

  /** What stays without a name is added to `findings`. */
  constructor(tree: FileTree, reader: EntryReader, options: ScanOptions, findings: Finding[]) {
    this.#tree = tree
    this.#reader = reader
    this.#options = options
    this.#mostWaiting = options.mostWaiting ?? MOST_WAITING
    this.#findings = findings
    this.#folders = new Folders(
      options.listed,
      (entry, folder) => this.#give(entry, folder),
      ({ record, name }) => this.#tellOrphan(record, name),
    )
  }

  async *batches(): AsyncGenerator<NtfsEntry[], void> {
    for await (const piece of this.#tree.mft.pieces(this.#options.signal)) {
      this.#scan(piece)
      await this.#putTogether()
      if (this.#folders.waitingCount > this.#mostWaiting) await this.#readAwaited()
      yield this.#takeBatch()
    }
    if (this.#damaged.size > 0) {
      await this.#findDamaged()
      yield this.#takeBatch()
    }
    this.#folders.abandon()
    for (const [record, problem] of this.#damaged) {
      const told = (count: number) => `${count} damaged file records have no name in any directory`
      this.#tally.add('NTFS_DAMAGED_RECORDS', told, [() => `record ${record}: ${problem}`])
    }
    this.#findings.push(...(await this.#tally.findings()))
  }

  #takeBatch(): NtfsEntry[] {
    const batch = this.#batch
    this.#batch = []
    return batch
  }

  /** Takes the files of one piece of $MFT. Millions of records pass here. */
  #scan(piece: MftPiece): void {
    const { recordSize } = this.#tree.mft.geometry
    const { summary } = this.#reader
    const records = recordBytes(piece.records)
    const onDamage = (record: number, problem: string) => this.#tellDamage(record, problem)
    const next = (at: number) => nextInUse(piece, at, recordSize, onDamage)
    for (let at = next(0); at < piece.records.length; at = next(at + recordSize)) {
      const number = piece.first + at / recordSize
      if (!summary.begin(records, at, number)) continue
      summary.add(records, at)
      if (this.#reader.isToBeOpened) this.#partial.push(number)
      else this.#addNames()
    }
  }

  /** Puts the file summarized last into the directories it has names in. */
  #addNames(opened?: OpenedFile): void {
    const { number, sequence, isDirectory, nameCount, names, parents, parentSequences, problem } = this.#reader.summary
    if (number === SystemRecord.root) return
    if (nameCount === 0 && number >= SystemRecord.firstUser) {
      if (problem === undefined) this.#tellOrphan(number, '')
      else this.#damaged.set(number, problem)
    }
    const child = isDirectory ? this.#folders.get(number) : undefined
    if (child !== undefined) child.sequence = sequence
    for (let i = 0; i < nameCount; i++) {
      const name = names[i]!
      this.#folders.add(parents[i]!, parentSequences[i]!, name, this.#reader.make(name, opened), child)
    }
  }

  #give(entry: NtfsEntry, { path, isSystem, isWanted }: Folder): void {
    entry.folder = path!
    entry.isSystem = isSystem || entry.record < SystemRecord.firstUser
    if (isWanted && (this.#options.system || !entry.isSystem)) this.#batch.push(entry)
  }

  async #putTogether(): Promise<void> {
    const numbers = this.#partial
    this.#partial = []
    for (let i = 0; i < numbers.length; i += CONCURRENCY) {
      this.#options.signal?.throwIfAborted()
      const together = numbers.slice(i, i + CONCURRENCY)
      const opened = await Promise.all(together.map(record => this.#open(record)))
      for (const file of opened) {
        if (file === undefined) continue
        this.#reader.summarize(file)
        this.#addNames(file)
      }
    }
  }

  /** Undefined, and a record that is damaged, when it cannot be opened. */
  async #open(record: number): Promise<OpenedFile | undefined> {
    try {
      return await this.#reader.open({ record, sequence: 0 })
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#damaged.set(record, error.message)
      return undefined
    }
  }

  #tellDamage(record: number, problem: string): void {
    if (this.#tree.mft.isMirrored(record)) this.#partial.push(record)
    else this.#damaged.set(record, problem)
  }

  #tellOrphan(record: number, name: string): void {
    const told = (count: number) => `${count} names are in no directory that can be found`
    this.#tally.add('NTFS_ORPHANS', told, [() => `record ${record}${name === '' ? '' : `, '${name}'`}`])
  }

  /** Reads the directories that names wait for, up to the root. What waits then still, waits in vain. */
  async #readAwaited(): Promise<void> {
    const read = new Set<number>()
    for (;;) {
      const unread = [...this.#folders.unknown()].map(({ record }) => record).filter(record => !read.has(record))
      if (unread.length === 0) break
      for (const record of unread) read.add(record)
      await this.#readDirectories(unread.sort((a, b) => a - b))
    }
    if (this.#folders.waitingCount > this.#mostWaiting / 2) this.#folders.abandon()
  }

  async #readDirectories(numbers: readonly number[]): Promise<void> {
    const { mft } = this.#tree
    const { summary } = this.#reader
    const wanted = new Set(numbers)
    const partial: number[] = []
    for await (const piece of mft.some(numbers, this.#options.signal)) {
      const records = recordBytes(piece.records)
      for (const at of recordsInUse(piece, mft.geometry.recordSize, () => {})) {
        const number = piece.first + at / mft.geometry.recordSize
        if (!wanted.has(number) || !summary.begin(records, at, number)) continue
        summary.add(records, at)
        if (this.#reader.isToBeOpened) partial.push(number)
        else this.#addDirectory()
      }
    }
    for (const record of partial) {
      const opened = await this.#open(record)
      if (opened === undefined) continue
      this.#reader.summarize(opened)
      this.#addDirectory()
    }
  }

  /** Makes known where the directory summarized last is. It is given out when its turn comes. */
  #addDirectory(): void {
    const { number, sequence, isDirectory, nameCount, names, parents, parentSequences } = this.#reader.summary
    if (!isDirectory || nameCount === 0) return
    const folder = this.#folders.get(number)
    folder.sequence = sequence
    this.#folders.add(parents[0]!, parentSequences[0]!, names[0]!, undefined, folder)
  }

  /** Looks for the names of damaged records in all directories, and in those that are found by it. */
  async #findDamaged(): Promise<void> {
    const searched = new Set<Folder>()
    const named = new Set<number>()
    for (let before = -1; before < searched.size; ) {
      before = searched.size
      for (const folder of this.#folders.known()) {
        if (searched.has(folder)) continue
        searched.add(folder)
        await this.#findDamagedIn(folder, named)
      }
    }
    for (const record of named) this.#damaged.delete(record)
  }

  async #findDamagedIn({ record, sequence, path, isSystem }: Folder, named: Set<number>): Promise<void> {
    this.#options.signal?.throwIfAborted()
    try {
      const index = await this.#tree.directory({ record, sequence })
      for await (const entry of index.entries(() => {})) {
        if (!this.#damaged.has(entry.reference.record) || isShortName(entry.fileName)) continue
        const found = await this.#reader.read(entry, { folder: path!, isSystem })
        const child = isDirectory(found) ? this.#folders.get(found.record) : undefined
        this.#folders.add(record, 0, found.name, found, child)
        named.add(found.record)
      }
    } catch (error) {
      // A directory that is damaged itself is told of already; one whose index is, when somebody lists it.
      if (!isDamage(error)) throw error
    }
  }
}
