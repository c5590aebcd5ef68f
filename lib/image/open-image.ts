/** The disk in a file, whatever form it has there. */
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { Files } from '../volume/files.ts'
import { type AsParent, closeChain, openDiskOf, walkChain } from './chain.ts'
import type { ChainImage } from './chain-image.ts'
import { containerIn } from './container.ts'
import type { ImageFile, ImageFolders } from './image-file.ts'
import type { ParentOptions } from './parent-search.ts'
import { VolumeFolders } from './volume-files.ts'

/** The forms of a disk that are read here: the disk itself, and two of images. */
export type ImageFormat = 'raw' | 'vhdx' | 'vhd'

/** How an image is opened. */
export interface OpenImageOptions extends ParentOptions {
  /** What the file holds. Default: found from its content. 'raw' takes any file for the disk itself, whatever it begins with. */
  readonly format?: ImageFormat
  /** What a child is given for the disk of its parent. Default: the disk itself. */
  readonly asParent?: AsParent | undefined
}

/** A disk and the image it is in. Closing it closes all files of the chain. */
export interface OpenedImage extends AsyncDisposable {
  readonly disk: BlockDevice
  readonly format: ImageFormat
  /** What holds the image; the same as `disk` when the format is raw. */
  readonly file: BlockDevice
  /** The image and its parents, down to the one that has none. Empty when the format is raw. */
  readonly chain: readonly ChainImage[]
  /** What is not as it should be with the image and its parents, and did no harm. */
  readonly findings: readonly Finding[]
  close(): Promise<void>
}

/**
 * Opens the image in `file`, and its parents in `folders`. When it fails `file` stays the caller's; all else is closed.
 * Throws UnsupportedError (UNSUPPORTED_CONTAINER), which names the format, for image files and archives that are not
 * read here, so that none is taken for a raw disk by mistake; FormatError (EMPTY_FILE); what `VhdxDevice.open` and
 * `VhdDevice.open` throw; for parents PARENT_NOT_FOUND, PARENT_CHANGED, PARENT_DAMAGED, PARENT_SIZE,
 * PARENT_SECTOR_SIZE, CHAIN_CYCLE, CHAIN_TOO_DEEP.
 */
export async function openImage(
  file: ImageFile,
  folders: ImageFolders,
  options: OpenImageOptions = {},
  mayHaveBadSectors = false,
): Promise<OpenedImage> {
  const { path, device } = file
  if (device.size === 0) throw new FormatError('EMPTY_FILE', `${path} is empty: there is no disk in it`, { path })
  const format = options.format ?? (await imageFormat(file, mayHaveBadSectors))
  if (format === 'raw') return opened(device, 'raw', device, [], [], () => device.close())
  const chain = await walkChain(file, format, folders, options)
  try {
    if (chain.problem !== undefined) throw chain.problem
    const { disk, findings } = await openDiskOf(chain, options.asParent)
    const close = () => closeChain(chain.images)
    return opened(disk, format, device, chain.images, [...findings, ...chain.findings], close)
  } catch (error) {
    await closeChain(chain.images.slice(1))
    throw error
  }
}

/**
 * Opens the image in the file `path` of a volume: an image inside another one. Its parents are looked for on the same
 * volume. Throws what `Files.open` and `openImage` throw.
 */
export async function openImageIn(files: Files, path: string, options: OpenImageOptions = {}): Promise<OpenedImage> {
  const folders = new VolumeFolders(files)
  const file = await folders.open(path)
  try {
    return await openImage(file, folders, options)
  } catch (error) {
    await file.device.close()
    throw error
  }
}

/** What form the disk in `file` has. Throws UnsupportedError (UNSUPPORTED_CONTAINER) for one that is not read here. */
export async function imageFormat({ path, device }: ImageFile, mayHaveBadSectors = false): Promise<ImageFormat> {
  const container = await containerIn(device, mayHaveBadSectors)
  if (container === undefined) return 'raw'
  if (container === 'VHDX') return 'vhdx'
  if (container === 'VHD') return 'vhd'
  throw new UnsupportedError(
    'UNSUPPORTED_CONTAINER',
    `${path} is a ${container} file, which is not read here. Unpack or convert it to a raw disk first (qemu-img convert -O raw knows most formats); with format 'raw' its own bytes are taken for the disk`,
    { path, container },
  )
}

function opened(
  disk: BlockDevice,
  format: ImageFormat,
  file: BlockDevice,
  chain: readonly ChainImage[],
  findings: readonly Finding[],
  close: () => Promise<void>,
): OpenedImage {
  return { disk, format, file, chain, findings, close, [Symbol.asyncDispose]: close }
}
