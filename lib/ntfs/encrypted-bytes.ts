/** What lies on the volume of a stream that is encrypted. spec-notes/ntfs.md, Encrypted content. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Attribute } from './attribute.ts'
import { AttributeReader } from './attribute-reader.ts'
import type { Geometry } from './boot-sector.ts'
import { AttributeFlag } from './format.ts'

/** Bytes that are encrypted together. */
const SECTOR = 512

/**
 * The ciphertext of a stream, for those who have its key: whole sectors of 512 bytes, up to the one with the last byte of the content.
 * Those never written are zeros, as they are in the content. The key is in the file's attribute $EFS.
 * Throws FormatError (NTFS_RUN_LIST).
 */
export const encryptedBytes = (
  volume: BlockDevice,
  geometry: Geometry,
  [first, ...rest]: readonly [Attribute, ...Attribute[]],
) => new AttributeReader(volume, geometry, [asPlain(first), ...rest.map(asPlain)])

const asPlain = (attribute: Attribute): Attribute => {
  const flags = attribute.flags & ~AttributeFlag.encrypted
  if (attribute.resident) return { ...attribute, flags }
  const { dataSize, initializedSize } = attribute
  return { ...attribute, flags, dataSize: wholeSectors(dataSize), initializedSize: wholeSectors(initializedSize) }
}

const wholeSectors = (size: number) => Math.ceil(size / SECTOR) * SECTOR
