/** What a directory lists, with what the record of each file says. spec-notes/ntfs.md, File summary. */
import type { DiskImageError } from '../errors.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { isDamage } from './damage.ts'
import type { DirectoryEntry } from './directory-index.ts'
import { isShortName } from './file-name.ts'
import { FileSummary, recordBytes } from './file-summary.ts'
import { AttributeType, type FileReference, SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { natureOf } from './nature.ts'
import { NtfsEntry } from './ntfs-entry.ts'
import { NtfsFile } from './ntfs-file.ts'
import { recordsInUse } from './record-scan.ts'
import { type ReparsePoint, readReparsePoint } from './reparse-point.ts'

/** Where an entry is. */
export interface Place {
  /** Path of the directory; '' for the root. */
  readonly folder: string
  readonly isSystem: boolean
}

export const placeIn = (directory: NtfsEntry): Place =>
  directory.record === SystemRecord.root
    ? { folder: '', isSystem: false }
    : { folder: directory.path, isSystem: directory.isSystem }

/** What there is to say of a file after its summary. */
interface Addition {
  readonly reparsePoint?: ReparsePoint | undefined
  readonly error?: DiskImageError | undefined
}

export class EntryReader {
  readonly mft: Mft
  /** Of the file looked at last; for as long as nobody waits for anything. */
  readonly summary: FileSummary
  readonly #leftOut: ReadonlyMap<number | string, LeftOut>

  constructor(mft: Mft, leftOut: readonly LeftOut[]) {
    this.mft = mft
    this.summary = new FileSummary(mft.geometry)
    this.#leftOut = new Map(leftOut.map(file => [file.record ?? file.path.replaceAll('\\', '/'), file]))
  }

  /** What was left out of the content of a file when it was captured. */
  leftOut(record: number, path: string): LeftOut | undefined {
    return this.#leftOut.get(record) ?? this.#leftOut.get(path)
  }

  /** The root directory. Throws FormatError when its record is damaged. */
  async root(): Promise<NtfsEntry> {
    const addition = await this.#summarize({ record: SystemRecord.root, sequence: 0 })
    const root = this.make('', { folder: '', isSystem: false }, addition)
    root.isSystem = false
    return root
  }

  /**
   * What `entry` of a directory names. Where its record is damaged, what the directory says of it, with the error.
   * Throws FormatError (NTFS_STALE_REFERENCE) when it names nothing that is there.
   */
  async read(entry: DirectoryEntry, place: Place): Promise<NtfsEntry> {
    const { fileName, reference, key, position } = entry
    try {
      const addition = await this.#summarize(reference)
      return this.make(isShortName(fileName) ? this.#longName(entry) : fileName.name, place, addition)
    } catch (error) {
      if (!isDamage(error) || error.code === 'NTFS_STALE_REFERENCE') throw error
      this.summary.beginFromName(reference, key, position)
      return this.make(fileName.name, place, { error })
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
        if (summary.isPartial) continue
        for (const index of indexes) {
          const { reference, fileName } = entries[index]!
          if (reference.sequence === 0 || reference.sequence === summary.sequence) {
            found[index] = this.make(fileName.name, place)
          }
        }
      }
    }
    return found
  }

  /** The entry of the file summarized last, by one of its names. */
  make(name: string, { folder, isSystem }: Place, { reparsePoint, error }: Addition = {}): NtfsEntry {
    const { summary } = this
    const leftOut = this.leftOut(summary.number, `${folder}/${name}`)
    const nature = natureOf(summary, leftOut, reparsePoint, () => this.mft.positionOf(summary.number))
    const entry = new NtfsEntry(name, summary, nature)
    entry.error = error ?? nature.error
    entry.folder = folder
    entry.isSystem = isSystem || summary.number < SystemRecord.firstUser
    return entry
  }

  /** Summarizes a file of any number of records. Throws FormatError when one of them is damaged. */
  async #summarize(reference: FileReference): Promise<Addition> {
    const file = await NtfsFile.open(this.mft, reference)
    const addition = await lookFurther(file)
    this.summary.begin(recordBytes(file.base.bytes), 0, file.base.number)
    for (const record of file.records) this.summary.add(recordBytes(record.bytes), 0)
    return addition
  }

  /** The name that the file has beside the short one of `entry`. */
  #longName({ fileName }: DirectoryEntry): string {
    const { names, parents } = this.summary
    const index = parents.indexOf(fileName.parent.record)
    return index < 0 ? fileName.name : names[index]!
  }
}

/** What a summary does not see: a reparse point outside of the record, and whether the extents are all there. */
async function lookFurther(file: NtfsFile): Promise<Addition> {
  const isOutside = file.find(AttributeType.reparsePoint).some(attribute => !attribute.resident)
  if (!isOutside && file.records.length === 1) return {}
  try {
    file.reader(AttributeType.data)
    return { reparsePoint: isOutside ? await readReparsePoint(file) : undefined }
  } catch (error) {
    if (!isDamage(error)) throw error
    return { error }
  }
}
