/** The volume's own table of capital letters, by which names are compared. spec-notes/ntfs.md, $UpCase. */
import { formatError } from '../errors.ts'
import { AttributeType } from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'

/** One entry for each UTF-16 unit. */
const UNITS = 0x10000

export class UpcaseTable {
  readonly #table: Uint16Array

  constructor(table: Uint16Array) {
    this.#table = table
  }

  /** Reads the content of $UpCase. Throws FormatError (NTFS_UPCASE) unless it has its one size. */
  static async read(file: NtfsFile): Promise<UpcaseTable> {
    const reader = file.reader(AttributeType.data)
    if (reader?.size !== 2 * UNITS) {
      throw formatError('NTFS_UPCASE', {
        structure: '$UpCase',
        position: file.base.position,
        expected: `${2 * UNITS} bytes long`,
        actual: `${reader?.size ?? 0} bytes long`,
      })
    }
    const table = new Uint16Array(UNITS)
    await reader.read(0, Buffer.from(table.buffer))
    return new UpcaseTable(table)
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
