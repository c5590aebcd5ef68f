/** Makes empty images. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { VhdxBuilder } from './builder.ts'
import type { ImagePlan, VhdxOptions } from './image-plan.ts'

export interface CreateOptions extends VhdxOptions {
  /** Called as a fixed image's payload is written, with bytes. */
  readonly onProgress?: (done: number, total: number) => void
  readonly signal?: AbortSignal
}

/**
 * Writes an empty disk to `file`, which must be empty and able to grow and stays the caller's to close: a dynamic image
 * without blocks, or a fixed one with every block written as zeros. Rejects with the signal's reason when it is aborted.
 * Throws OptionError as `planImage` says.
 */
export async function createVhdx(file: BlockDevice, options: CreateOptions): Promise<ImagePlan> {
  const builder = await VhdxBuilder.create(file, options)
  if (builder.plan.fixed) await writeZeroBlocks(file, builder, options)
  await builder.finish()
  return builder.plan
}

async function writeZeroBlocks(file: BlockDevice, builder: VhdxBuilder, options: CreateOptions): Promise<void> {
  const zeros = Buffer.alloc(Math.min(builder.blockSize, 4 * MiB))
  const total = builder.blockCount * builder.blockSize
  for (let block = 0; block < builder.blockCount; block++) {
    const fileOffset = await builder.place(block)
    for (let done = 0; done < builder.blockSize; done += zeros.length) {
      options.signal?.throwIfAborted()
      await file.write(fileOffset + done, zeros)
      options.onProgress?.(block * builder.blockSize + done + zeros.length, total)
    }
  }
}
