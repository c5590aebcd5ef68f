/** Which clusters the files of a volume own, by the runlists of every record in use. spec-notes/ntfs.md, Used space. */
import type { Attribute } from './attribute.ts'
import type { ClusterBitmap } from './cluster-bitmap.ts'
import { AttributeType } from './format.ts'
import type { Mft } from './mft.ts'
import { recordsInUse } from './record-scan.ts'
import { HOLE, RunCursor } from './run-list.ts'

/** What is told of clusters and records that are not as they should be. */
export interface OwnershipProblems {
  /** A record in use cannot be read, or an attribute of it. What could be read of it was taken. */
  damaged(record: number, problem: string): void
  /** `record` owns `cluster`, which $Bitmap has as free. Told once for each run. */
  free(record: number, cluster: number): void
  /** Of the clusters `from` to `to`, which `record` owns, some are owned a second time. */
  shared(record: number, from: number, to: number): void
}

/** Gathers the clusters that records own within one window of the volume. */
export class OwnedClusters {
  readonly #owned: ClusterBitmap
  readonly #used: ClusterBitmap
  readonly #mft: Mft
  readonly #problems: OwnershipProblems
  readonly #cursor: RunCursor

  /** Fills `owned`; `used` is what $Bitmap says. Both are at the same window. */
  constructor(mft: Mft, owned: ClusterBitmap, used: ClusterBitmap, problems: OwnershipProblems) {
    this.#mft = mft
    this.#owned = owned
    this.#used = used
    this.#problems = problems
    this.#cursor = new RunCursor(mft.geometry.clusterCount)
  }

  /** Reads all of $MFT once. */
  async scan(signal?: AbortSignal): Promise<void> {
    const { recordSize } = this.#mft.geometry
    const mirrored: number[] = []
    const onDamage = (record: number, problem: string) => {
      if (this.#mft.isMirrored(record)) mirrored.push(record)
      else this.#problems.damaged(record, problem)
    }
    for await (const piece of this.#mft.pieces(signal)) {
      for (const at of recordsInUse(piece, recordSize, onDamage)) {
        this.#addRecord(piece.records, at, piece.first + at / recordSize)
      }
    }
    for (const number of mirrored) await this.#addMirrored(number)
  }

  /** Adds every run of the record at `at`. Millions of records pass here, so it reads the bytes where they are. */
  #addRecord(records: Buffer, at: number, number: number): void {
    const end = at + Math.min(records.readUInt32LE(at + 0x18), this.#mft.geometry.recordSize)
    for (let attribute = at + records.readUInt16LE(at + 0x14); attribute + 16 <= end; ) {
      if (records.readUInt32LE(attribute) === AttributeType.end) return
      const length = records.readUInt32LE(attribute + 4)
      const nonResident = records[attribute + 8] !== 0
      if (length % 8 !== 0 || length < (nonResident ? 64 : 24) || attribute + length > end) {
        this.#problems.damaged(number, `an attribute of ${length} bytes at byte ${attribute - at}`)
        return
      }
      if (nonResident) this.#addExtent(records, attribute, length, number)
      attribute += length
    }
  }

  #addExtent(records: Buffer, at: number, length: number, number: number): void {
    const pairs = at + records.readUInt16LE(at + 0x20)
    this.#addRuns(records, pairs, at + length, signed64(records, at + 0x10), signed64(records, at + 0x18), number)
  }

  async #addMirrored(number: number): Promise<void> {
    let attributes: readonly Attribute[]
    try {
      attributes = (await this.#mft.record({ record: number, sequence: 0 })).attributes
    } catch (error) {
      this.#problems.damaged(number, (error as Error).message)
      return
    }
    for (const attribute of attributes) {
      if (attribute.resident) continue
      const { mappingPairs, lowestVcn, highestVcn } = attribute
      this.#addRuns(mappingPairs, 0, mappingPairs.length, lowestVcn, highestVcn, number)
    }
  }

  #addRuns(pairs: Buffer, at: number, end: number, lowestVcn: number, highestVcn: number, number: number): void {
    const cursor = this.#cursor
    cursor.begin(pairs, at, end, lowestVcn)
    while (cursor.next()) if (cursor.lcn !== HOLE) this.#own(cursor.lcn, cursor.lcn + cursor.length, number)
    if (cursor.problem !== undefined) this.#problems.damaged(number, cursor.problem)
    else if (cursor.end !== highestVcn + 1) {
      this.#problems.damaged(number, `a runlist that ends with VCN ${cursor.end - 1} instead of ${highestVcn}`)
    }
  }

  #own(from: number, to: number, record: number): void {
    const [owned, used] = [this.#owned, this.#used]
    const start = Math.max(from, owned.first)
    const end = Math.min(to, owned.end)
    if (start >= end) return
    const free = used.nextFree(start, end)
    if (free < end) this.#problems.free(record, free)
    if (owned.nextUsed(start, end) < end) this.#problems.shared(record, start, end)
    owned.set(start, end)
  }
}

/** A signed 64-bit number; rounded above 2^53, and then never a VCN that runs add up to. */
const signed64 = (bytes: Buffer, at: number) => bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)
