/** The disk in a VHDX file. */
import { BlockDevice, type ByteSource, type ResizableDevice } from '../device/block-device.ts'
import { type HeldRange, placeOfExtents, readExtents } from '../device/extents.ts'
import type { Range } from '../device/ranges.ts'
import { unionRanges } from '../device/union-ranges.ts'
import type { Finding } from '../finding.ts'
import type { BlockStates } from './bat.ts'
import { type Header, LOGICAL_SECTOR_SIZE, logicalSectorSize, VIRTUAL_DISK_SIZE, virtualDiskSize } from './format.ts'
import { heldIn } from './held-ranges.ts'
import type { Geometry } from './layout.ts'
import { findItem, type Metadata, parentProblem } from './metadata.ts'
import type { MetadataItem } from './metadata-table.ts'
import { PayloadBlocks } from './payload-blocks.ts'
import { PayloadWriter } from './payload-writer.ts'
import { RepairLosses } from './repair-losses.ts'
import { errorOf, type Problem, problem, type RuleCode } from './rules.ts'
import { readSoundStructures, type SoundStructures } from './structures.ts'
import { WriteSession, type WriteSessionOptions } from './write-session.ts'

/** With what an image is opened. */
export interface VhdxOpenOptions {
  /**
   * The disk that a differencing image is a change of. Whoever opens it has made sure that it is the right one, and
   * keeps it open as long as the image. An image without a parent does not use it.
   */
  readonly parent?: BlockDevice | undefined
}

/** With what an image is opened for writing. */
export interface VhdxWriteOptions extends VhdxOpenOptions, WriteSessionOptions {}

/**
 * The disk in a dynamic, fixed or differencing image. Opened for reading, a log that was not replayed is replayed in
 * memory; opened for writing, on disk. Memory is bounded whatever the size of the BAT; opening reads none of it.
 *
 * What was written is durable after `flush`. `close` commits what was written since, too, marks the image as closed
 * properly and cuts the file to size; an image that was not closed is replayed when it is opened next.
 */
export class VhdxDevice extends BlockDevice {
  override readonly readOnly: boolean
  readonly size: number
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  /** The current header, as it was when the image was opened. */
  readonly header: Header
  readonly metadata: Metadata
  readonly geometry: Geometry
  /** Who made the file, by its own word. */
  readonly creator: string
  /** What is not as it should be and did no harm: a bad header beside a good one, and the like. */
  readonly findings: readonly Finding[]
  /** 'replayed': the file was not closed properly, and what its log holds was replayed: in memory, or for writing on disk. */
  readonly log: 'clean' | 'replayed'
  readonly #file: BlockDevice
  readonly #parent: BlockDevice | undefined
  /** The file with its log replayed. */
  readonly #content: ByteSource
  readonly #blocks: PayloadBlocks
  readonly #items: readonly MetadataItem[]
  readonly #losses: RepairLosses | undefined
  readonly #session: WriteSession | undefined
  readonly #writer: PayloadWriter | undefined

