/** The forms in which a disk can be written to a file, and what each asks of whoever writes it. */
import type { BlockDevice } from '../device/block-device.ts'
import type { FileDevice } from '../device/file-device.ts'
import type { Range } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import type { ImageFormat } from '../image/open-image.ts'
import { finishFixed, fixedSize, VhdBuilder } from '../vhd/builder.ts'
import { planVhd, type VhdOptions } from '../vhd/image-plan.ts'
import { imageSize as vhdSize } from '../vhd/layout.ts'
import { VhdxBuilder, imageSize as vhdxSize } from '../vhdx/builder.ts'
import { planImage, type VhdxOptions } from '../vhdx/image-plan.ts'
import { newMetadataRegion, type UserMetadata } from '../vhdx/new-image.ts'
import type { BlockPlacer } from './block-writer.ts'
import { checkWrittenVhd, checkWrittenVhdx } from './check-written.ts'

/** An image that can be written, and all that is known of it before. Sizes are bytes. */
export interface TargetImage {
  readonly format: ImageFormat
  /** A raw disk is fixed. */
  readonly type: 'fixed' | 'dynamic'
  readonly virtualSize: number
  /** Undefined where there are no blocks. */
  readonly blockSize: number | undefined
  /** What it will be known by: a VHDX by its Page 83 identity, a VHD by its unique id. */
  readonly diskId: string | undefined
  readonly findings: readonly Finding[]
  /** Where in the file the whole disk lies; undefined where blocks are given places as they come. */
  readonly place: Range | undefined
  /** Bytes of the file when `blocks` blocks have a place. */
  fileSize(blocks: number): number
  /** Begins it on an empty file that can grow. */
  begin(file: BlockDevice): Promise<ImageUnderWay>
  /** Looks at the finished file as a reader does. Throws StorageError (BAD_IMAGE_WRITTEN). */
  check(file: FileDevice): Promise<readonly Finding[]>
}

/** An image of which the content is being written. */
export interface ImageUnderWay {
  /** What gives blocks their places; not used where the whole disk has its place. */
  readonly placer?: BlockPlacer
  /** All content has been written: the file becomes an image. */
  finish(): Promise<void>
}

/** The bytes of the disk and no more. */
export function rawTarget(virtualSize: number): TargetImage {
  return {
    format: 'raw',
    type: 'fixed',
    virtualSize,
    blockSize: undefined,
    diskId: undefined,
    findings: [],
    place: { offset: 0, length: virtualSize },
    fileSize: () => virtualSize,
    begin: async file => ({ finish: () => file.flush() }),
    check: async () => [],
  }
}

/** Throws OptionError as `planVhd` says. */
export function vhdTarget(options: VhdOptions): TargetImage {
  const plan = planVhd(options)
  const { virtualSize, blockSize, blockCount, uniqueId: diskId } = plan
  const common = { format: 'vhd', virtualSize, diskId, findings: [], check: checkWrittenVhd } as const
  if (blockSize === undefined) {
    return {
      ...common,
      type: 'fixed',
      blockSize,
      place: { offset: 0, length: virtualSize },
      fileSize: () => fixedSize(plan),
      begin: async file => ({ finish: () => finishFixed(file, plan) }),
    }
  }
  return {
    ...common,
    type: 'dynamic',
    blockSize,
    place: undefined,
    fileSize: blocks => vhdSize({ blockSize, blockCount }, blocks),
    begin: async file => {
      const placer = await VhdBuilder.create(file, { ...plan, blockSize })
      return { placer, finish: () => placer.finish() }
    },
  }
}

/** An image with these items of the user's own. Throws OptionError as `planImage` says, and BAD_USER_METADATA. */
export function vhdxTarget(options: VhdxOptions, userMetadata: readonly UserMetadata[] = []): TargetImage {
  const plan = planImage(options)
  // What cannot be written is said now, not when all has been copied.
  newMetadataRegion(plan, userMetadata)
  const { virtualSize, blockSize, blockCount, virtualDiskId: diskId, fixed, findings } = plan
  return {
    format: 'vhdx',
    type: fixed ? 'fixed' : 'dynamic',
    virtualSize,
    blockSize,
    diskId,
    findings,
    place: fixed ? { offset: vhdxSize(plan, 0), length: blockCount * blockSize } : undefined,
    fileSize: blocks => vhdxSize(plan, fixed ? blockCount : blocks),
    begin: async file => {
      const placer = await VhdxBuilder.create(file, plan)
      if (fixed) for (let block = 0; block < blockCount; block++) await placer.place(block)
      return { placer, finish: () => placer.finish(userMetadata) }
    },
    check: checkWrittenVhdx,
  }
}
