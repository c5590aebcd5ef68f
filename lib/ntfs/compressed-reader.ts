/** Content that NTFS compressed, unit by unit. spec-notes/ntfs.md, Compressed content. */
import { MiB } from '../binary/size.ts'
import { decodeLznt1 } from '../codec/lznt1.ts'
import { BlockDevice } from '../device/block-device.ts'
import { mergeTouching, type Range } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { type FormatError, formatError, ReadOnlyError } from '../errors.ts'
import type { AttributeExtent } from './attribute.ts'
import { lossOf, runsOf } from './attribute-reader.ts'
import type { Geometry } from './boot-sector.ts'
import { nonResidentHeader } from './format.ts'
import { HOLE, type Run, type RunList } from './run-list.ts'

/** Units that are read at once. */
const CONCURRENCY = 8
/** Windows compresses at most 64 KiB together. More than this and a few units at once would take too much memory. */
const MAX_UNIT_SIZE = MiB

/**
 * The content of a non-resident attribute that is compressed by LZNT1. It keeps nothing: a part of a unit costs decoding all of
 * what comes before it in the unit, so put a cache over it.
 */
export class CompressedReader extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  /** Bytes of content that are compressed together. */
  readonly unitSize: number
  readonly #volume: BlockDevice
  readonly #clusterSize: number
  readonly #unitClusters: number
  readonly #initializedSize: number
  readonly #runs: RunList
  /** Set when extents at the end are lost. */
  readonly #loss: FormatError | undefined

  /** `extents`: all of the attribute, that with VCN 0 first. Throws FormatError: NTFS_RUN_LIST, NTFS_COMPRESSION_UNIT. */
  constructor(volume: BlockDevice, geometry: Geometry, extents: readonly [AttributeExtent, ...AttributeExtent[]]) {
    super()
    const { dataSize, initializedSize, compressionUnit, position } = extents[0]
    this.#volume = volume
    this.#clusterSize = geometry.clusterSize
    this.#unitClusters = 2 ** compressionUnit
    this.size = dataSize
    this.unitSize = this.#unitClusters * geometry.clusterSize
    if (this.unitSize > MAX_UNIT_SIZE) {
      throw formatError('NTFS_COMPRESSION_UNIT', {
        structure: nonResidentHeader.name,
        field: 'compressionUnit',
        position,
        expected: `units of at most ${MAX_UNIT_SIZE} bytes`,
        actual: `units of 2^${compressionUnit} clusters`,
      })
    }
    this.#initializedSize = Math.min(dataSize, initializedSize)
    this.#runs = runsOf(extents, geometry)
    this.#loss = lossOf(extents[0], this.#runs, geometry.clusterSize)
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    const end = offset + target.length
    const first = Math.floor(offset / this.unitSize)
    const last = Math.floor((end - 1) / this.unitSize)
    for (let unit = first; unit <= last; unit += CONCURRENCY) {
      const count = Math.min(CONCURRENCY, last + 1 - unit)
      await settle(Array.from({ length: count }, (_, i) => this.#readPart(unit + i, offset, target)))
    }
    if (end > this.#initializedSize) target.fill(0, Math.max(0, this.#initializedSize - offset))
  }

  /** Reads what `target`, which begins at byte `offset` of the content, wants of a unit. */
  async #readPart(unit: number, offset: number, target: Buffer): Promise<void> {
    const start = unit * this.unitSize
    if (start >= this.#initializedSize) return
    const end = Math.min(start + this.unitSize, offset + target.length)
    if (start >= offset) {
      await this.#readUnit(unit, target.subarray(start - offset, end - offset))
    } else {
      const bytes = Buffer.alloc(end - start)
      await this.#readUnit(unit, bytes)
      bytes.copy(target, 0, offset - start)
    }
  }

  /** Fills `target` from the start of the unit on: fewer clusters than the unit has content are compressed, all are not. */
  async #readUnit(unit: number, target: Buffer): Promise<void> {
    if (this.#loss !== undefined && (unit + 1) * this.#unitClusters > this.#runs.end) throw this.#loss
    const runs = this.#runsOf(unit)
    const [first] = runs
    if (first === undefined) {
      target.fill(0)
      return
    }
    const clusters = runs.reduce((sum, { length }) => sum + length, 0)
    if (clusters === this.#unitClusters) return this.#readRuns(runs, target)
    const stored = Buffer.allocUnsafe(clusters * this.#clusterSize)
    await this.#readRuns(runs, stored)
    decodeLznt1(stored, target, first.lcn * this.#clusterSize)
  }

  /** The clusters of a unit, in order. They may be in several runs, and the runs end in it. */
  #runsOf(unit: number): Run[] {
    const end = Math.min((unit + 1) * this.#unitClusters, this.#runs.end)
    const runs: Run[] = []
    for (let vcn = unit * this.#unitClusters; vcn < end; ) {
      const { lcn, length } = this.#runs.find(vcn)
      const clusters = Math.min(length, end - vcn)
      if (lcn !== HOLE) runs.push({ lcn, length: clusters })
      vcn += clusters
    }
    return runs
  }

  async #readRuns(runs: readonly Run[], target: Buffer): Promise<void> {
    const reads: Promise<void>[] = []
    let at = 0
    for (const { lcn, length } of runs) {
      const piece = target.subarray(at, at + length * this.#clusterSize)
      if (piece.length > 0) reads.push(this.#volume.read(lcn * this.#clusterSize, piece))
      at += piece.length
    }
    await settle(reads)
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return mergeTouching(this.#dataRanges(within))
  }

  /** Units that have clusters. Whole holes are passed over at once. */
  async *#dataRanges({ offset, length }: Range): AsyncIterable<Range> {
    const written = Math.min(offset + length, this.#initializedSize)
    const end = Math.min(written, this.#runs.end * this.#clusterSize)
    for (let at = offset; at < end; ) {
      const unit = Math.floor(at / this.unitSize)
      let next = (unit + 1) * this.unitSize
      if (this.#runsOf(unit).length > 0) yield { offset: at, length: Math.min(next, end) - at }
      else {
        const vcn = unit * this.#unitClusters
        const hole = this.#runs.find(vcn)
        next = Math.floor((vcn + hole.length) / this.#unitClusters) * this.unitSize
        next = Math.max(next, (unit + 1) * this.unitSize)
      }
      at = next
    }
    // Whoever passes over what is no data is not to pass over what is lost.
    const found = Math.max(offset, end)
    if (this.#loss !== undefined && written > found) yield { offset: found, length: written - found }
  }

  protected override async writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'files in an NTFS volume are read only')
  }

  override async close(): Promise<void> {}
}
