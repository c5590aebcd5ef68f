/** A VHDX that is changed itself, in steps: its file stays open and locked from the first to the last. */
import type { BlockDevice, ResizableDevice } from '../device/block-device.ts'
import { FileDevice } from '../device/file-device.ts'
import { LentDevice } from '../device/lent-device.ts'
import { whileOpen } from '../device/while-open.ts'
import type { Finding } from '../finding.ts'
import { demandVhdx } from '../image/container.ts'
import { refuseChildren } from '../image/open-children.ts'
import { HostFolders, hostFile } from '../image/open-host-files.ts'
import { type OpenedImage, openImage } from '../image/open-image.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'

/** An image that is changed itself. */
export interface ChangeableImage {
  readonly path: string
  readonly file: ResizableDevice
  /** As it was when it was opened, for reading. */
  readonly disk: VhdxDevice
  /** The disk of its parent; undefined for all but a differencing image. */
  readonly parent: BlockDevice | undefined
}

/** With all files of its chain. Closing it closes them. */
export interface OpenedVhdx extends OpenedImage, ChangeableImage {
  readonly file: FileDevice
  readonly disk: VhdxDevice
}

/**
 * Opens the VHDX at `path` with its parents. `writable` is whether its file is opened for writing, which nobody else may
 * use then. Throws what `openDisk` throws, and UnsupportedError (NOT_VHDX).
 */
export async function openVhdx(path: string, writable: boolean, options: ParentOptions): Promise<OpenedVhdx> {
  const file = await FileDevice.open(path, { mode: writable ? 'write' : 'read' })
  try {
    await demandVhdx(file, path)
    let parent: BlockDevice | undefined
    const asParent = async (disk: BlockDevice) => {
      parent = disk
      return disk
    }
    const image = await openImage(await hostFile(file), new HostFolders(), { ...options, format: 'vhdx', asParent })
    return { ...image, path, file, disk: image.disk as VhdxDevice, parent }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Opens the disk of `image` as it is now for writing, and does `work`. The file stays open. */
export async function writeDisk<T>(
  { file, parent }: ChangeableImage,
  work: (disk: VhdxDevice) => Promise<T>,
): Promise<T> {
  const disk = await VhdxDevice.openForWriting(new LentDevice(file), { parent })
  return whileOpen(disk, () => work(disk))
}

/** Throws RefusedError (HAS_CHILDREN) when images beside `image` are its children. Returns what else is to be said. */
export const refuseChildrenOf = ({ path, file, disk }: OpenedVhdx): Promise<readonly Finding[]> =>
  refuseChildren({ path, identity: file.identity, id: disk.header.dataWriteGuid })
