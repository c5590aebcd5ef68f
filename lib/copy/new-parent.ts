/** An image that is to be the parent of another: opened with its own parents, for reading. */
import { OptionError, RefusedError, UnsupportedError } from '../errors.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'

/** Such an image. */
export interface OpenedParent extends OpenedDisk {
  readonly disk: VhdxDevice
}

/**
 * Opens the image at `path`. Throws what `openDisk` throws, UnsupportedError (PARENT_NOT_VHDX) and RefusedError
 * (PARENT_DIRTY) for one that would have to be written to.
 */
export async function openNewParent(
  path: string,
  { search }: Pick<ParentOptions, 'search'> = {},
): Promise<OpenedParent> {
  const opened = await openDisk(path, search === undefined ? {} : { search })
  try {
    const { disk, format } = opened
    if (!(disk instanceof VhdxDevice)) throw notVhdx(path, format === 'vhd' ? 'a VHD' : 'a raw disk')
    if (disk.log !== 'clean') throw dirtyParent(path)
    return { ...opened, disk }
  } catch (error) {
    await opened.close()
    throw error
  }
}

const notVhdx = (path: string, kind: string) =>
  new UnsupportedError(
    'PARENT_NOT_VHDX',
    `${path} is ${kind}, and only a VHDX can be the parent of a VHDX. Convert it first`,
    { path },
  )

const dirtyParent = (path: string) =>
  new RefusedError(
    'PARENT_DIRTY',
    `${path} was not closed properly: what its log holds has to be put in its place first, which changes the file, and a parent is never changed. Attach it read-write once, or use vhdx repair`,
    { path },
  )

/** The error for a child that would be its own parent, by way of `path`. */
export const cycleError = (child: string, path: string) =>
  new OptionError('CHAIN_CYCLE', `${path} cannot be the parent of ${child}, for it is that image or a child of it`, {
    child,
    path,
  })
