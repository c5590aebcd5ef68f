/** A directory: a tree of file names, ordered by $UpCase. spec-notes/ntfs.md, Directory index. */
import { REPLACEMENT, shownName } from '../volume/path.ts'
import { decodeFileName, type FileName } from './file-name.ts'
import { AttributeType, type FileReference, indexEntryHeader, standardInformation } from './format.ts'
import { IndexTree, type OnDamage } from './index-tree.ts'
import type { NtfsFile } from './ntfs-file.ts'
import type { UpcaseTable } from './upcase.ts'

/** In the version, which has another meaning where there is a highest one. */
const CASE_SENSITIVE = 1

/** What a directory says of one name. */
export interface DirectoryEntry {
  readonly reference: FileReference
  readonly fileName: FileName
  /** The $FILE_NAME value, and where it lies on the volume. */
  readonly key: Buffer
  readonly position: number
}

export class DirectoryIndex {
  readonly #tree: IndexTree<DirectoryEntry>
  readonly #record: number
  readonly #upcase: UpcaseTable
  readonly #isCaseSensitive: boolean

  /** The index of the directory `directory`. Throws FormatError (NTFS_INDEX) when it has none or a bad one. */
  constructor(directory: NtfsFile, upcase: UpcaseTable) {
    this.#tree = new IndexTree(directory, '$I30', decodeEntry)
    this.#record = directory.base.number
    this.#upcase = upcase
    this.#isCaseSensitive = isCaseSensitive(directory)
  }

  /**
   * All entries in the order of the directory. A damaged node is told to `onDamage`, and what is in and below it passed
   * over; without that it throws FormatError (NTFS_INDEX).
   */
  entries(onDamage?: OnDamage): AsyncIterable<DirectoryEntry> {
    return this.#tree.walk(() => 0, onDamage)
  }

  /**
   * The entry of `name`; in another case, unless there is one of exactly that case, or the directory tells them apart. What
   * is shown by another name than its own, for that cannot be in a path, is found by the one that is shown.
   * Undefined when there is none.
   * Throws FormatError (NTFS_INDEX) when a node on the way is damaged.
   */
  async find(name: string): Promise<DirectoryEntry | undefined> {
    let found: DirectoryEntry | undefined
    for await (const entry of this.#tree.walk(({ fileName }) => this.#upcase.compare(fileName.name, name))) {
      if (entry.fileName.name === name) return entry
      if (!this.#isCaseSensitive) found ??= entry
    }
    return found ?? (name.includes(REPLACEMENT) ? await this.#findShown(name) : undefined)
  }

  async #findShown(name: string): Promise<DirectoryEntry | undefined> {
    for await (const entry of this.entries()) {
      const isItself = entry.reference.record === this.#record
      if (!isItself && shownName(entry.fileName.name) === name) return entry
    }
    return undefined
  }
}

/** Whether WSL, or fsutil, made names that differ in case only different names in it. */
function isCaseSensitive(directory: NtfsFile): boolean {
  const [information] = directory.find(AttributeType.standardInformation)
  if (!information?.resident || information.value.length < standardInformation.size) return false
  const { maxVersions, version } = standardInformation.decode(information.value, 0, information.position)
  return maxVersions === 0 && (version & CASE_SENSITIVE) !== 0
}

function decodeEntry(node: Buffer, at: number, keyLength: number, nodePosition: number): DirectoryEntry {
  const keyAt = at + indexEntryHeader.size
  const key = node.subarray(keyAt, keyAt + keyLength)
  const position = nodePosition + keyAt
  const reference = { record: node.readUIntLE(at, 6), sequence: node.readUInt16LE(at + 6) }
  return { reference, fileName: decodeFileName(key, position), key, position }
}
