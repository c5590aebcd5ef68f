/** The content of an attribute, resident or in any number of extents, as a device. spec-notes/ntfs.md, Sizes. */
import { BlockDevice } from '../device/block-device.ts'
import { mergeTouching, type Range } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { type FormatError, formatError, hex, ReadOnlyError, UnsupportedError } from '../errors.ts'
import { type Attribute, type AttributeExtent, appendExtent, isCompressed, isEncrypted } from './attribute.ts'
import type { Geometry } from './boot-sector.ts'
import { HOLE, RunList } from './run-list.ts'

/** Requests to the volume at once, where one read goes over many runs. */
const CONCURRENCY = 8

/** A piece of content that lies in one run. */
interface Piece {
  /** Byte of the content. */
  readonly offset: number
  readonly length: number
  /** Byte of the volume; undefined in a hole. */
  readonly position: number | undefined
}

/** The runs of an attribute, over all of its `extents`. Throws FormatError (NTFS_RUN_LIST) unless they are whole. */
export function runsOf(extents: readonly AttributeExtent[], geometry: Geometry): RunList {
  const runs = new RunList()
  const inOrder = [...extents].sort((a, b) => a.lowestVcn - b.lowestVcn)
  for (const extent of inOrder) appendExtent(runs, extent, geometry.clusterCount)
  return runs
}

/**
 * What is wrong when the clusters of `runs` end before what was written does: extents at the end are lost, for which zeros
 * must not stand. Undefined when they do not. `first`: the extent with the sizes.
 */
export function lossOf(first: AttributeExtent, runs: RunList, clusterSize: number): FormatError | undefined {
  const { type, position, allocatedSize, dataSize, initializedSize } = first
  const found = runs.end * clusterSize
  if (found >= Math.min(allocatedSize, dataSize, initializedSize)) return undefined
  return formatError('NTFS_RUN_LIST', {
    structure: `runlist of NTFS attribute ${hex(type)}`,
    position,
    expected: `clusters for ${allocatedSize} bytes`,
    actual: `those of the first ${found}: the record with the rest is not there`,
  })
}

/**
 * Reads what programs see of an attribute: zeros in holes and from the initialized size on, whatever lies there on the
 * volume. Compressed and encrypted content is refused with UnsupportedError, what lies in extents that are lost with FormatError.
 */
export class AttributeReader extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  /** Bytes that were ever written; the rest reads as zeros. */
  readonly initializedSize: number
  /** Undefined for a resident attribute. */
  readonly runs: RunList | undefined
  readonly #volume: BlockDevice
  readonly #clusterSize: number
  readonly #first: Attribute

  /** `attributes`: the one resident attribute, or all extents. Throws FormatError (NTFS_RUN_LIST). */
  constructor(volume: BlockDevice, geometry: Geometry, attributes: readonly [Attribute, ...Attribute[]]) {
    super()
    const extents = attributes.filter(attribute => !attribute.resident).sort((a, b) => a.lowestVcn - b.lowestVcn)
    this.#volume = volume
    this.#clusterSize = geometry.clusterSize
    this.#first = extents[0] ?? attributes[0]
    const { dataSize, initializedSize } = sizesOf(this.#first)
    this.size = dataSize
    this.initializedSize = Math.min(dataSize, initializedSize)
    this.runs = extents.length === 0 ? undefined : runsOf(extents, geometry)
  }

  /** Where the attribute itself lies on the volume, for error messages. */
  get attributePosition(): number {
    return this.#first.position
  }

  /** What is wrong when extents at its end are lost: then only what is before them can be read. */
  get loss(): FormatError | undefined {
    return this.runs && !this.#first.resident ? lossOf(this.#first, this.runs, this.#clusterSize) : undefined
  }

  /** Whether some of what was written lies in no cluster. */
  get hasHole(): boolean {
    for (const { position } of this.#pieces(0, this.initializedSize)) if (position === undefined) return true
    return false
  }

  /** Where byte `offset` of the content lies on the volume; undefined in a hole and in resident content. */
  positionOf(offset: number): number | undefined {
    const [piece] = this.#pieces(offset, 1)
    return piece?.position
  }

  *#pieces(offset: number, length: number): Iterable<Piece> {
    const { runs } = this
    if (runs === undefined) return
    const end = Math.min(offset + length, runs.end * this.#clusterSize)
    for (let at = offset; at < end; ) {
      const vcn = Math.floor(at / this.#clusterSize)
      const run = runs.find(vcn)
      const into = at - vcn * this.#clusterSize
      const pieceLength = Math.min(run.length * this.#clusterSize - into, end - at)
      const position = run.lcn === HOLE ? undefined : run.lcn * this.#clusterSize + into
      yield { offset: at, length: pieceLength, position }
      at += pieceLength
    }
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    if (this.#first.resident) {
      this.#first.value.copy(target, 0, offset)
      return
    }
    this.#refuseCoded()
    const written = Math.max(0, Math.min(target.length, this.initializedSize - offset))
    const isBeyondRuns = written > 0 && offset + written > this.runs!.end * this.#clusterSize
    if (isBeyondRuns && this.loss !== undefined) throw this.loss
    const onDisk = [...this.#pieces(offset, written)].filter(piece => piece.position !== undefined)
    if (onDisk.length !== 1 || onDisk[0]!.length !== target.length) target.fill(0)
    for (let i = 0; i < onDisk.length; i += CONCURRENCY) {
      const batch = onDisk.slice(i, i + CONCURRENCY)
      await settle(
        batch.map(piece => {
          const from = piece.offset - offset
          return this.#volume.read(piece.position!, target.subarray(from, from + piece.length))
        }),
      )
    }
  }

  #refuseCoded(): void {
    const { type, position } = this.#first
    const how = isEncrypted(this.#first) ? 'encrypted' : isCompressed(this.#first) ? 'compressed' : undefined
    if (how === undefined) return
    const message = `the NTFS attribute ${hex(type)} at byte ${hex(position)} is marked ${how}, which cannot be read`
    throw new UnsupportedError('NTFS_CODED_CONTENT', message, { type, position })
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return mergeTouching(this.#dataRanges(within))
  }

  async *#dataRanges(within: Range): AsyncIterable<Range> {
    if (this.runs === undefined) return yield within
    const written = Math.max(0, Math.min(within.length, this.initializedSize - within.offset))
    for (const { offset, length, position } of this.#pieces(within.offset, written)) {
      if (position !== undefined) yield { offset, length }
    }
    // Whoever passes over what is no data is not to pass over what is lost.
    const found = Math.max(within.offset, this.runs.end * this.#clusterSize)
    const lost = this.loss === undefined ? 0 : within.offset + written - found
    if (lost > 0) yield { offset: found, length: lost }
  }

  protected override async writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'files in an NTFS volume are read only')
  }

  override async close(): Promise<void> {}
}

const sizesOf = (attribute: Attribute) =>
  attribute.resident
    ? { dataSize: attribute.value.length, initializedSize: attribute.value.length }
    : { dataSize: attribute.dataSize, initializedSize: attribute.initializedSize }
