/** A new empty image under a name: it appears there only when it is whole. */
import { imageSize } from '../vhdx/builder.ts'
import { createVhdx } from '../vhdx/create.ts'
import { type ImagePlan, planImage, type VhdxOptions } from '../vhdx/image-plan.ts'
import { OutputFile } from './output-file.ts'

/** The image to create. Sizes are bytes. */
export interface CreateImageOptions extends VhdxOptions {
  /** Replaces what is there. */
  readonly force?: boolean | undefined
  readonly signal?: AbortSignal
  readonly onProgress?: (report: { phase: string; done: number; total: number }) => void
}

/** What was created. Sizes are bytes. */
export interface CreatedImage extends ImagePlan {
  readonly path: string
  /** Bytes. */
  readonly fileSize: number
}

/**
 * Writes an empty dynamic or fixed image to `path`, every byte of it. Throws OptionError for options no image can have,
 * RefusedError (TARGET_EXISTS), StorageError (NO_SPACE) before anything is written, and what writing throws.
 */
export async function createImage(path: string, options: CreateImageOptions): Promise<CreatedImage> {
  const { force = false, onProgress, ...rest } = options
  const planned = planImage(rest)
  const needed = imageSize(planned, planned.fixed ? planned.blockCount : 0)
  await using output = await OutputFile.create(path, { overwrite: force, needed })
  const plan = await createVhdx(output.device, {
    ...rest,
    onProgress: (done, total) => onProgress?.({ phase: 'writing', done, total }),
  })
  const fileSize = output.device.size
  await output.complete()
  return { ...plan, path, fileSize }
}
