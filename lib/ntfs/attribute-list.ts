/** The attribute list of a file that needs more than one record. spec-notes/ntfs.md, Attribute list. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { formatError } from '../errors.ts'
import type { Attribute } from './attribute.ts'
import { AttributeReader } from './attribute-reader.ts'
import type { Geometry } from './boot-sector.ts'
import { attributeListEntry, type FileReference } from './format.ts'

export interface AttributeListEntry {
  readonly type: number
  readonly name: string
  readonly lowestVcn: number
  /** The record that holds the attribute: the base record or an extension record. */
  readonly reference: FileReference
}

/** Windows stops at 256 KiB. */
const MAX_ATTRIBUTE_LIST_SIZE = MiB

/** The entries of an attribute list's `value`, as they come. Throws FormatError (NTFS_ATTRIBUTE_LIST, TRUNCATED). */
export function decodeAttributeList(value: Buffer, position: number): AttributeListEntry[] {
  const entries: AttributeListEntry[] = []
  for (let at = 0; at < value.length; ) {
    const { type, length, nameLength, nameOffset, lowestVcn, reference } = attributeListEntry.decode(
      value,
      at,
      position,
    )
    const check = (field: string, actual: number, most: number) => {
      if (actual >= attributeListEntry.size && actual <= most) return
      const structure = attributeListEntry.name
      const expected = `from ${attributeListEntry.size} to ${most}`
      throw formatError('NTFS_ATTRIBUTE_LIST', {
        structure,
        field,
        position: position + at,
        expected,
        actual: `${actual}`,
      })
    }
    check('length', length, value.length - at)
    if (nameLength > 0) check('nameLength', nameOffset + 2 * nameLength, length)
    const name = value.toString('utf16le', at + nameOffset, at + nameOffset + 2 * nameLength)
    entries.push({ type, name, lowestVcn, reference })
    at += length
  }
  return entries
}

/** Reads the attribute list that `attribute` of a base record holds. Throws FormatError. */
export async function readAttributeList(
  volume: BlockDevice,
  geometry: Geometry,
  attribute: Attribute,
): Promise<AttributeListEntry[]> {
  if (attribute.resident) return decodeAttributeList(attribute.value, attribute.position)
  const reader = new AttributeReader(volume, geometry, [attribute])
  if (reader.size > MAX_ATTRIBUTE_LIST_SIZE) {
    throw formatError('NTFS_ATTRIBUTE_LIST', {
      structure: 'NTFS attribute list',
      field: 'dataSize',
      position: attribute.position,
      expected: `at most ${MAX_ATTRIBUTE_LIST_SIZE}`,
      actual: `${reader.size}`,
    })
  }
  const value = Buffer.alloc(reader.size)
  await reader.read(0, value)
  return decodeAttributeList(value, reader.positionOf(0) ?? attribute.position)
}
