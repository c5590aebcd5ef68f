/** A disk by the path of the file or the device that holds it. */
import type { BlockDevice } from '../device/block-device.ts'
import { FileDevice, type FileDeviceOptions } from '../device/file-device.ts'
import { tryRead } from '../device/try-read.ts'
import { FormatError, UnsupportedError } from '../errors.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { CONTAINER_HEAD_LENGTH, CONTAINER_TAIL_LENGTH, probeContainer } from './probe.ts'

/** How `openDisk` opens. */
export interface OpenDiskOptions extends Omit<FileDeviceOptions, 'mode'> {
  /** What `path` holds. Default: found from its content. 'raw' takes any file for the disk itself, whatever it begins with. */
  readonly format?: 'raw' | 'vhdx'
}

/** A disk and the file it is in. Closing it closes both. */
export interface OpenedDisk extends AsyncDisposable {
  readonly disk: BlockDevice
  readonly format: 'raw' | 'vhdx'
  /** The same as `disk` when the format is raw. */
  readonly file: FileDevice
  close(): Promise<void>
}

/**
 * Opens the disk in `path` for reading: a raw file or device, or a VHDX image.
 * Throws UnsupportedError (UNSUPPORTED_CONTAINER), which names the format, for image files and archives that are not
 * read here, so that none is taken for a raw disk by mistake; FormatError (EMPTY_FILE); what `FileDevice.open` throws,
 * and what `VhdxDevice.open` does.
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<OpenedDisk> {
  const { format, ...fileOptions } = options
  const file = await FileDevice.open(path, fileOptions)
  try {
    if (file.size === 0) throw new FormatError('EMPTY_FILE', `${path} is empty: there is no disk in it`, { path })
    const container = format ?? (await containerIn(file)) ?? 'raw'
    if (container === 'raw') return opened(file, file, 'raw')
    if (container.toLowerCase() === 'vhdx') return opened(await VhdxDevice.open(file), file, 'vhdx')
    throw unsupported(path, container)
  } catch (error) {
    await file.close()
    throw error
  }
}

/** A disk may have bad sectors there, and still be read; of a file that cannot be read there is no telling what it is. */
async function containerIn(file: FileDevice): Promise<string | undefined> {
  const head = Buffer.alloc(Math.min(CONTAINER_HEAD_LENGTH, file.size))
  const tail = Buffer.alloc(Math.min(CONTAINER_TAIL_LENGTH, file.size))
  for (const [offset, part] of [
    [0, head],
    [file.size - tail.length, tail],
  ] as const) {
    const failure = await tryRead(file, offset, part)
    if (failure !== undefined && !file.raw) throw failure
  }
  return probeContainer(head, tail)
}

/** `disk` owns `file`, or is it. */
function opened(disk: BlockDevice, file: FileDevice, format: OpenedDisk['format']): OpenedDisk {
  const close = () => disk.close()
  return { disk, format, file, close, [Symbol.asyncDispose]: close }
}

const unsupported = (path: string, container: string) =>
  new UnsupportedError(
    'UNSUPPORTED_CONTAINER',
    `${path} is a ${container} file, which is not read here. Unpack or convert it to a raw disk first (qemu-img convert -O raw knows most formats); with format 'raw' its own bytes are taken for the disk`,
    { path, container },
  )
