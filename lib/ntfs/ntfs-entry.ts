/** A name in an NTFS directory. spec-notes/ntfs.md, File summary. */
import type { DiskImageError } from '../errors.ts'
import { type Entry, type EntryKind, FileAttribute, type FileTime, type NamedStream } from '../volume/entry.ts'
import type { FileSummary } from './file-summary.ts'
import type { FileReference } from './format.ts'
import type { Nature } from './nature.ts'

/** FILE_ATTRIBUTE bits have no meaning from here up: $FILE_NAME has flags of its own there. */
const ATTRIBUTES_END = 0x1000_0000

/** Times stay as they are on the volume until somebody asks for one: that is half the time of a listing. */
export class NtfsEntry implements Entry {
  readonly name: string
  readonly kind: EntryKind
  readonly size: number
  readonly allocatedSize: number
  readonly attributes: number
  readonly record: number
  /** Of its record. */
  readonly sequence: number
  readonly links: number
  readonly streams: readonly NamedStream[]
  readonly target: string | undefined
  readonly position: number | undefined
  /** Whether the content is nothing but the bytes from `position` on: it can be read without its record. */
  readonly isContiguous: boolean
  /** Path of the directory it is in; '' for the root. Whoever makes an entry sets this and the next two before it gives it out. */
  folder = ''
  isSystem = false
  error: DiskImageError | undefined
  readonly #times: BigUint64Array
  readonly #timesAt: number

  constructor(name: string, summary: FileSummary, { kind, target, error }: Nature) {
    const { isDirectory, attributes } = summary
    this.name = name
    this.kind = kind
    this.size = kind === 'file' ? summary.streams.size : 0
    this.allocatedSize = summary.streams.allocatedSize
    this.attributes = (attributes % ATTRIBUTES_END) | (isDirectory ? FileAttribute.directory : 0)
    this.record = summary.number
    this.sequence = summary.sequence
    this.links = summary.nameCount
    this.streams = summary.shownStreams
    this.target = target
    this.position = summary.position
    this.isContiguous = summary.isContiguous
    this.error = error
    this.#times = summary.times
    this.#timesAt = summary.timesAt
  }

  get path(): string {
    return `${this.folder}/${this.name}`
  }

  get reference(): FileReference {
    return { record: this.record, sequence: this.sequence }
  }

  get created(): FileTime | undefined {
    return this.#time(0)
  }

  get modified(): FileTime | undefined {
    return this.#time(1)
  }

  get changed(): FileTime | undefined {
    return this.#time(2)
  }

  get accessed(): FileTime | undefined {
    return this.#time(3)
  }

  #time(index: number): FileTime | undefined {
    return this.#times[this.#timesAt + index] || undefined
  }
}

/** Whether it has an index: links to directories have one too, which is empty. */
export const isDirectory = ({ attributes }: NtfsEntry) => (attributes & FileAttribute.directory) !== 0
