/** A disk by the path of the file or the device that holds it. */
import { FileDevice, type FileDeviceOptions } from '../device/file-device.ts'
import { HostFolders, hostFile } from './open-host-files.ts'
import { type OpenedImage, type OpenImageOptions, openImage } from './open-image.ts'

/** How `openDisk` opens. */
export interface OpenDiskOptions extends Omit<FileDeviceOptions, 'mode'>, OpenImageOptions {}

/** A disk and the file it is in. Closing it closes both, and the files of all parents. */
export interface OpenedDisk extends OpenedImage {
  /** The same as `disk` when the format is raw. */
  readonly file: FileDevice
}

/**
 * Opens the disk in `path` for reading: a raw file or device, a VHDX or a VHD with all its parents.
 * Throws what `FileDevice.open` and `openImage` throw.
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<OpenedDisk> {
  const { format, parent, search, asParent, ...fileOptions } = options
  const file = await FileDevice.open(path, fileOptions)
  try {
    return { ...(await openImage(await hostFile(file), new HostFolders(), options, file.raw)), file }
  } catch (error) {
    await file.close()
    throw error
  }
}
