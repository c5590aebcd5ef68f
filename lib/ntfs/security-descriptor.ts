/** Security descriptors in their self-relative form, [MS-DTYP] 2.4.6: who owns a file, and who may do what with it. */
import { guid } from '../binary/fields.ts'
import { formatError } from '../errors.ts'
import { aceHeader, aclHeader, SecurityControl, securityDescriptorHeader } from './format.ts'
import { decodeSid, sidSize } from './sid.ts'

/** An access control entry, [MS-DTYP] 2.4.4. */
export interface AccessControlEntry {
  readonly type: number
  readonly flags: number
  readonly mask: number
  /** GUIDs, which only entries about objects of a directory service have. */
  readonly objectType: string | undefined
  readonly inheritedObjectType: string | undefined
  readonly sid: string
  /** What follows the SID, a condition or a resource attribute, and where it lies on the volume. */
  readonly data: Buffer
  readonly dataPosition: number
}

/** An access control list; null where there is one that is empty in another way: everybody may do everything. */
export type AccessControlList = readonly AccessControlEntry[] | null

export interface SecurityDescriptor {
  readonly control: number
  readonly owner: string | undefined
  readonly group: string | undefined
  /** Undefined where there is none. */
  readonly sacl: AccessControlList | undefined
  readonly dacl: AccessControlList | undefined
}

/** Types of entries that have GUIDs: ACCESS_ALLOWED_OBJECT and the like, [MS-DTYP] 2.4.4.1. */
const OBJECT_TYPES: ReadonlySet<number> = new Set([0x05, 0x06, 0x07, 0x08, 0x0b, 0x0c, 0x0f, 0x10])
const ObjectFlag = { objectType: 1, inheritedObjectType: 2 } as const

/** Decodes the descriptor in `bytes`, which lie at byte `position`. Throws FormatError (NTFS_SECURITY_DESCRIPTOR, TRUNCATED). */
export function decodeSecurityDescriptor(bytes: Buffer, position: number): SecurityDescriptor {
  const { control, ownerOffset, groupOffset, saclOffset, daclOffset } = securityDescriptorHeader.decode(
    bytes,
    0,
    position,
  )
  const sid = (offset: number) => (offset === 0 ? undefined : decodeSid(bytes, offset, position))
  const list = (present: number, offset: number) => {
    if ((control & present) === 0) return undefined
    return offset === 0 ? null : decodeList(bytes, offset, position)
  }
  return {
    control,
    owner: sid(ownerOffset),
    group: sid(groupOffset),
    sacl: list(SecurityControl.saclPresent, saclOffset),
    dacl: list(SecurityControl.daclPresent, daclOffset),
  }
}

function decodeList(bytes: Buffer, at: number, position: number): AccessControlEntry[] {
  const { size, aceCount } = aclHeader.decode(bytes, at, position)
  if (size < aclHeader.size || at + size > bytes.length) throw damaged(aclHeader.name, position + at, size)
  const list = bytes.subarray(0, at + size)
  const entries: AccessControlEntry[] = []
  for (let place = at + aclHeader.size; entries.length < aceCount; ) {
    const header = aceHeader.decode(list, place, position)
    if (header.size < aceHeader.size || place + header.size > list.length) {
      throw damaged(aceHeader.name, position + place, header.size)
    }
    entries.push(decodeEntry(list.subarray(0, place + header.size), place, position))
    place += header.size
  }
  return entries
}

function decodeEntry(bytes: Buffer, at: number, position: number): AccessControlEntry {
  const { type, flags, mask } = aceHeader.decode(bytes, at, position)
  let next = at + aceHeader.size
  let objectFlags = 0
  if (OBJECT_TYPES.has(type)) {
    if (next + 4 > bytes.length) throw damaged(aceHeader.name, position + at, bytes.length - at)
    objectFlags = bytes.readUInt32LE(next)
    next += 4
  }
  const readGuid = (flag: number) => {
    if ((objectFlags & flag) === 0) return undefined
    if (next + guid.span > bytes.length) throw damaged(aceHeader.name, position + at, bytes.length - at)
    next += guid.span
    return guid.decode(bytes, next - guid.span)
  }
  const objectType = readGuid(ObjectFlag.objectType)
  const inheritedObjectType = readGuid(ObjectFlag.inheritedObjectType)
  const sid = decodeSid(bytes, next, position)
  const dataAt = next + sidSize(bytes, next, position)
  const [data, dataPosition] = [bytes.subarray(dataAt), position + dataAt]
  return { type, flags, mask, objectType, inheritedObjectType, sid, data, dataPosition }
}

const damaged = (structure: string, position: number, size: number) =>
  formatError('NTFS_SECURITY_DESCRIPTOR', {
    structure,
    field: 'size',
    position,
    expected: 'inside its structure',
    actual: `${size}`,
  })
