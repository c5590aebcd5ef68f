/** What a differencing image holds itself, by its path. */

import type { HeldRange } from '../device/extents.ts'
import { FileDevice } from '../device/file-device.ts'
import { endOf, mergeTouching, type Range } from '../device/ranges.ts'
import { OptionError } from '../errors.ts'
import { readImage } from './chain-image.ts'
import { hostFile } from './open-host-files.ts'
import { imageFormat } from './open-image.ts'

/** A differencing image without its parents. */
export interface HeldImage extends AsyncDisposable {
  readonly path: string
  /** What of the disk it holds itself, in order; what touches is alike no more. Reads no content. */
  heldRanges(): AsyncIterable<HeldRange>
  /** Bytes of its disk. */
  readonly virtualSize: number
  /** Where it says its parent was, in the order in which to look. */
  readonly parentPaths: readonly string[]
  close(): Promise<void>
}

/**
 * Opens the differencing image at `path`; its parents are not looked for. Throws what reading the image throws, and
 * OptionError (NOT_A_CHILD) for what has no parent.
 */
export async function openHeldRanges(path: string): Promise<HeldImage> {
  const device = await FileDevice.open(path)
  try {
    const file = await hostFile(device)
    const format = await imageFormat(file)
    const image = format === 'raw' ? undefined : await readImage(file, format)
    if (image?.parent === undefined) {
      throw new OptionError(
        'NOT_A_CHILD',
        `${path} has no parent that it is a change of. Say what to compare it with`,
        { path },
      )
    }
    const { virtualSize, parent } = image
    const close = () => device.close()
    const heldRanges = () => mergeAlike(image.heldRanges())
    return { path, virtualSize, parentPaths: parent.paths, heldRanges, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await device.close()
    throw error
  }
}

/** Pieces that touch and are alike become one. */
async function* mergeAlike(ranges: AsyncIterable<HeldRange>): AsyncIterable<HeldRange> {
  let last: HeldRange | undefined
  for await (const range of ranges) {
    if (last?.content === range.content && endOf(last) === range.offset) {
      last = { ...last, length: last.length + range.length }
    } else {
      if (last !== undefined) yield last
      last = range
    }
  }
  if (last !== undefined) yield last
}

/** All that `image` holds as plain ranges, whatever it is, with what touches as one. */
export const allHeld = (image: HeldImage): AsyncIterable<Range> => mergeTouching(image.heldRanges())
