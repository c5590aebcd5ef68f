/** What a directory lists, with what the record of each file says. spec-notes/ntfs.md, File summary. */
import { type DiskImageError, isDamage } from '../errors.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { shownName } from '../volume/path.ts'
import type { DirectoryEntry } from './directory-index.ts'
import { isShortName } from './file-name.ts'
import { FileSummary } from './file-summary.ts'
import { AttributeType, type FileReference, SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { natureOf } from './nature.ts'
import { NtfsEntry } from './ntfs-entry.ts'
import { NtfsFile } from './ntfs-file.ts'
import { recordBytes } from './record-bytes.ts'
import { recordsInUse } from './record-scan.ts'
import { type ReparsePoint, readReparsePoint } from './reparse-point.ts'

/** Where an entry is. */
export interface Place {
  /** Path of the directory; '' for the root. */
  readonly folder: string
  readonly isSystem: boolean
}

export const placeIn = (directory: NtfsEntry): Place =>
  directory.name === '' ? { folder: '', isSystem: false } : { folder: directory.path, isSystem: directory.isSystem }

/** A file of any number of records, read so that it can be summarized at once. */
export interface OpenedFile {
  readonly file: NtfsFile
  /** Where it lies outside of the records. */
  readonly reparsePoint: ReparsePoint | undefined
  /** What is damaged although the records are not. */
  readonly error: DiskImageError | undefined
}

export class EntryReader {
  readonly mft: Mft
  /** Of the file looked at last; for as long as nobody waits for anything. */
  readonly summary: FileSummary
  /** The content that was left out when the volume was captured, by record. */
  readonly leftOut: ReadonlyMap<number, LeftOut>

  constructor(mft: Mft, leftOut: ReadonlyMap<number, LeftOut>) {
    this.mft = mft
    this.summary = new FileSummary(mft.geometry)
    this.leftOut = leftOut
  }

  /** The root directory; with the error when its record is damaged. */
  async root(): Promise<NtfsEntry> {
    const reference = { record: SystemRecord.root, sequence: 0 }
    try {
      const opened = await this.open(reference)
      this.summarize(opened)
      return this.make('', opened)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.summary.beginUnknown(reference)
      return this.make('', { error })
    }
  }

  /**
   * What `entry` of a directory names. Where its record is damaged, what the directory says of it, with the error.
   * Throws FormatError (NTFS_STALE_REFERENCE) when it names nothing that is there.
   */
  async read(entry: DirectoryEntry, place: Place): Promise<NtfsEntry> {
    const { fileName, reference, key, position } = entry
    try {
      const opened = await this.open(reference)
      this.summarize(opened)
      return put(this.make(isShortName(fileName) ? this.#longName(entry) : shownName(fileName.name), opened), place)
    } catch (error) {
      if (!isDamage(error) || error.code === 'NTFS_STALE_REFERENCE') throw error
      this.summary.beginFromName(reference, key, position)
      return put(this.make(shownName(fileName.name), { error }), place)
    }
  }

  /**
   * What each of `entries` names, in their order; undefined for what only `read` can tell. Records that lie close
   * together are read together.
   */
  async readMany(entries: readonly DirectoryEntry[], place: Place): Promise<(NtfsEntry | undefined)[]> {
    const { summary } = this
    const wanted = new Map<number, number[]>()
    for (const [index, { reference }] of entries.entries()) {
      const indexes = wanted.get(reference.record)
      if (indexes === undefined) wanted.set(reference.record, [index])
      else indexes.push(index)
    }
    const found = entries.map((): NtfsEntry | undefined => undefined)
    const numbers = [...wanted.keys()].sort((a, b) => a - b)
    for await (const piece of this.mft.some(numbers)) {
      const records = recordBytes(piece.records)
      for (const at of recordsInUse(piece, this.mft.geometry.recordSize, () => {})) {
        const number = piece.first + at / this.mft.geometry.recordSize
        const indexes = wanted.get(number)
        if (indexes === undefined || !summary.begin(records, at, number)) continue
        summary.add(records, at)
        if (this.isToBeOpened) continue
        for (const index of indexes) {
          const { reference, fileName } = entries[index]!
          if (reference.sequence === 0 || reference.sequence === summary.sequence) {
            found[index] = put(this.make(shownName(fileName.name)), place)
          }
        }
      }
    }
    return found
  }

  /**
   * Whether the file summarized last is to be opened to tell all of it: more of it lies elsewhere, or it is damaged, and
   * then there may be a copy of its record, and its directory has something to say of it.
   */
  get isToBeOpened(): boolean {
    return this.summary.isPartial || this.summary.problem !== undefined
  }

  /** An entry of the file summarized last, by one of its names, as it is shown. Where it is, is for the caller to add. */
  make(name: string, opened?: Partial<OpenedFile>): NtfsEntry {
    const { summary, mft, leftOut } = this
    const entry = new NtfsEntry(
      name,
      summary,
      natureOf(summary, leftOut.get(summary.number), opened?.reparsePoint, mft),
    )
    if (opened?.error !== undefined) entry.error = opened.error
    return entry
  }

  /** Throws FormatError when it is not there, or one of its records is damaged. */
  async open(reference: FileReference): Promise<OpenedFile> {
    const file = await NtfsFile.open(this.mft, reference)
    const isOutside = file.find(AttributeType.reparsePoint).some(attribute => !attribute.resident)
    if (!isOutside && file.records.length === 1) return { file, reparsePoint: undefined, error: undefined }
    try {
      // Whether all extents are there is seen by putting them together.
      const error = file.reader(AttributeType.data)?.loss
      return { file, reparsePoint: isOutside ? await readReparsePoint(file) : undefined, error }
    } catch (error) {
      if (!isDamage(error)) throw error
      return { file, reparsePoint: undefined, error }
    }
  }

  summarize({ file }: OpenedFile): void {
    this.summary.begin(recordBytes(file.base.bytes), 0, file.base.number)
    for (const record of file.records) this.summary.add(recordBytes(record.bytes), 0)
  }

  /** The name that the file has beside the short one of `entry`. */
  #longName({ fileName }: DirectoryEntry): string {
    const { nameCount, names, parents } = this.summary
    const index = parents.indexOf(fileName.parent.record)
    return index < 0 || index >= nameCount ? shownName(fileName.name) : names[index]!
  }
}

function put(entry: NtfsEntry, { folder, isSystem }: Place): NtfsEntry {
  entry.folder = folder
  entry.isSystem = isSystem || entry.record < SystemRecord.firstUser
  return entry
}
