/** The directories of a volume, put together while their records come in any order. spec-notes/ntfs.md, Scan of $MFT. */
import { SystemRecord } from './format.ts'
import type { NtfsEntry } from './ntfs-entry.ts'

/** Deeper than any path that Windows can make. */
const MAX_DEPTH = 1024

/** A directory that something is in; what it is called may come later. */
export interface Folder {
  readonly record: number
  /** 0: any, or not known yet. */
  sequence: number
  /** '' for the root; undefined as long as it is not known. */
  path: string | undefined
  depth: number
  isSystem: boolean
  /** Whether it is the directory that is listed, or below it. */
  isWanted: boolean
  waiting: Waiting[] | undefined
}

/** A name that waits for the path of the directory it is in. */
interface Waiting {
  readonly name: string
  readonly parentSequence: number
  /** What is to be given out then. */
  readonly entry: NtfsEntry | undefined
  /** The directory that has the name. */
  readonly child: Folder | undefined
}

/** What is in no directory that is known: its record, and its name. */
export interface Orphan {
  readonly record: number
  readonly name: string
}

export class Folders {
  /** How many names wait. */
  waitingCount = 0
  readonly #folders = new Map<number, Folder>()
  readonly #listed: number
  readonly #onEntry: (entry: NtfsEntry, folder: Folder) => void
  readonly #onOrphan: (orphan: Orphan) => void
  /** Files of a directory come in a row. */
  #last: Folder

  /**
   * `listed`: record of the directory to list. `onEntry` gets each entry below it with its path; `onOrphan` what is in a
   * directory that is another now, or too deep.
   */
  constructor(listed: number, onEntry: (entry: NtfsEntry, folder: Folder) => void, onOrphan: (orphan: Orphan) => void) {
    this.#listed = listed
    this.#onEntry = onEntry
    this.#onOrphan = onOrphan
    this.#last = this.get(SystemRecord.root)
    this.#last.path = ''
  }

  /** The directory of a record, whatever is known of it. */
  get(record: number): Folder {
    const known = this.#folders.get(record)
    if (known !== undefined) return known
    const isWanted = record === this.#listed
    const folder = { record, sequence: 0, path: undefined, depth: 0, isSystem: false, isWanted, waiting: undefined }
    this.#folders.set(record, folder)
    return folder
  }

  /** All those whose path is known. */
  *known(): Iterable<Folder> {
    for (const folder of this.#folders.values()) if (folder.path !== undefined) yield folder
  }

  /** Those whose path is not known, though something is in them. */
  *unknown(): Iterable<Folder> {
    for (const folder of this.#folders.values()) if (folder.waiting !== undefined) yield folder
  }

  /**
   * Puts a name into the directory `parent`: of `entry`, which is given out, and of the directory `child`. At once where
   * the path of `parent` is known, else as soon as it is.
   */
  add(
    parent: number,
    parentSequence: number,
    name: string,
    entry: NtfsEntry | undefined,
    child: Folder | undefined,
  ): void {
    const folder = parent === this.#last.record ? this.#last : this.get(parent)
    this.#last = folder
    if (folder.path === undefined) {
      this.waitingCount++
      const waiting = { name, parentSequence, entry, child }
      if (folder.waiting === undefined) folder.waiting = [waiting]
      else folder.waiting.push(waiting)
    } else {
      this.#place(folder, parentSequence, name, entry, child)
      if (child !== undefined) this.#settle(child)
    }
  }

  /** Gives up all that waits, and tells of it. */
  abandon(): void {
    for (const folder of this.unknown()) {
      for (const { name, entry, child } of folder.waiting!) this.#onOrphan({ record: (entry ?? child)!.record, name })
      folder.waiting = undefined
    }
    this.waitingCount = 0
  }

  #place(
    folder: Folder,
    parentSequence: number,
    name: string,
    entry: NtfsEntry | undefined,
    child: Folder | undefined,
  ): void {
    const isStale = parentSequence !== folder.sequence && parentSequence !== 0 && folder.sequence !== 0
    if (isStale || folder.depth === MAX_DEPTH) {
      this.#onOrphan({ record: (entry ?? child)!.record, name })
      return
    }
    if (child !== undefined && child.path === undefined) {
      child.path = `${folder.path}/${name}`
      child.depth = folder.depth + 1
      child.isSystem = folder.isSystem || (child.record < SystemRecord.firstUser && child.record !== SystemRecord.root)
      child.isWanted ||= folder.isWanted
    }
    if (entry !== undefined) this.#onEntry(entry, folder)
  }

  /** Places all that waited for `folder`, and for what is in it. */
  #settle(folder: Folder): void {
    const settled = [folder]
    for (let next = settled.pop(); next !== undefined; next = settled.pop()) {
      const { waiting } = next
      if (waiting === undefined || next.path === undefined) continue
      next.waiting = undefined
      this.waitingCount -= waiting.length
      for (const { name, parentSequence, entry, child } of waiting) {
        this.#place(next, parentSequence, name, entry, child)
        if (child !== undefined) settled.push(child)
      }
    }
  }
}
