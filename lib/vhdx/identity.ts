/** Who an image is and whose child: what a chain of images is built from. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Header } from './format.ts'
import type { Metadata } from './metadata.ts'
import { readSoundStructures } from './structures.ts'

/** What an image says of itself. */
export interface VhdxIdentity {
  /** The current header. Children know the image by its `dataWriteGuid`. */
  readonly header: Header
  /** With the parent locator of a differencing image. */
  readonly metadata: Metadata
}

/** Reads the structures of `file`, of a differencing image too, whose parent is not needed. Throws as opening the image would. */
export async function readVhdxIdentity(file: BlockDevice): Promise<VhdxIdentity> {
  const { headers, metadataRegion } = await readSoundStructures(file)
  return { header: headers.current.header, metadata: metadataRegion.metadata }
}
