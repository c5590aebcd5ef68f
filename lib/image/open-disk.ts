/** A disk by the path of the file or the device that holds it. */
import { FileDevice, type FileDeviceOptions } from '../device/file-device.ts'
import { openForWriting, type WriteOptions } from './open-for-writing.ts'
import { HostFolders, hostFile } from './open-host-files.ts'
import { type OpenedImage, openImage } from './open-image.ts'

/** How `openDisk` opens. Everything beside `writable` and the options of reading only matters for writing. */
export interface OpenDiskOptions extends Omit<FileDeviceOptions, 'mode'>, WriteOptions {
  /** For writing too: raw disks and VHDX, whose parents are only read. VHD is only read. */
  readonly writable?: boolean
}

/** A disk and the file it is in. Closing it closes both, and the files of all parents. */
export interface OpenedDisk extends OpenedImage {
  /** The same as `disk` when the format is raw. */
  readonly file: FileDevice
}

/**
 * Opens the disk in `path`: a raw file or device, a VHDX or a VHD with all its parents. What is written is durable after
 * `disk.flush`, and the image is closed properly by `close`.
 * Throws what `FileDevice.open` and `openImage` throw, and for writing what `openForWriting` throws.
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<OpenedDisk> {
  const { writable = false, lock, size, sectorSize, ...rest } = options
  const given = { ...(lock && { lock }), ...(size !== undefined && { size }), ...(sectorSize && { sectorSize }) }
  const file = await FileDevice.open(path, { ...given, mode: writable ? 'write' : 'read' })
  try {
    const image = writable
      ? openForWriting(file, rest)
      : openImage(await hostFile(file), new HostFolders(), rest, file.raw)
    return { ...(await image), file }
  } catch (error) {
    await file.close()
    throw error
  }
}
