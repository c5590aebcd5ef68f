/** The volume's own table of capital letters, by which names are compared. spec-notes/exfat.md, "Up-case table". */
import type { BlockDevice } from '../device/block-device.ts'
import { formatError, hex } from '../errors.ts'
import type { UpcaseTable } from '../volume/letter-case.ts'

/** One for each UTF-16 unit. */
const UNITS = 0x10000
/** Stands in front of how many units are their own capitals. */
const SAME = 0xffff
const ASCII = 0x80

/** The table in `content`, which lies at byte `position`. Throws FormatError (EXFAT_UPCASE_BAD). */
export async function readUpcaseTable(content: BlockDevice, checksum: number, position: number): Promise<UpcaseTable> {
  const demand = (holds: boolean, expected: string, actual: string) => {
    if (holds) return
    throw formatError('EXFAT_UPCASE_BAD', { structure: 'exFAT up-case table', position, expected, actual })
  }
  const { size } = content
  demand(
    size > 0 && size <= 2 * UNITS && size % 2 === 0,
    `an even number of bytes up to ${2 * UNITS}`,
    `${size} bytes long`,
  )
  const stored = Buffer.alloc(size)
  await content.read(0, stored)
  const sum = tableChecksum(stored)
  demand(sum === checksum, `one with the checksum ${hex(checksum)}`, `one with ${hex(sum)}`)
  const table = expand(stored)
  for (let unit = 0; unit < ASCII; unit++) {
    const capital = String.fromCharCode(unit).toUpperCase().charCodeAt(0)
    demand(table[unit] === capital, `a table that gives ${capital} for ${unit}`, `one that gives ${table[unit]}`)
  }
  return table
}

/** 7.2.2, "TableChecksum Field". */
function tableChecksum(bytes: Buffer): number {
  let sum = 0
  for (const byte of bytes) sum = (((sum << 31) | (sum >>> 1)) + byte) >>> 0
  return sum
}

/** 7.2.5, "Up-case Table": units in order; 0xFFFF and a number stand for so many that are their own capitals. */
function expand(stored: Buffer): UpcaseTable {
  const table = Uint16Array.from({ length: UNITS }, (_, unit) => unit)
  let unit = 0
  for (let at = 0; at < stored.length && unit < UNITS; at += 2) {
    const value = stored.readUInt16LE(at)
    if (value === SAME && at + 2 < stored.length) {
      at += 2
      unit += stored.readUInt16LE(at)
    } else table[unit++] = value
  }
  return table
}
