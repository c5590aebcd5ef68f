/** An image with its parent, the parent's parent, and so on to one that has none. */
import type { BlockDevice } from '../device/block-device.ts'
import { settle } from '../device/settle.ts'
import { DiskImageError, FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type ChainImage, type OpenableImage, readImage } from './chain-image.ts'
import type { ImageFile, ImageFolders } from './image-file.ts'
import { findParent, type ParentOptions } from './parent-search.ts'

/** Xen makes chains of up to 30, and Hyper-V of 50 checkpoints. Each image of one takes memory. */
export const MAX_CHAIN_LENGTH = 64

/** FAT keeps times of files in steps of two seconds. */
const TIME_STEP = 2000

/** The images that were found, and why no more were. */
export interface Chain {
  /** From the child to its base; never empty. */
  readonly images: readonly OpenableImage[]
  /** Why the last image has no parent although it needs one. */
  readonly problem: DiskImageError | undefined
  /** What is not as it should be between an image and its parent, and may do no harm. */
  readonly findings: readonly Finding[]
}

/**
 * Finds all images below the one in `file`, which holds a `format`. Throws what reading that one throws; what is wrong
 * with the others is the chain's `problem`. The files stay open: `closeChain`.
 */
export async function walkChain(
  file: ImageFile,
  format: ChainImage['format'],
  folders: ImageFolders,
  { parent, search = [] }: ParentOptions = {},
): Promise<Chain> {
  const images = [await readImage(file, format)]
  const findings: Finding[] = []
  try {
    for (let child = images[0]!; child.parent !== undefined; child = images.at(-1)!) {
      if (images.length === MAX_CHAIN_LENGTH) throw tooDeep(images[0]!)
      const known = images.length === 1 && parent !== undefined ? { parent } : {}
      const found = await findParent(child, images, folders, { ...known, search })
      images.push(found)
      findings.push(...compareTimes(child, found))
    }
    return { images, problem: undefined, findings }
  } catch (problem) {
    if (problem instanceof DiskImageError) return { images, problem, findings }
    await closeChain(images)
    throw problem
  }
}

/** What stands in for the disk of the parent `image` when its child is opened. */
export type AsParent = (disk: BlockDevice, image: ChainImage) => Promise<BlockDevice>

/** Opens the disk of a whole chain, whose files stay the chain's. `findings`: those of all images, the parents' with their paths. */
export async function openDiskOf(
  { images }: Chain,
  asParent?: AsParent,
): Promise<{ disk: BlockDevice; findings: readonly Finding[] }> {
  const [child, ...parents] = images
  const { parent, findings } = await openParents(parents, asParent)
  const disk = await child!.open(parent)
  return { disk, findings: [...disk.findings, ...findings] }
}

/** Opens the disk of `images`, the base last, as their child is to be given it; undefined when there are none. */
export async function openParents(
  images: readonly OpenableImage[],
  asParent: AsParent = async disk => disk,
): Promise<{ parent: BlockDevice | undefined; findings: readonly Finding[] }> {
  let parent: BlockDevice | undefined
  const findings: Finding[] = []
  for (const image of images.toReversed()) {
    const device = await image.open(parent)
    findings.unshift(...device.findings.map(finding => ofParent(image, finding)))
    parent = await asParent(device, image)
  }
  return { parent, findings }
}

/** Closes the files of all images, also when one of them cannot be closed. */
export async function closeChain(images: readonly OpenableImage[]): Promise<void> {
  await settle(images.map(({ file }) => file.device.close()))
}

const ofParent = ({ path }: ChainImage, finding: Finding): Finding => ({
  ...finding,
  message: `in the parent ${path}: ${finding.message}`,
  details: { ...finding.details, path },
})

/** The only sign that the parent of a VHD was written to, and copying a file gives it. */
function compareTimes({ path, parent: link }: ChainImage, { path: name, modified }: ChainImage): Finding[] {
  if (link?.modified === undefined || modified === undefined) return []
  if (Math.abs(link.modified.getTime() - modified.getTime()) <= TIME_STEP) return []
  const [expected, actual] = [link.modified.toISOString(), modified.toISOString()]
  const message = `${path} was made when its parent ${name} was last changed ${expected}, and that is now ${actual}. If it was only copied, all is well; if it was written to, the disk is not what it was`
  return [{ code: 'PARENT_TIMESTAMP', message, details: { child: path, parent: name, expected, actual } }]
}

const tooDeep = ({ path }: ChainImage) =>
  new FormatError('CHAIN_TOO_DEEP', `${path} has more than ${MAX_CHAIN_LENGTH - 1} parents one behind the other`, {
    path,
    limit: MAX_CHAIN_LENGTH,
  })
