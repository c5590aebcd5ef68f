/** The chain of an image by its path, for `vhdx chain`: also one that cannot be opened. */
import { FileDevice } from '../device/file-device.ts'
import { DiskImageError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type Chain, closeChain, openDiskOf, walkChain } from './chain.ts'
import type { ChainImage } from './chain-image.ts'
import { HostFolders, hostFile } from './open-host-files.ts'
import { imageFormat } from './open-image.ts'
import type { ParentOptions } from './parent-search.ts'

/** An image and its parents, as far as they were found. */
export interface ImageChain {
  /** From the child to the base, or to the last that was found. */
  readonly images: readonly ChainImage[]
  /** Why the last image has no parent although it needs one, or why the disk cannot be opened; undefined when it can. */
  readonly problem: DiskImageError | undefined
  /** What is not as it should be between an image and its parent, and may do no harm. */
  readonly findings: readonly Finding[]
}

/**
 * Reads what the image at `path` and its parents say of themselves, and whether they can be opened. Throws what reading
 * the image itself throws, and UnsupportedError (NO_IMAGE) for a raw disk.
 */
export async function readChain(path: string, options: ParentOptions = {}): Promise<ImageChain> {
  const device = await FileDevice.open(path)
  try {
    const file = await hostFile(device)
    const format = await imageFormat(file)
    if (format === 'raw')
      throw new UnsupportedError('NO_IMAGE', `${path} is no VHDX and no VHD: it has no parent`, { path })
    const chain = await walkChain(file, format, new HostFolders(), options)
    try {
      return { ...chain, ...(await checkOpening(chain)) }
    } finally {
      await closeChain(chain.images)
    }
  } finally {
    await device.close()
  }
}

/** What opening the disk makes of a chain that is whole. */
async function checkOpening(chain: Chain): Promise<Pick<ImageChain, 'problem' | 'findings'>> {
  if (chain.problem !== undefined) return chain
  try {
    const { findings } = await openDiskOf(chain)
    return { problem: undefined, findings: [...findings, ...chain.findings] }
  } catch (problem) {
    if (problem instanceof DiskImageError) return { problem, findings: chain.findings }
    throw problem
  }
}
