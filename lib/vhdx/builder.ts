/** Writes a new image to a file that can be written anywhere. The layout is Windows' own: log, metadata, BAT, payload. */
import { KiB, MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { OptionError, OutOfRangeError, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { BatWriter } from './bat-writer.ts'
import { HEADER_SECTION_SIZE } from './format.ts'
import { type ImagePlan, planImage, type VhdxOptions } from './image-plan.ts'
import { batRegionLength, type Geometry } from './layout.ts'
import {
  METADATA_REGION_LENGTH,
  NEW_LOG,
  newFileIdentifier,
  newHeaders,
  newMetadataRegion,
  newRegionTables,
  type UserMetadata,
} from './new-image.ts'

const METADATA_OFFSET = 2 * MiB
const BAT_OFFSET = 3 * MiB

/** Bytes of the file of an image with `blocks` blocks. */
export const imageSize = ({ batEntryCount, blockSize }: Geometry, blocks: number) =>
  BAT_OFFSET + batRegionLength(batEntryCount) + blocks * blockSize

/**
 * A dynamic or fixed image while it is written. Until `finish` the file has no header, so a copy that was cut short is
 * refused by every reader. Every byte is really written, zeros too: Windows attaches no sparse files.
 */
export class VhdxBuilder {
  readonly plan: ImagePlan
  readonly #file: BlockDevice
  readonly #bat: BatWriter
  readonly #batLength: number
  #nextBlock = 0
  #nextOffset: number
  #placed = 0

  private constructor(file: BlockDevice, plan: ImagePlan) {
    this.plan = plan
    this.#file = file
    this.#batLength = batRegionLength(plan.batEntryCount)
    this.#nextOffset = imageSize(plan, 0)
    this.#bat = new BatWriter(plan.chunkRatio, this.#batLength, (offset, page) => file.write(BAT_OFFSET + offset, page))
  }

  /**
   * Begins an image on `file`, which must be empty and able to grow, and stays the caller's to close.
   * Throws OptionError for options no image can have, and NOT_EMPTY.
   */
  static async create(file: BlockDevice, options: VhdxOptions): Promise<VhdxBuilder> {
    const plan = planImage(options)
    if (file.size !== 0 || !file.growable) {
      throw new OptionError('NOT_EMPTY', 'a new image needs an empty file that can grow', { size: file.size })
    }
    await file.write(0, newFileIdentifier(plan.creator))
    await file.write(64 * KiB, Buffer.alloc(HEADER_SECTION_SIZE - 64 * KiB))
    await file.write(NEW_LOG.offset, Buffer.alloc(NEW_LOG.length))
    await file.write(METADATA_OFFSET, Buffer.alloc(METADATA_REGION_LENGTH))
    return new VhdxBuilder(file, plan)
  }

  /** Bytes. */
  get blockSize(): number {
    return this.plan.blockSize
  }

  get blockCount(): number {
    return this.plan.blockCount
  }

  /** What Windows may not like although the format allows it. */
  get findings(): readonly Finding[] {
    return this.plan.findings
  }

  /** Bytes the file will have with the blocks placed so far. */
  get fileSize(): number {
    return this.#nextOffset
  }

  /**
   * Gives payload block `block` the next place in the file and returns its byte offset. Blocks are placed in ascending
   * order, one call after the other; each whole block must be written there, in any order, before `finish`.
   * Throws OutOfRangeError (BAD_BLOCK).
   */
  async place(block: number): Promise<number> {
    if (!Number.isInteger(block) || block < this.#nextBlock || block >= this.blockCount) {
      throw new OutOfRangeError(
        'BAD_BLOCK',
        `block ${block} cannot be placed: the next may be ${this.#nextBlock}, the last is ${this.blockCount - 1}`,
        { block, next: this.#nextBlock, blockCount: this.blockCount },
      )
    }
    const fileOffset = this.#nextOffset
    this.#nextBlock = block + 1
    this.#nextOffset += this.blockSize
    this.#placed++
    await this.#bat.setPresent(block, fileOffset)
    return fileOffset
  }

  /**
   * Writes the BAT's rest, the metadata and the region tables; when those are on the medium, both headers. After this
   * the file is a valid image.
   * Throws OptionError (BAD_USER_METADATA, BLOCKS_MISSING) and StorageError (INCOMPLETE) before it writes anything.
   */
  async finish(userMetadata: readonly UserMetadata[] = []): Promise<void> {
    const metadata = newMetadataRegion(this.plan, userMetadata)
    if (this.plan.fixed && this.#placed < this.blockCount) {
      throw new OptionError(
        'BLOCKS_MISSING',
        `a fixed image needs all of its ${this.blockCount} blocks, ${this.#placed} were placed`,
      )
    }
    if (this.#placed > 0 && this.#file.size !== this.#nextOffset) {
      throw new StorageError(
        'INCOMPLETE',
        `the file has ${this.#file.size} bytes, with all blocks written it would have ${this.#nextOffset}`,
      )
    }
    await this.#bat.finish()
    await this.#file.write(METADATA_OFFSET, metadata)
    const tables = newRegionTables(
      { offset: BAT_OFFSET, length: this.#batLength },
      { offset: METADATA_OFFSET, length: METADATA_REGION_LENGTH },
    )
    for (const { position, bytes } of tables) await this.#file.write(position, bytes)
    await this.#file.flush()
    for (const { position, bytes } of newHeaders(this.plan.dataWriteGuid)) await this.#file.write(position, bytes)
    await this.#file.flush()
  }
}
