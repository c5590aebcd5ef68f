/** Writes a new image to a file that can be written anywhere. The layout is Windows' own: footer, header, table, blocks, footer. */
import type { BlockDevice } from '../device/block-device.ts'
import { TableWriter } from '../device/table-writer.ts'
import { OptionError, OutOfRangeError, StorageError } from '../errors.ts'
import { BAT_ENTRY_SIZE, footer, SECTOR_SIZE } from './format.ts'
import { planVhd, type VhdOptions, type VhdPlan } from './image-plan.ts'
import { bitmapLength, gapLength, imageSize, TABLE_OFFSET, tableEnd } from './layout.ts'
import { newDynamicHeader, newFooter } from './new-image.ts'

/** A plan of an image with blocks. */
type DynamicPlan = VhdPlan & { readonly blockSize: number }

/**
 * A dynamic image while it is written. Until `finish` the file has no footer, so a copy that was cut short is refused by
 * every reader. Every byte is really written, zeros too: Windows attaches no sparse files.
 */
export class VhdBuilder {
  readonly plan: DynamicPlan
  readonly #file: BlockDevice
  readonly #table: TableWriter
  /** What lies before each block: zeros, and the bitmap that says that all of its sectors are there. */
  readonly #gap: Buffer
  #nextBlock = 0
  #placed = 0

  private constructor(file: BlockDevice, plan: DynamicPlan) {
    const { blockSize, blockCount } = plan
    this.plan = plan
    this.#file = file
    this.#gap = Buffer.alloc(gapLength(blockSize))
    this.#gap.fill(0xff, this.#gap.length - bitmapLength(blockSize))
    this.#table = new TableWriter(tableEnd(blockCount) - TABLE_OFFSET, 0xff, (offset, page) =>
      file.write(TABLE_OFFSET + offset, page),
    )
  }

  /**
   * Begins an image on `file`, which must be empty and able to grow, and stays the caller's to close.
   * Throws OptionError for options no dynamic image can have, and NOT_EMPTY.
   */
  static async create(file: BlockDevice, options: VhdOptions): Promise<VhdBuilder> {
    const { blockSize, ...plan } = planVhd(options)
    if (blockSize === undefined) throw new OptionError('BAD_BLOCK_SIZE', 'a fixed VHD has no blocks to be placed')
    if (file.size !== 0 || !file.growable) {
      throw new OptionError('NOT_EMPTY', 'a new image needs an empty file that can grow', { size: file.size })
    }
    await file.write(0, Buffer.alloc(TABLE_OFFSET))
    return new VhdBuilder(file, { ...plan, blockSize })
  }

  /** Bytes. */
  get blockSize(): number {
    return this.plan.blockSize
  }

  get blockCount(): number {
    return this.plan.blockCount
  }

  /** Bytes the file will have with the blocks placed so far. */
  get fileSize(): number {
    return imageSize(this.plan, this.#placed)
  }

  /**
   * Gives block `block` the next place in the file and returns the byte offset of its content. Blocks are placed in
   * ascending order, one call after the other; each whole block must be written there, in any order, before `finish`.
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
    const gapOffset = this.#end
    const place = gapOffset + this.#gap.length
    this.#nextBlock = block + 1
    this.#placed++
    const entry = await this.#table.at(block * BAT_ENTRY_SIZE)
    entry.writeUInt32BE((place - bitmapLength(this.blockSize)) / SECTOR_SIZE)
    await this.#file.write(gapOffset, this.#gap)
    return place
  }

  /**
   * Writes the table's rest and the header; when those are on the medium, both footers. After this the file is a valid
   * image. Throws StorageError (INCOMPLETE) before it writes anything.
   */
  async finish(): Promise<void> {
    if (this.#placed > 0) checkWritten(this.#file, this.#end)
    await this.#table.finish()
    await this.#file.write(footer.size, newDynamicHeader(this.plan))
    await this.#file.flush()
    const bytes = newFooter(this.plan, new Date())
    const last = Buffer.alloc(this.fileSize - this.#end)
    bytes.copy(last, last.length - bytes.length)
    await this.#file.write(0, bytes)
    await this.#file.write(this.#end, last)
    await this.#file.flush()
  }

  /** Where the last block so far ends. */
  get #end(): number {
    return tableEnd(this.blockCount) + this.#placed * (this.#gap.length + this.blockSize)
  }
}

/** Bytes of the file of a fixed image. */
export const fixedSize = ({ virtualSize }: VhdPlan) => virtualSize + footer.size

/**
 * Makes a fixed image of `file`, in which all of the disk lies from byte 0. Throws StorageError (INCOMPLETE) before it
 * writes anything.
 */
export async function finishFixed(file: BlockDevice, plan: VhdPlan): Promise<void> {
  checkWritten(file, plan.virtualSize)
  await file.flush()
  await file.write(plan.virtualSize, newFooter(plan, new Date()))
  await file.flush()
}

function checkWritten(file: BlockDevice, expected: number): void {
  if (file.size === expected) return
  throw new StorageError(
    'INCOMPLETE',
    `the file has ${file.size} bytes, with all of the disk written it would have ${expected}`,
  )
}
