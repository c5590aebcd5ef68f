/** Every run of clusters that a record in use owns. spec-notes/ntfs.md, Used space. */
import type { Attribute } from './attribute.ts'
import { AttributeType } from './format.ts'
import type { Mft } from './mft.ts'
import { recordsInUse } from './record-scan.ts'
import { HOLE, RunCursor } from './run-list.ts'

/** Told of `length` clusters from `lcn`, all in the volume, that `record` owns. */
export type OnRun = (lcn: number, length: number, record: number) => void

/** Numbers that are kept of a run, and how many runs are kept in one piece of memory, and at most. */
const FIELDS = 3
const CHUNK_RUNS = 2 ** 16
const MAX_KEPT_RUNS = 2 ** 20

/**
 * Goes over all runs as often as it is asked to. A volume of several windows asks as often as it has windows: up to a
 * million runs are kept for that, in 12 MiB, and $MFT is read once; with more it is read each time.
 */
export class OwnedRuns {
  readonly #mft: Mft
  readonly #onDamage: (record: number, problem: string) => void
  readonly #cursor: RunCursor
  #kept: KeptRuns | undefined
  #wasRead = false

  /**
   * `onDamage` is told once of each record in use that cannot be read, whole or in part; what can be read of it counts.
   * `keep`: whether it will be asked more than once.
   */
  constructor(mft: Mft, keep: boolean, onDamage: (record: number, problem: string) => void) {
    this.#mft = mft
    this.#onDamage = onDamage
    this.#cursor = new RunCursor(mft.geometry.clusterCount)
    this.#kept = keep ? new KeptRuns() : undefined
  }

  /** Tells `onRun` of every run. Throws the signal's reason when it is aborted. */
  async forEach(onRun: OnRun, signal?: AbortSignal): Promise<void> {
    if (this.#wasRead && this.#kept !== undefined) return this.#kept.forEach(onRun)
    await this.#scan((lcn, length, record) => {
      if (this.#kept?.add(lcn, length, record) === false) this.#kept = undefined
      onRun(lcn, length, record)
    }, signal)
    this.#wasRead = true
  }

  async #scan(onRun: OnRun, signal?: AbortSignal): Promise<void> {
    const { recordSize } = this.#mft.geometry
    const mirrored: number[] = []
    const onDamage = (record: number, problem: string) => {
      if (this.#mft.isMirrored(record)) mirrored.push(record)
      else this.#damaged(record, problem)
    }
    for await (const { first, records } of this.#mft.pieces(signal)) {
      for (const at of recordsInUse({ first, records }, recordSize, onDamage)) {
        this.#scanRecord(records, at, first + at / recordSize, onRun)
      }
    }
    for (const number of mirrored) await this.#scanMirrored(number, onRun)
  }

  /** Tells of every run of the record at `at`. Millions of records pass here, so it reads the bytes where they are. */
  #scanRecord(records: Buffer, at: number, number: number, onRun: OnRun): void {
    const end = at + Math.min(records.readUInt32LE(at + 0x18), this.#mft.geometry.recordSize)
    for (let attribute = at + records.readUInt16LE(at + 0x14); attribute + 16 <= end; ) {
      if (records.readUInt32LE(attribute) === AttributeType.end) return
      const length = records.readUInt32LE(attribute + 4)
      const nonResident = records[attribute + 8] !== 0
      if (length % 8 !== 0 || length < (nonResident ? 64 : 24) || attribute + length > end) {
        this.#damaged(number, `an attribute of ${length} bytes at byte ${attribute - at}`)
        return
      }
      if (nonResident) {
        const [lowest, highest] = [signed64(records, attribute + 0x10), signed64(records, attribute + 0x18)]
        const pairs = attribute + records.readUInt16LE(attribute + 0x20)
        this.#scanRuns(records, pairs, attribute + length, lowest, highest, number, onRun)
      }
      attribute += length
    }
  }

  async #scanMirrored(number: number, onRun: OnRun): Promise<void> {
    let attributes: readonly Attribute[] = []
    try {
      attributes = (await this.#mft.record({ record: number, sequence: 0 })).attributes
    } catch (error) {
      this.#damaged(number, (error as Error).message)
    }
    for (const attribute of attributes) {
      if (attribute.resident) continue
      const { mappingPairs, lowestVcn, highestVcn } = attribute
      this.#scanRuns(mappingPairs, 0, mappingPairs.length, lowestVcn, highestVcn, number, onRun)
    }
  }

  #scanRuns(
    pairs: Buffer,
    at: number,
    end: number,
    lowestVcn: number,
    highestVcn: number,
    number: number,
    onRun: OnRun,
  ): void {
    const cursor = this.#cursor
    cursor.begin(pairs, at, end, lowestVcn)
    while (cursor.next()) if (cursor.lcn !== HOLE) onRun(cursor.lcn, cursor.length, number)
    if (cursor.problem !== undefined) this.#damaged(number, cursor.problem)
    else if (cursor.end !== highestVcn + 1) {
      this.#damaged(number, `a runlist that ends with VCN ${cursor.end - 1} instead of ${highestVcn}`)
    }
  }

  #damaged(record: number, problem: string): void {
    if (!this.#wasRead) this.#onDamage(record, problem)
  }
}

/** Runs in memory, three numbers of 32 bits each. */
class KeptRuns {
  readonly #chunks: Uint32Array[] = []
  #count = 0

  /** False when there is no more room. */
  add(lcn: number, length: number, record: number): boolean {
    if (this.#count === MAX_KEPT_RUNS) return false
    const place = (this.#count % CHUNK_RUNS) * FIELDS
    if (place === 0) this.#chunks.push(new Uint32Array(CHUNK_RUNS * FIELDS))
    const chunk = this.#chunks.at(-1)!
    chunk[place] = lcn
    chunk[place + 1] = length
    chunk[place + 2] = record
    this.#count++
    return true
  }

  forEach(onRun: OnRun): void {
    for (const [i, chunk] of this.#chunks.entries()) {
      const end = Math.min(CHUNK_RUNS, this.#count - i * CHUNK_RUNS) * FIELDS
      for (let at = 0; at < end; at += FIELDS) onRun(chunk[at]!, chunk[at + 1]!, chunk[at + 2]!)
    }
  }
}

/** A signed 64-bit number; rounded above 2^53, and then never a VCN that runs add up to. */
const signed64 = (bytes: Buffer, at: number) => bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)
