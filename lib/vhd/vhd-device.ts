/** The disk in a VHD file. */
import { BlockDevice } from '../device/block-device.ts'
import { placeOfExtents, readExtents } from '../device/extents.ts'
import { endOf, intersect, mergeTouching, type Range } from '../device/ranges.ts'
import { formatError, ReadOnlyError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { DataBlocks } from './data-blocks.ts'
import { creatorOf, dateOf } from './footer.ts'
import { footer, type VhdType } from './format.ts'
import type { VhdParent } from './parent-locator.ts'
import { readVhdStructures, type VhdStructures } from './structures.ts'

/** How `VhdDevice.open` opens. */
export interface VhdOpenOptions {
  /**
   * The disk that a differencing image is a change of. Whoever opens it has made sure that it is the right one, and
   * keeps it open as long as the image. An image without a parent does not use it.
   */
  readonly parent?: BlockDevice | undefined
}

/**
 * The disk in a fixed, dynamic or differencing VHD, for reading. Its size is the footer's current size, whatever the
 * cylinders, heads and sectors beside it say. Memory is bounded whatever its size; opening reads no block table.
 */
export class VhdDevice extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  readonly type: VhdType
  /** What a child of this image knows it by. */
  readonly uniqueId: string
  /** Who made the file, by its own word. */
  readonly creator: string
  readonly created: Date | undefined
  /** Bytes; undefined for a fixed image. */
  readonly blockSize: number | undefined
  /** What a differencing image says of its parent. */
  readonly parentLink: VhdParent | undefined
  /** What is not as it should be and did no harm. */
  readonly findings: readonly Finding[]
  readonly #file: BlockDevice
  readonly #blocks: DataBlocks | undefined
  readonly #parent: BlockDevice | undefined

  private constructor(file: BlockDevice, structures: VhdStructures, parent: BlockDevice | undefined) {
    super()
    const { type, footer, dynamic, findings } = structures
    this.#file = file
    this.#parent = parent
    this.#blocks = dynamic && new DataBlocks(file, structures, dynamic)
    this.type = type
    this.size = footer.currentSize
    this.uniqueId = footer.uniqueId
    this.creator = creatorOf(footer)
    this.created = dateOf(footer.timestamp)
    this.blockSize = dynamic?.blockSize
    this.parentLink = structures.parent
    this.findings = findings
  }

  /**
   * Opens the image in `file`, which from then on belongs to the device: closing the device closes it. When opening
   * fails it stays the caller's, as the parent does in any case. Throws FormatError, of PARENT_SIZE too, and
   * UnsupportedError for a differencing image without its parent (PARENT_NOT_OPENED) and for versions and types that are
   * not known.
   */
  static async open(file: BlockDevice, { parent }: VhdOpenOptions = {}): Promise<VhdDevice> {
    const structures = await readVhdStructures(file)
    if (structures.parent === undefined) return new VhdDevice(file, structures, undefined)
    if (parent === undefined) throw notOpened(structures.parent)
    if (parent.size !== structures.footer.currentSize) throw otherSize(structures, parent.size)
    return new VhdDevice(file, structures, parent)
  }

  /** How many blocks have a place in the file; undefined for a fixed image. Reads the whole block allocation table. */
  async allocatedBlocks(): Promise<number | undefined> {
    return this.#blocks?.bat.presentCount()
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    if (this.#blocks === undefined) return this.#file.read(offset, target)
    const extents = await this.#blocks.extents({ offset, length: target.length }, this.#parent !== undefined)
    await readExtents(extents, { file: this.#file, parent: this.#parent }, target)
  }

  override async placeOf(range: Range) {
    if (this.#blocks === undefined) return this.#file.placeOf(range)
    const extents = await this.#blocks.extents(range, this.#parent !== undefined)
    return placeOfExtents(extents, { file: this.#file, parent: this.#parent })
  }

  protected override dataRangesWithin(within: Range): AsyncIterable<Range> {
    return mergeTouching(
      this.#blocks === undefined ? this.#file.dataRanges(within) : this.#dataIn(within, this.#blocks),
    )
  }

  async *#dataIn(within: Range, { bat, blockSize }: DataBlocks): AsyncIterable<Range> {
    const [first, end] = [Math.floor(within.offset / blockSize), Math.ceil(endOf(within) / blockSize)]
    for await (const { block, count, present } of bat.runs(first, end)) {
      const range = intersect({ offset: block * blockSize, length: count * blockSize }, within)
      if (range === undefined) continue
      if (present) yield range
      else if (this.#parent !== undefined) yield* this.#parent.dataRanges(range)
    }
  }

  protected override writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'images are opened for reading only')
  }

  override close(): Promise<void> {
    return this.#file.close()
  }
}

const notOpened = ({ uniqueId, paths }: VhdParent) =>
  new UnsupportedError(
    'PARENT_NOT_OPENED',
    `this is a differencing VHD: without its parent, ${paths.map(path => `'${path}'`).join(' or ')}, it cannot be read`,
    { uniqueId, paths },
  )

const otherSize = ({ footer: { currentSize }, position }: VhdStructures, parentSize: number) =>
  formatError('PARENT_SIZE', {
    structure: footer.name,
    field: 'currentSize',
    position: position + footer.offsetOf('currentSize'),
    expected: `${parentSize}, as in its parent`,
    actual: `${currentSize}`,
    advice: 'One of them was resized, and what the child has fits no other parent: look for an unchanged copy',
  })
