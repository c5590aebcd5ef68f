/** What a new differencing image takes over from its parent. */
import type { BlockDevice } from '../device/block-device.ts'
import { type Metadata, metadataItemName } from './metadata.ts'
import { readSoundStructures } from './structures.ts'
import { type ItemContent, readVirtualDiskItems } from './virtual-disk-items.ts'

/** An image that others can be children of. */
export interface ParentImage {
  /** What its children know it by. */
  readonly dataWriteGuid: string
  readonly metadata: Metadata
  /** The items of its disk that `metadata` does not tell of. */
  readonly diskItems: readonly ItemContent[]
}

/** Reads the image in `file`, whose own parent is not needed. Throws as opening the image would. */
export async function readParentImage(file: BlockDevice): Promise<ParentImage> {
  const structures = await readSoundStructures(file)
  const { headers, metadataRegion } = structures
  const known = metadataRegion.items.filter(item => metadataItemName(item) !== undefined).map(({ itemId }) => itemId)
  const items = await readVirtualDiskItems(structures)
  return {
    dataWriteGuid: headers.current.header.dataWriteGuid,
    metadata: metadataRegion.metadata,
    diskItems: items.filter(({ itemId }) => !known.includes(itemId)),
  }
}
