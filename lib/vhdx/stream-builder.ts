/** Writes a new image in one pass, without going back: to a pipe, or to storage that takes a stream. */
import { KiB, MiB } from '../binary/size.ts'
import { OptionError, StorageError } from '../errors.ts'
import { BatWriter } from './bat-writer.ts'
import { HEADER_SECTION_SIZE } from './format.ts'
import { type ImagePlan, planImage, type VhdxOptions } from './image-plan.ts'
import { batRegionLength } from './layout.ts'
import {
  METADATA_REGION_LENGTH,
  NEW_LOG,
  newFileIdentifier,
  newHeaders,
  newMetadataRegion,
  newRegionTables,
  type UserMetadata,
} from './new-image.ts'

const BAT_OFFSET = 2 * MiB

export interface StreamOptions extends VhdxOptions {
  /** Whether payload block `block` will come. Asked once for each block, in order, before the payload. */
  readonly isPresent: (block: number) => boolean
  /** How many blocks will come. */
  readonly presentCount: number
}

/** Takes the image's bytes from first to last. The buffer is its own until the promise settles. */
export interface ByteSink {
  write(bytes: Buffer): Promise<void>
}

/**
 * A dynamic image while it is streamed. What comes first is complete: headers, region tables, an empty log and the BAT,
 * all known before. The metadata region comes last, so a stream that was cut short has none and is refused by every reader.
 */
export class VhdxStreamBuilder {
  readonly plan: ImagePlan
  /** Bytes of the whole image. */
  readonly fileSize: number
  readonly #sink: ByteSink
  #payloadLeft: number

  private constructor(sink: ByteSink, plan: ImagePlan, batLength: number, presentCount: number) {
    this.plan = plan
    this.#sink = sink
    this.#payloadLeft = presentCount * plan.blockSize
    this.fileSize = BAT_OFFSET + batLength + this.#payloadLeft + METADATA_REGION_LENGTH
  }

  /** Writes all that comes before the payload. Throws OptionError as `planImage` says, and BAD_PRESENT_COUNT. */
  static async create(sink: ByteSink, options: StreamOptions): Promise<VhdxStreamBuilder> {
    const plan = planImage(options)
    if (plan.fixed && options.presentCount !== plan.blockCount) {
      throw new OptionError('BLOCKS_MISSING', `a fixed image needs all of its ${plan.blockCount} blocks`)
    }
    const batLength = batRegionLength(plan.batEntryCount)
    const builder = new VhdxStreamBuilder(sink, plan, batLength, options.presentCount)
    await sink.write(builder.#headerSection(batLength))
    await sink.write(Buffer.alloc(NEW_LOG.length))
    await builder.#writeBat(batLength, options)
    return builder
  }

  /** The next bytes of the payload: each present block whole, in order. Throws OptionError (TOO_MUCH_PAYLOAD). */
  async payload(bytes: Buffer): Promise<void> {
    if (bytes.length > this.#payloadLeft) {
      throw new OptionError('TOO_MUCH_PAYLOAD', `${bytes.length - this.#payloadLeft} bytes more than the BAT announced`)
    }
    this.#payloadLeft -= bytes.length
    await this.#sink.write(bytes)
  }

  /** Writes the metadata region. After this the image is whole. Throws OptionError (BAD_USER_METADATA), StorageError (INCOMPLETE). */
  async finish(userMetadata: readonly UserMetadata[] = []): Promise<void> {
    if (this.#payloadLeft > 0) {
      throw new StorageError('INCOMPLETE', `${this.#payloadLeft} bytes of the announced payload have not come`)
    }
    await this.#sink.write(newMetadataRegion(this.plan, userMetadata))
  }

  #headerSection(batLength: number): Buffer {
    const section = Buffer.alloc(HEADER_SECTION_SIZE)
    newFileIdentifier(this.plan.creator).copy(section, 0, 0, 64 * KiB)
    const tables = newRegionTables(
      { offset: BAT_OFFSET, length: batLength },
      { offset: this.fileSize - METADATA_REGION_LENGTH, length: METADATA_REGION_LENGTH },
    )
    for (const { position, bytes } of [...newHeaders(this.plan.dataWriteGuid), ...tables]) bytes.copy(section, position)
    return section
  }

  async #writeBat(batLength: number, { isPresent, presentCount }: StreamOptions): Promise<void> {
    const bat = new BatWriter(this.plan.chunkRatio, batLength, (_, page) => this.#sink.write(page))
    const payloadOffset = BAT_OFFSET + batLength
    let present = 0
    for (let block = 0; block < this.plan.blockCount; block++) {
      if (isPresent(block)) await bat.setPresent(block, payloadOffset + present++ * this.plan.blockSize)
    }
    await bat.finish()
    if (present !== presentCount) {
      throw new OptionError('BAD_PRESENT_COUNT', `${present} blocks are present, ${presentCount} were announced`)
    }
  }
}
