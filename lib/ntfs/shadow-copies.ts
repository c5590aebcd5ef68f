/** Old shadow copies: the files they are kept in, and where the volume says that they are. spec-notes/ntfs.md, Shadow copies. */
import { KiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { shadowVolumeHeader } from './format.ts'

const SHADOW_GUID = '3808876b-c176-4e48-b7ae-04046e6cc752'
const HEADER_OFFSET = 0x1e00

/** The catalog has the one GUID for its name, and each store its own before that. */
const FILE_NAME = new RegExp(`^(\\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\})?\\{${SHADOW_GUID}\\}$`, 'i')

export const SHADOW_FOLDER = 'System Volume Information'

/** Whether a file in SHADOW_FOLDER belongs to shadow copies. */
export const isShadowFile = (name: string) => FILE_NAME.test(name)

export interface ShadowCatalog {
  /** Byte of the volume where the catalog begins; 0 when there is none. */
  readonly offset: number
  /** Byte of the volume where that offset stands, in 8 bytes. */
  readonly position: number
}

/** What the volume's VSS header says; undefined when there is no such header. Throws FormatError (NUMBER_TOO_LARGE). */
export async function readShadowCatalog(volume: BlockDevice): Promise<ShadowCatalog | undefined> {
  if (volume.size < 8 * KiB) return undefined
  const bytes = Buffer.alloc(shadowVolumeHeader.size)
  await volume.read(HEADER_OFFSET, bytes)
  const header = shadowVolumeHeader.decode(bytes, 0, HEADER_OFFSET)
  if (header.identifier !== SHADOW_GUID) return undefined
  return { offset: header.catalogOffset, position: HEADER_OFFSET + shadowVolumeHeader.offsetOf('catalogOffset') }
}
