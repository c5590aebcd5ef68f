/** Who an image is and whose child: what a chain of images is built from. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Finding } from '../finding.ts'
import type { Header } from './format.ts'
import type { Metadata } from './metadata.ts'
import { readSoundStructures } from './structures.ts'

/** What an image says of itself. */
export interface VhdxIdentity {
  /** Who made the file, by its own word. */
  readonly creator: string
  /** The current header. Children know the image by its `dataWriteGuid`. */
  readonly header: Header
  /** With the parent locator of a differencing image. */
  readonly metadata: Metadata
  readonly log: 'clean' | 'replayed'
  /** What is not as it should be and did no harm. */
  readonly findings: readonly Finding[]
}

/** Reads the structures of `file`, of a differencing image too, whose parent is not needed. Throws as opening the image would. */
export async function readVhdxIdentity(file: BlockDevice): Promise<VhdxIdentity> {
  const { creator, headers, metadataRegion, log, problems } = await readSoundStructures(file)
  return { creator, header: headers.current.header, metadata: metadataRegion.metadata, log, findings: problems }
}
