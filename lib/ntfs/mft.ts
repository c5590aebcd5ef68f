/** The Master File Table: every file record of the volume. spec-notes/ntfs.md, $MFT. */
import { KiB, MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError, isDamage, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { AttributeReader } from './attribute-reader.ts'
import type { Geometry } from './boot-sector.ts'
import { decodeFileRecord, type FileRecord } from './file-record.ts'
import type { FileReference } from './format.ts'
import { mirrorPosition, openMftContent, readRecordAt, reportMirrorUsed } from './mft-content.ts'
import { type MftPiece, markUnreadable } from './record-scan.ts'

/** Bytes of $MFT that a scan reads at once, and holds twice. */
const PIECE_SIZE = 512 * KiB
/** Bytes between records that are read with them, bytes that are read at once for it, and how often at the same time. */
const MAX_GAP = 32 * KiB
const MAX_SPAN = 256 * KiB
const SPANS_AT_ONCE = 8
/** Bytes of records that are kept decoded. */
const CACHE_SIZE = 2 * MiB
/** Copies in $MFTMirr: as many records as fill a cluster, and at least this many. */
const LEAST_MIRRORED = 4

/** The records of a volume. Open it with `Mft.open`. */
export class Mft {
  readonly volume: BlockDevice
  readonly geometry: Geometry
  /** Records that can be read, in use or not. */
  readonly recordCount: number
  /** Whether they are all that there are. */
  readonly complete: boolean
  readonly #content: AttributeReader
  readonly #findings: Finding[]
  readonly #cache = new Map<number, FileRecord>()

  private constructor(volume: BlockDevice, geometry: Geometry, content: AttributeReader, findings: Finding[]) {
    this.volume = volume
    this.geometry = geometry
    this.#content = content
    this.#findings = findings
    const found = content.runs!.end * geometry.clusterSize
    this.recordCount = Math.floor(Math.min(found, content.initializedSize) / geometry.recordSize)
    this.complete = found >= content.initializedSize
  }

  /**
   * Finds all of $MFT. What was wrong but did not stop it is added to `findings`, here and later.
   * Throws FormatError when neither $MFT's own record nor its copy in $MFTMirr is good.
   */
  static async open(volume: BlockDevice, geometry: Geometry, findings: Finding[]): Promise<Mft> {
    return new Mft(volume, geometry, await openMftContent(volume, geometry, findings), findings)
  }

  /**
   * The record that `reference` names, which must be in use; from $MFTMirr where it is damaged and has a copy there.
   * Throws FormatError: NTFS_STALE_REFERENCE for a record that is free, gone or another's now, and what decoding throws.
   */
  async record({ record: number, sequence }: FileReference): Promise<FileRecord> {
    const record = number < this.recordCount ? await this.#cached(number) : undefined
    if (record?.inUse && (sequence === 0 || sequence === record.sequence)) return record
    const found = record === undefined ? 'beyond the end of $MFT' : record.inUse ? 'of another file now' : 'free'
    throw new FormatError(
      'NTFS_STALE_REFERENCE',
      `file record ${number} with sequence ${sequence} was asked for, but it is ${found}`,
      { record: number, sequence },
    )
  }

  async #cached(number: number): Promise<FileRecord> {
    const record = this.#cache.get(number) ?? (await this.#load(number))
    // Taken out and put back it is the youngest. The oldest is what a Map gives first.
    this.#cache.delete(number)
    this.#cache.set(number, record)
    if (this.#cache.size * this.geometry.recordSize > CACHE_SIZE) this.#cache.delete(this.#cache.keys().next().value!)
    return record
  }

  async #load(number: number): Promise<FileRecord> {
    const offset = number * this.geometry.recordSize
    try {
      const bytes = Buffer.alloc(this.geometry.recordSize)
      await this.#content.read(offset, bytes)
      return decodeFileRecord(bytes, number, this.#content.positionOf(offset) ?? 0)
    } catch (error) {
      if (!isDamage(error) || !this.isMirrored(number)) throw error
      const position = mirrorPosition(this.geometry, number)
      const copy = await readRecordAt(this.volume, this.geometry, number, position).catch(() => {
        throw error
      })
      reportMirrorUsed(this.#findings, number, error)
      return copy
    }
  }

  /** Where record `number`, which must be below `recordCount`, lies on the volume. */
  positionOf(number: number): number {
    return this.#content.positionOf(number * this.geometry.recordSize) ?? 0
  }

  /** Whether $MFTMirr holds a copy of record `number`. */
  isMirrored(number: number): boolean {
    const { clusterSize, recordSize } = this.geometry
    return number < Math.max(LEAST_MIRRORED, clusterSize / recordSize)
  }

  /**
   * All records from first to last, piece by piece, the next piece being read while one is looked at. A record that the
   * medium does not give comes as one that is damaged. Throws the signal's reason when it is aborted.
   */
  async *pieces(signal?: AbortSignal): AsyncGenerator<MftPiece, void> {
    const { recordSize } = this.geometry
    const perPiece = Math.min(PIECE_SIZE / recordSize, this.recordCount)
    const buffers = [Buffer.alloc(perPiece * recordSize), Buffer.alloc(perPiece * recordSize)] as const
    let next = this.#readPiece(0, buffers[0])
    try {
      for (let first = 0, turn = 1; first < this.recordCount; first += perPiece, turn = 1 - turn) {
        signal?.throwIfAborted()
        const piece = await next
        if (piece instanceof Error) throw piece
        next = this.#readPiece(first + perPiece, buffers[turn]!)
        yield piece
      }
    } finally {
      await next
    }
  }

  /**
   * The records `numbers`, which rise, in pieces that may hold others as well: what lies close together is read at once.
   * Numbers beyond the end are passed over.
   */
  async *some(numbers: readonly number[], signal?: AbortSignal): AsyncGenerator<MftPiece, void> {
    const { recordSize } = this.geometry
    const there = numbers.filter(number => number < this.recordCount)
    const spans = spansOf(there, MAX_GAP / recordSize, MAX_SPAN / recordSize)
    for (let i = 0; i < spans.length; i += SPANS_AT_ONCE) {
      signal?.throwIfAborted()
      const pieces = await Promise.all(
        spans
          .slice(i, i + SPANS_AT_ONCE)
          .map(({ first, count }) => this.#readPiece(first, Buffer.alloc(count * recordSize))),
      )
      for (const piece of pieces) {
        if (piece instanceof Error) throw piece
        yield piece
      }
    }
  }

  /** Gives an error instead of throwing it, since nobody waits for it until the piece before is done. */
  async #readPiece(first: number, buffer: Buffer): Promise<MftPiece | Error> {
    const { recordSize } = this.geometry
    const count = Math.max(0, Math.min(buffer.length / recordSize, this.recordCount - first))
    const records = buffer.subarray(0, count * recordSize)
    try {
      await this.#readRecords(first * recordSize, records)
      return { first, records }
    } catch (error) {
      return error as Error
    }
  }

  /** Halves what cannot be read at once, down to the record. */
  async #readRecords(offset: number, records: Buffer): Promise<void> {
    try {
      await this.#content.read(offset, records)
    } catch (error) {
      if (!(error instanceof StorageError && isDamage(error))) throw error
      const { recordSize } = this.geometry
      const count = records.length / recordSize
      if (count <= 1) return markUnreadable(records)
      const half = Math.floor(count / 2) * recordSize
      await this.#readRecords(offset, records.subarray(0, half))
      await this.#readRecords(offset + half, records.subarray(half))
    }
  }
}

/** `numbers`, which rise, put together where at most `maxGap` are between two of them, up to `maxCount` in all. */
function spansOf(numbers: readonly number[], maxGap: number, maxCount: number): { first: number; count: number }[] {
  const spans: { first: number; count: number }[] = []
  for (const number of numbers) {
    const last = spans.at(-1)
    const count = last === undefined ? 0 : number + 1 - last.first
    if (last !== undefined && count - last.count <= maxGap + 1 && count <= maxCount) last.count = count
    else spans.push({ first: number, count: 1 })
  }
  return spans
}
