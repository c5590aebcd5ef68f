/** The volume's own table of capital letters, by which names are compared. spec-notes/ntfs.md, $UpCase. */
import { formatError } from '../errors.ts'
import { unicodeUpcase } from '../volume/letter-case.ts'
import { AttributeType } from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'

/** One entry for each UTF-16 unit. */
const UNITS = 0x10000

export class UpcaseTable {
  readonly #table: Uint16Array

  constructor(table: Uint16Array) {
    this.#table = table
  }

  /**
   * Reads the content of $UpCase. Throws FormatError (NTFS_UPCASE) unless it has its one size and knows ASCII: a table
   * that does not would take one name for another.
   */
  static async read(file: NtfsFile): Promise<UpcaseTable> {
    const check = (holds: boolean, expected: string, actual: string) => {
      const structure = 'NTFS $UpCase'
      if (!holds) throw formatError('NTFS_UPCASE', { structure, position: file.base.position, expected, actual })
    }
    const reader = file.reader(AttributeType.data)
    const size = reader?.size ?? 0
    check(size === 2 * UNITS, `${2 * UNITS} bytes long`, `${size} bytes long`)
    const table = new Uint16Array(UNITS)
    await reader!.read(0, Buffer.from(table.buffer))
    for (let unit = 0; unit < 0x80; unit++) {
      const capital = String.fromCharCode(unit).toUpperCase().charCodeAt(0)
      check(table[unit] === capital, `a table that gives ${capital} for ${unit}`, `one that gives ${table[unit]}`)
    }
    return new UpcaseTable(table)
  }

  /** What JavaScript knows of capitals, where they are one unit. */
  static ofUnicode(): UpcaseTable {
    return new UpcaseTable(unicodeUpcase())
  }

  /**
   * Below 0 when `a` comes before `b` in a directory, above 0 when after, 0 when they differ in case only. Unit by unit,
   * not by letters: no locale, no change of length.
   */
  compare(a: string, b: string): number {
    const shared = Math.min(a.length, b.length)
    for (let i = 0; i < shared; i++) {
      const difference = this.#table[a.charCodeAt(i)]! - this.#table[b.charCodeAt(i)]!
      if (difference !== 0) return difference
    }
    return a.length - b.length
  }
}
