/** The disk in a file of this system, opened for writing: a raw disk as it is, a VHDX with its parents, which are only read. */
import type { FileDevice } from '../device/file-device.ts'
import { FormatError, UnsupportedError } from '../errors.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import type { WriteSessionOptions } from '../vhdx/write-session.ts'
import { closeChain, openParents, walkChain } from './chain.ts'
import { refuseChildren } from './open-children.ts'
import { HostFolders, hostFile } from './open-host-files.ts'
import { imageFormat, type OpenedImage, type OpenImageOptions } from './open-image.ts'

/** How an image is opened for writing. */
export interface WriteOptions extends OpenImageOptions, WriteSessionOptions {
  /** Writes to an image that has children, which do not fit it any more then. */
  readonly force?: boolean | undefined
  /** Identities of the files of children that the caller looks after. */
  readonly ownChildren?: readonly string[]
}

/**
 * Opens the disk in `file`, which was opened for writing. When it fails `file` stays the caller's; all else is closed.
 * Throws what `openImage` and `VhdxDevice.openForWriting` throw, UnsupportedError (VHD_READ_ONLY), and RefusedError
 * (HAS_CHILDREN) when images in the same folder are children of this one.
 */
export async function openForWriting(file: FileDevice, options: WriteOptions = {}): Promise<OpenedImage> {
  const { path } = file
  const host = await hostFile(file)
  if (file.size === 0) throw new FormatError('EMPTY_FILE', `${path} is empty: there is no disk in it`, { path })
  const format = options.format ?? (await imageFormat(host, file.raw))
  if (format === 'raw') return opened({ disk: file, format, file, chain: [], findings: [] }, () => file.close())
  if (format === 'vhd') {
    const message = `${path} is a VHD, which is only read here. Convert it to a VHDX, which can be written`
    throw new UnsupportedError('VHD_READ_ONLY', message, { path })
  }
  const chain = await walkChain(host, format, new HostFolders(), options)
  const { images, problem } = chain
  const parents = images.slice(1)
  try {
    if (problem !== undefined) throw problem
    const unsaid = options.force ? [] : await refuseChildren({ ...host, id: images[0]!.id }, options.ownChildren)
    const { parent, findings } = await openParents(parents, options.asParent)
    const disk = await VhdxDevice.openForWriting(file, { parent, dataWriteGuid: options.dataWriteGuid })
    const said = [...disk.findings, ...findings, ...chain.findings, ...unsaid]
    return opened({ disk, format, file, chain: images, findings: said }, async () => {
      try {
        await disk.close()
      } finally {
        await closeChain(parents)
      }
    })
  } catch (error) {
    await closeChain(parents)
    throw error
  }
}

const opened = (image: Omit<OpenedImage, 'close' | typeof Symbol.asyncDispose>, close: () => Promise<void>) => ({
  ...image,
  close,
  [Symbol.asyncDispose]: close,
})
