/** Numbers and names by which a file is known in other places. spec-notes/ntfs.md, Details. */
import { KiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { formatError } from '../errors.ts'
import {
  AttributeType,
  extendedAttribute,
  objectId,
  objectIdBirth,
  standardInformation,
  standardInformationOwner,
} from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'

export type Identifiers = Readonly<Record<string, string | number | bigint>>

/** All extended attributes of a file together have 64 KiB at most, [MS-FSCC] 2.4.15. */
const MAX_EA_SIZE = 64 * KiB

export function recordIdentifiers({ base, records }: NtfsFile): Identifiers {
  const [, ...extensions] = records
  return {
    'sequence number': base.sequence,
    'link count': base.linkCount,
    ...(extensions.length > 0 && { 'extension records': extensions.map(({ number }) => number).join(', ') }),
  }
}

/** What has a value of 0 is not there. Throws FormatError (TRUNCATED). */
export function standardIdentifiers(file: NtfsFile): Identifiers {
  const owner = ownerOf(file)
  if (owner === undefined) return {}
  const { ownerId, securityId, quotaCharged, usn } = owner
  return {
    ...(ownerId !== 0 && { 'owner id': ownerId }),
    ...(securityId !== 0 && { 'security id': securityId }),
    ...(quotaCharged !== 0n && { 'quota charged': quotaCharged }),
    ...(usn !== 0n && { usn }),
  }
}

/** The number of its security descriptor in $Secure; 0 where it has none there. */
export const securityIdOf = (file: NtfsFile) => ownerOf(file)?.securityId ?? 0

/** Undefined before NTFS 3.0. */
function ownerOf(file: NtfsFile) {
  const [attribute] = file.find(AttributeType.standardInformation)
  const value = attribute?.resident ? attribute.value : undefined
  const least = standardInformation.size + standardInformationOwner.size
  if (value === undefined || value.length < least) return undefined
  return standardInformationOwner.decode(value, standardInformation.size, attribute!.position)
}

/** Throws FormatError (TRUNCATED). */
export function objectIdentifiers(file: NtfsFile): Identifiers {
  const [attribute] = file.find(AttributeType.objectId)
  if (!attribute?.resident) return {}
  const { value, position } = attribute
  const { object } = objectId.decode(value, 0, position)
  if (value.length < objectId.size + objectIdBirth.size) return { 'object id': object }
  const birth = objectIdBirth.decode(value, objectId.size, position)
  return {
    'object id': object,
    'birth volume id': birth.volume,
    'birth object id': birth.object,
    'domain id': birth.domain,
  }
}

/** Names of the extended attributes, with the sizes of their values. Throws FormatError (NTFS_EA, TRUNCATED). */
export async function extendedAttributes(file: NtfsFile): Promise<Identifiers> {
  const content = file.reader(AttributeType.ea)
  if (content === undefined) return {}
  const position = content.positionOf(0) ?? file.base.position
  const bytes = await readWhole(content, MAX_EA_SIZE, position)
  const found: Record<string, string> = {}
  for (let at = 0; at < bytes.length; ) {
    const { next, nameLength, valueLength } = extendedAttribute.decode(bytes, at, position)
    const end = at + extendedAttribute.size + nameLength
    if (end > bytes.length || (next !== 0 && next < extendedAttribute.size)) {
      throw formatError('NTFS_EA', {
        structure: extendedAttribute.name,
        position: position + at,
        expected: `inside of ${bytes.length} bytes`,
        actual: `one with a name of ${nameLength} bytes and the next ${next} bytes further`,
      })
    }
    found[`ea ${bytes.toString('latin1', at + extendedAttribute.size, end)}`] = `${valueLength} bytes`
    if (next === 0) break
    at += next
  }
  return found
}

/** All of `content`, which lies at byte `position`. Throws FormatError (NTFS_TOO_LARGE) when that is more than `most` bytes. */
export async function readWhole(content: BlockDevice, most: number, position: number): Promise<Buffer> {
  if (content.size > most) {
    throw formatError('NTFS_TOO_LARGE', {
      structure: 'NTFS attribute',
      field: 'size',
      position,
      expected: `at most ${most}`,
      actual: `${content.size}`,
    })
  }
  const bytes = Buffer.alloc(content.size)
  await content.read(0, bytes)
  return bytes
}
