/** Security descriptors as text, in the language that Windows' own tools speak, [MS-DTYP] 2.5.1. */
import { hex, UnsupportedError } from '../errors.ts'
import { conditionText } from './conditional-expression.ts'
import { SecurityControl } from './format.ts'
import { resourceAttributeText } from './resource-attribute.ts'
import type { AccessControlEntry, AccessControlList, SecurityDescriptor } from './security-descriptor.ts'
import { sidText } from './sid-alias.ts'

/**
 * Such as `O:BAG:SYD:PAI(A;OICI;FA;;;SY)`. Throws UnsupportedError (NTFS_SDDL) for entries of other kinds, FormatError
 * (NTFS_SECURITY_DESCRIPTOR) for a condition that is damaged.
 */
export function formatSddl(descriptor: SecurityDescriptor): string {
  const { control, owner, group, sacl, dacl } = descriptor
  return [
    owner === undefined ? '' : `O:${sidText(owner)}`,
    group === undefined ? '' : `G:${sidText(group)}`,
    listText('D', control, DACL_FLAGS, dacl),
    listText('S', control, SACL_FLAGS, sacl),
  ].join('')
}

/** Bits and their letters, in the order in which they are written. */
type Letters = readonly (readonly [bit: number, letters: string])[]

const DACL_FLAGS: Letters = [
  [SecurityControl.daclProtected, 'P'],
  [SecurityControl.daclAutoInheritRequired, 'AR'],
  [SecurityControl.daclAutoInherited, 'AI'],
]
const SACL_FLAGS: Letters = [
  [SecurityControl.saclProtected, 'P'],
  [SecurityControl.saclAutoInheritRequired, 'AR'],
  [SecurityControl.saclAutoInherited, 'AI'],
]
const ACE_FLAGS: Letters = [
  [0x01, 'OI'],
  [0x02, 'CI'],
  [0x04, 'NP'],
  [0x08, 'IO'],
  [0x10, 'ID'],
  [0x20, 'CR'],
  [0x40, 'SA'],
  [0x80, 'FA'],
]
const RIGHTS: Letters = [
  [0x0000_0001, 'CC'],
  [0x0000_0002, 'DC'],
  [0x0000_0004, 'LC'],
  [0x0000_0008, 'SW'],
  [0x0000_0010, 'RP'],
  [0x0000_0020, 'WP'],
  [0x0000_0040, 'DT'],
  [0x0000_0080, 'LO'],
  [0x0000_0100, 'CR'],
  [0x0001_0000, 'SD'],
  [0x0002_0000, 'RC'],
  [0x0004_0000, 'WD'],
  [0x0008_0000, 'WO'],
  [0x1000_0000, 'GA'],
  [0x2000_0000, 'GX'],
  [0x4000_0000, 'GW'],
  [0x8000_0000, 'GR'],
]
/** Of a mandatory label: who may not do what with what is above him. */
const LABEL_RIGHTS: Letters = [
  [0x1, 'NW'],
  [0x2, 'NR'],
  [0x4, 'NX'],
]
/** Sets of rights that have a name of their own. */
const WHOLE_RIGHTS: ReadonlyMap<number, string> = new Map([
  [0x001f_01ff, 'FA'],
  [0x0012_0089, 'FR'],
  [0x0012_0116, 'FW'],
  [0x0012_00a0, 'FX'],
  [0x000f_003f, 'KA'],
  [0x0002_0019, 'KR'],
  [0x0002_0006, 'KW'],
])

/** Entries with a condition: CALLBACK is in their names. */
const CONDITIONAL: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0b, 0x0d])
const MANDATORY_LABEL = 0x11
const RESOURCE_ATTRIBUTE = 0x12
const TYPES: ReadonlyMap<number, string> = new Map([
  [0x00, 'A'],
  [0x01, 'D'],
  [0x02, 'AU'],
  [0x03, 'AL'],
  [0x05, 'OA'],
  [0x06, 'OD'],
  [0x07, 'OU'],
  [0x08, 'OL'],
  [0x09, 'XA'],
  [0x0a, 'XD'],
  [0x0b, 'ZA'],
  [0x0d, 'XU'],
  [MANDATORY_LABEL, 'ML'],
  [RESOURCE_ATTRIBUTE, 'RA'],
  [0x13, 'SP'],
  [0x14, 'TL'],
])

function listText(letter: string, control: number, flags: Letters, list: AccessControlList | undefined): string {
  if (list === undefined) return ''
  const entries = list === null ? 'NO_ACCESS_CONTROL' : list.map(entryText).join('')
  return `${letter}:${lettersOf(control, flags)}${entries}`
}

function entryText(entry: AccessControlEntry): string {
  const { type, flags, mask, objectType = '', inheritedObjectType = '', sid, data, dataPosition } = entry
  const letters = TYPES.get(type)
  if (letters === undefined) {
    throw new UnsupportedError('NTFS_SDDL', `an access control entry of type ${hex(type)} is not put into words`, {
      type,
    })
  }
  const rights =
    type === MANDATORY_LABEL ? rightsText(mask, LABEL_RIGHTS) : (WHOLE_RIGHTS.get(mask) ?? rightsText(mask, RIGHTS))
  const fields = [letters, lettersOf(flags, ACE_FLAGS), rights, objectType, inheritedObjectType, sidText(sid)]
  if (CONDITIONAL.has(type)) fields.push(conditionText(data, dataPosition))
  if (type === RESOURCE_ATTRIBUTE) fields.push(resourceAttributeText(data, dataPosition))
  return `(${fields.join(';')})`
}

/** A number, unless there are letters for every bit. */
function rightsText(mask: number, rights: Letters): string {
  const known = rights.reduce((sum, [bit]) => ((mask & bit) === 0 ? sum : sum + bit), 0)
  return known === mask ? lettersOf(mask, rights) : hex(mask)
}

const lettersOf = (bits: number, letters: Letters) =>
  letters
    .filter(([bit]) => (bits & bit) !== 0)
    .map(([, text]) => text)
    .join('')
