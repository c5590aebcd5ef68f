/** What a list shows of the streams of a file, gathered from its records where they lie. spec-notes/ntfs.md, File summary. */
import type { NamedStream } from '../volume/entry.ts'
import type { Geometry } from './boot-sector.ts'
import { AttributeFlag } from './format.ts'
import { attributeName, type RecordBytes, signed64 } from './record-bytes.ts'
import { HOLE, RunCursor } from './run-list.ts'
import { WOF_STREAM } from './wof-reader.ts'

const NO_STREAMS: readonly NamedStream[] = []
const SECOND_CONTENT = 'a second content'

/** One file after the other: `begin`, then `add…` each $DATA attribute. What no name is given for is the unnamed stream's. */
export class StreamSummary {
  /** Bytes. */
  size = 0
  /** Bytes of the clusters of all streams. */
  allocatedSize = 0
  /** Attribute flags. */
  flags = 0
  named: readonly NamedStream[] = NO_STREAMS
  readonly #clusterSize: number
  readonly #cursor: RunCursor
  #hasContent = false
  #initializedSize = 0
  #firstLcn = HOLE
  #firstLcnOfWof = HOLE
  /** Below 0 where it is not non-resident. */
  #clusters = -1
  /** The first VCN without a cluster. */
  #firstHole = Number.POSITIVE_INFINITY
  /** Whether it is one run of clusters, written to its end. */
  #isOneRun = false

  constructor({ clusterSize, clusterCount }: Geometry) {
    this.#clusterSize = clusterSize
    this.#cursor = new RunCursor(clusterCount)
  }

  begin(): void {
    this.size = 0
    this.allocatedSize = 0
    this.flags = 0
    this.named = NO_STREAMS
    this.#hasContent = false
    this.#firstLcn = HOLE
    this.#firstLcnOfWof = HOLE
    this.#clusters = -1
    this.#firstHole = Number.POSITIVE_INFINITY
    this.#isOneRun = false
  }

  /** Byte of the volume where the content begins, of a WOF file that of the stream it is packed in; undefined without clusters. */
  positionOf(isWof: boolean): number | undefined {
    const lcn = this.#firstLcn === HOLE && isWof ? this.#firstLcnOfWof : this.#firstLcn
    return lcn === HOLE ? undefined : lcn * this.#clusterSize
  }

  /** Whether it is nothing but the bytes from its position on. */
  get isContiguous(): boolean {
    return this.#isOneRun && this.flags === 0
  }

  /** Whether it is neither in the record nor in any cluster. */
  get isHole(): boolean {
    return this.#clusters === 0
  }

  /** Whether some of what was written of it is in no cluster, and compression does not account for that. */
  get hasHole(): boolean {
    const written = Math.min(this.size, this.#initializedSize)
    return this.#firstHole * this.#clusterSize < written && (this.flags & AttributeFlag.compressionMask) === 0
  }

  /** A stream of `size` bytes in the record. Returns what is wrong with it. */
  addResident(records: RecordBytes, attribute: number, size: number): string | undefined {
    const name = attributeName(records, attribute)
    return name === '' ? this.#setSize(size) : this.#addNamed(name, size)
  }

  /** An extent, which ends before byte `end`: the sizes are those of the first, clusters have all of them. Returns what is wrong with it. */
  addExtent(records: RecordBytes, attribute: number, end: number): string | undefined {
    const { bytes, view } = records
    const name = attributeName(records, attribute)
    const lowestVcn = signed64(view, attribute + 0x10)
    const problem = lowestVcn === 0 ? this.#addFirst(view, attribute, name) : undefined
    const cursor = this.#cursor
    let firstLcn = HOLE
    let clusters = 0
    let runs = 0
    cursor.begin(bytes, attribute + view.getUint16(attribute + 0x20, true), end, lowestVcn)
    while (cursor.next()) {
      runs++
      if (cursor.lcn === HOLE) {
        if (name === '') this.#firstHole = Math.min(this.#firstHole, cursor.end - cursor.length)
        continue
      }
      if (clusters === 0) firstLcn = cursor.lcn
      clusters += cursor.length
    }
    this.allocatedSize += clusters * this.#clusterSize
    if (name === '') {
      this.#clusters = Math.max(0, this.#clusters) + clusters
      this.#isOneRun =
        lowestVcn === 0 && runs === 1 && clusters === cursor.end && this.#isWritten(clusters * this.#clusterSize)
    }
    if (lowestVcn === 0 && name === '') this.#firstLcn = firstLcn
    else if (lowestVcn === 0 && name === WOF_STREAM) this.#firstLcnOfWof = firstLcn
    if (cursor.problem !== undefined) return cursor.problem
    return cursor.end === signed64(view, attribute + 0x18) + 1 ? problem : 'a runlist of the wrong length'
  }

  #addFirst(view: DataView, attribute: number, name: string): string | undefined {
    const size = signed64(view, attribute + 0x30)
    if (name !== '') return this.#addNamed(name, size)
    this.flags = view.getUint16(attribute + 0xc, true)
    this.#initializedSize = signed64(view, attribute + 0x38)
    return this.#setSize(size)
  }

  #addNamed(name: string, size: number): undefined {
    if (this.named === NO_STREAMS) this.named = [{ name, size }]
    else (this.named as NamedStream[]).push({ name, size })
  }

  #setSize(size: number): string | undefined {
    const isSecond = this.#hasContent
    this.#hasContent = true
    this.size = size
    return isSecond ? SECOND_CONTENT : undefined
  }

  /** Whether nothing of it reads as zeros that has `length` bytes of clusters. */
  #isWritten(length: number): boolean {
    return this.size <= this.#initializedSize && this.size <= length
  }
}
