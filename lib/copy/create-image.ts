/** A new empty image under a name: it appears there only when it is whole. */
import { imageSize } from '../vhdx/builder.ts'
import { createVhdx } from '../vhdx/create.ts'
import { childOptions, type ImagePlan, planImage, type VhdxOptions } from '../vhdx/image-plan.ts'
import { readParentImage } from '../vhdx/parent-image.ts'
import { openNewParent } from './new-parent.ts'
import { OutputFile, refuseSources } from './output-file.ts'
import { pathsToParent } from './parent-paths.ts'
import { nameFindings } from './target-format.ts'

interface CreateControl {
  /** Replaces what is there. */
  readonly force?: boolean | undefined
  readonly signal?: AbortSignal
  readonly onProgress?: (report: { phase: string; done: number; total: number }) => void
}

/** The image to create. Sizes are bytes. */
export interface CreateImageOptions extends Omit<VhdxOptions, 'parent'>, CreateControl {}

/** The differencing image to create. What is left open is as in its parent. */
export interface CreateChildOptions extends Partial<Omit<VhdxOptions, 'parent'>>, CreateControl {
  /** Folders in which the parents of the parent may be. */
  readonly search?: readonly string[]
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
export function createImage(path: string, options: CreateImageOptions): Promise<CreatedImage> {
  return writeImage(path, options, options)
}

/**
 * Writes a differencing image to `path`: the disk in the image at `parent`, of which it holds nothing yet. The parent and
 * its own parents are only read; whoever writes to one of them from then on makes the child worthless.
 * Throws what `createImage` and `openDisk` throw, UnsupportedError (PARENT_NOT_VHDX), RefusedError (PARENT_DIRTY) and
 * OptionError (SAME_FILE, UNLIKE_PARENT, PARENT_NAME).
 */
export async function createChild(
  path: string,
  parent: string,
  options: CreateChildOptions = {},
): Promise<CreatedImage> {
  await using opened = await openNewParent(parent, options)
  await refuseSources(
    path,
    opened.chain.map(image => image.path),
  )
  const image = await readParentImage(opened.file)
  const link = { image, paths: await pathsToParent(path, parent) }
  const created = await writeImage(path, { ...childOptions(image, options), parent: link }, options)
  return { ...created, findings: [...created.findings, ...opened.findings] }
}

async function writeImage(path: string, options: VhdxOptions, control: CreateControl): Promise<CreatedImage> {
  const { force = false, signal, onProgress } = control
  const planned = planImage(options)
  const needed = imageSize(planned, planned.fixed ? planned.blockCount : 0)
  await using output = await OutputFile.create(path, { overwrite: force, needed })
  const plan = await createVhdx(output.device, {
    ...options,
    ...(signal && { signal }),
    onProgress: (done, total) => onProgress?.({ phase: 'writing', done, total }),
  })
  const fileSize = output.device.size
  await output.complete()
  return { ...plan, path, fileSize, findings: [...plan.findings, ...nameFindings(path, 'vhdx')] }
}