  private constructor(
    file: BlockDevice,
    structures: SoundStructures,
    parent: BlockDevice | undefined,
    losses: RepairLosses | undefined,
    session?: WriteSession,
  ) {
    super()
    this.readOnly = session === undefined
    this.#file = file
    this.#parent = parent
    this.#content = structures.file
    this.log = session?.log ?? structures.log
    this.header = structures.headers.current.header
    this.metadata = structures.metadataRegion.metadata
    this.geometry = structures.geometry
    this.creator = structures.creator
    const unlike = parent ? compareWithParent(structures, parent) : []
    this.findings = [...structures.problems, ...unlike, ...(losses ? [losses.finding] : [])]
    // Who writes has to read what he does not write.
    this.#losses = session === undefined ? losses : undefined
    this.size = this.geometry.virtualSize
    this.sectorSize = this.geometry.logicalSectorSize
    // A disk of 4096/512 is legal VHDX, but nothing has physical sectors smaller than its logical ones.
    this.physicalSectorSize = Math.max(this.geometry.physicalSectorSize, this.sectorSize)
    this.#blocks = new PayloadBlocks(
      session?.pages ?? structures.file,
      structures.regionTables.bat.offset,
      this.geometry,
      structures.areas,
      session?.pages,
    )
    this.#items = structures.metadataRegion.items
    this.#session = session
    this.#writer = session && new PayloadWriter(session, this.#blocks, parent, (...to) => this.#readUnlocked(...to))
  }

  /**
   * Opens the image in `file`, which from then on belongs to the device: closing the device closes it. When opening
   * fails it stays the caller's, as the parent does in any case. Throws FormatError with the code of the broken rule
   * (rules.ts), and UnsupportedError for a differencing image without its parent (PARENT_NOT_OPENED) and for what is
   * newer than this.
   */
  static async open(file: BlockDevice, options: VhdxOpenOptions = {}): Promise<VhdxDevice> {
    const structures = await readSoundStructures(file)
    return new VhdxDevice(file, structures, parentOf(structures, options), await RepairLosses.read(structures))
  }

  /**
   * Opens the image in `file` for reading and writing, as `open` does. Replays a log that was not on disk; nothing else
   * of the file changes before the disk does. Nobody else may write to the file meanwhile, nor read the image.
   * Throws what `open` throws, and ReadOnlyError. The first change throws FormatError where entries of the BAT are broken.
   */
  static async openForWriting(file: ResizableDevice, options: VhdxWriteOptions = {}): Promise<VhdxDevice> {
    const session = await WriteSession.open(file, options)
    const { structures } = session
    return new VhdxDevice(file, structures, parentOf(structures, options), await RepairLosses.read(structures), session)
  }

  /** The bytes of the user metadata item `itemId`; undefined when there is none. */
  async userMetadata(itemId: string): Promise<Buffer | undefined> {
    const item = this.#items.find(item => item.isUser && item.itemId === itemId)
    if (item === undefined) return undefined
    const data = Buffer.alloc(item.length)
    await this.#content.read(item.offset, data)
    return data
  }

  /** How many payload blocks have a place in the file. Reads the whole BAT. */
  async allocatedBlocks(): Promise<number> {
    await this.#writer?.publish()
    return await this.#blocks.bat.presentCount()
  }

  /** The states of all blocks, in order. Reads the BAT page by page. */
  async *blockStates(): AsyncIterable<BlockStates> {
    await this.#writer?.publish()
    yield* this.#blocks.bat.states()
  }

  /** What of its disk a differencing image holds itself, in order. Content is not read, nor the parent. */
  async *heldRanges(): AsyncIterable<HeldRange> {
    await this.#writer?.publish()
    yield* heldIn(this.#blocks, this.geometry)
  }

  /** Throws StorageError (LOST_IN_REPAIR) for what a repair of the image could not save. */
  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    await this.#losses?.refuse({ offset, length: target.length }, this.#blocks.bat)
    if (this.#writer === undefined) await this.#readUnlocked(offset, target)
    else await this.#writer.reading({ offset, length: target.length }, () => this.#readUnlocked(offset, target))
  }

  async #readUnlocked(offset: number, target: Buffer): Promise<void> {
    const extents = await this.#blocks.extents({ offset, length: target.length })
    await readExtents(extents, { file: this.#content, parent: this.#parent }, target)
  }

  /** Not of an image that is written or was not closed properly: what is in its log lies in two places. */
  override async placeOf(range: Range) {
    if (this.#session !== undefined || this.#losses !== undefined || this.log !== 'clean') return undefined
    return placeOfExtents(await this.#blocks.extents(range), { file: this.#file, parent: this.#parent })
  }

  /** Blocks whose entries are broken, and what is lost, count as data: whoever copies by ranges comes upon the error. */
  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    await this.#writer?.publish()
    const data = () => this.#blocks.dataRanges(within, this.#parent)
    const losses = this.#losses
    if (losses === undefined) yield* data()
    else {
      const lost = () => losses.lostIn(within, this.#blocks.bat)
      yield* unionRanges([data, lost].map(ranges => ({ extent: within, ranges })))
    }
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    await this.#writer!.write(offset, source)
  }

  /** Blocks that become zeros as a whole lose their place in the file, but for fixed images. */
  protected override async zeroBytes(offset: number, length: number): Promise<void> {
    await this.#writer!.zero({ offset, length })
  }

  /** Takes their place in the file from the blocks that lie in the range as a whole. In a fixed image nothing happens. */
  protected override async trimBytes(offset: number, length: number): Promise<void> {
    await this.#writer!.trim({ offset, length })
  }

  /**
   * Makes all that was written durable. Where there is no room for blocks that were begun, it can be tried again; when
   * it has failed otherwise, nothing more can be written.
   */
  override async flush(): Promise<void> {
    await this.#writer?.publish()
    await this.#session?.commit()
  }

  override async close(): Promise<void> {
    try {
      await this.#writer?.publish()
    } finally {
      await (this.#session?.close() ?? Promise.resolve()).finally(() => this.#file.close())
    }
  }
}

/** The parent of a differencing image. Throws UnsupportedError (PARENT_NOT_OPENED) when it needs one and has none. */
function parentOf({ metadataRegion }: SoundStructures, { parent }: VhdxOpenOptions): BlockDevice | undefined {
  if (!metadataRegion.metadata.hasParent) return undefined
  const orphan = parent === undefined ? parentProblem(metadataRegion) : undefined
  if (orphan !== undefined) throw errorOf(orphan)
  return parent
}

/** What does not fit between a child and its parent and does no harm. Throws FormatError for what does. */
function compareWithParent(structures: SoundStructures, parent: BlockDevice): Problem[] {
  const { geometry, metadataRegion } = structures
  const problemWith = (code: RuleCode, itemId: string, structure: string, expected: string, actual: string) =>
    problem(code, { structure, position: findItem(metadataRegion.items, itemId)!.offset, expected, actual })
  if (parent.sectorSize !== geometry.logicalSectorSize) {
    const expected = `${parent.sectorSize}, as in its parent`
    const actual = `${geometry.logicalSectorSize}`
    throw errorOf(problemWith('PARENT_SECTOR_SIZE', LOGICAL_SECTOR_SIZE, logicalSectorSize.name, expected, actual))
  }
  if (parent.size === geometry.virtualSize) return []
  const expected = `${parent.size}, as in its parent`
  return [problemWith('PARENT_SIZE', VIRTUAL_DISK_SIZE, virtualDiskSize.name, expected, `${geometry.virtualSize}`)]
}
