/** The metadata items that belong to the disk and not to the file, [MS-VHDX] 2.6.1.2: a child has those of its parent. */
import { formatSize, KiB } from '../binary/size.ts'
import { UnsupportedError } from '../errors.ts'
import { IS_REQUIRED, IS_USER, IS_VIRTUAL_DISK } from './format.ts'
import type { SoundStructures } from './structures.ts'

/** A metadata item, wherever it lies. */
export interface ItemContent {
  readonly itemId: string
  /** As in its entry of the table. */
  readonly flags: number
  readonly data: Buffer
}

/** The metadata region that Windows gives an image has 1 MiB, and holds the locator and the user's own items too. */
const MAX_SIZE = 256 * KiB

/**
 * The items of the disk in an image, those this library does not know and the user's among them, in the order of its
 * table. Throws UnsupportedError (DISK_ITEMS_TOO_LARGE) when no other image has room for them.
 */
export async function readVirtualDiskItems({ file, metadataRegion }: SoundStructures): Promise<ItemContent[]> {
  const items: ItemContent[] = []
  const own = metadataRegion.items.filter(({ isVirtualDisk }) => isVirtualDisk)
  const size = own.reduce((sum, { length }) => sum + length, 0)
  if (size > MAX_SIZE) {
    const message = `the metadata items of the disk have ${formatSize(size)}: more than ${formatSize(MAX_SIZE)} are not copied to another image`
    throw new UnsupportedError('DISK_ITEMS_TOO_LARGE', message, { size })
  }
  for (const { itemId, isUser, isRequired, offset, length } of own) {
    const data = Buffer.alloc(length)
    await file.read(offset, data)
    const flags = IS_VIRTUAL_DISK + (isUser ? IS_USER : 0) + (isRequired ? IS_REQUIRED : 0)
    items.push({ itemId, flags, data })
  }
  return items
}
