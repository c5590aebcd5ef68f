/** Security identifiers, [MS-DTYP] 2.4.2: who somebody is. */
import { formatError } from '../errors.ts'

/** SID_MAX_SUB_AUTHORITIES. */
const MAX_SUB_AUTHORITIES = 15
const HEADER_SIZE = 8

/** Bytes of the SID at `at` of `bytes`, which lie at byte `position`. Throws FormatError (NTFS_SECURITY_DESCRIPTOR). */
export function sidSize(bytes: Buffer, at: number, position: number): number {
  const count = at + HEADER_SIZE <= bytes.length ? bytes[at + 1]! : -1
  const size = HEADER_SIZE + 4 * count
  if (count >= 0 && count <= MAX_SUB_AUTHORITIES && bytes[at] === 1 && at + size <= bytes.length) return size
  throw formatError('NTFS_SECURITY_DESCRIPTOR', {
    structure: 'security identifier',
    position: position + at,
    expected: `revision 1 with at most ${MAX_SUB_AUTHORITIES} parts, inside its structure`,
    actual: count < 0 ? 'cut off' : `revision ${bytes[at]} with ${count} parts`,
  })
}

/** Such as S-1-5-32-544. Throws FormatError (NTFS_SECURITY_DESCRIPTOR). */
export function decodeSid(bytes: Buffer, at: number, position: number): string {
  const end = at + sidSize(bytes, at, position)
  const authority = bytes.readUIntBE(at + 2, 6)
  const parts = ['S', '1', authority < 2 ** 32 ? `${authority}` : `0x${authority.toString(16).padStart(12, '0')}`]
  for (let part = at + HEADER_SIZE; part < end; part += 4) parts.push(`${bytes.readUInt32LE(part)}`)
  return parts.join('-')
}
