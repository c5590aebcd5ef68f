/** Reads structures from a file that may be damaged: what is wrong is noted, and the reading goes on where it can. */
import { crc32cWithout } from '../binary/crc32c.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { FormatError, hex } from '../errors.ts'
import { type Breach, type Problem, problem, type RuleCode } from './rules.ts'

/** What is used of a `Struct` whose value is a `T`. */
export interface Decodable<T> {
  readonly name: string
  readonly size: number
  decode(bytes: Buffer, at: number, position: number): T
  offsetOf(field: keyof T & string): number
}

/** What is used of a `Struct` with a signature and a checksum. */
export interface Checksummed {
  matches(bytes: Buffer): boolean
  offsetOf(field: 'checksum'): number
}

/** What makes header and region table invalid: signature or checksum over all of `bytes`, and nothing else. */
export function flawOf(structure: Checksummed, bytes: Buffer): Omit<Breach, 'structure' | 'position'> | undefined {
  if (!structure.matches(bytes)) {
    return { field: 'signature', expected: 'that of the structure', actual: `0x${bytes.toString('hex', 0, 4)}` }
  }
  const offset = structure.offsetOf('checksum')
  const [expected, actual] = [crc32cWithout(bytes, offset), bytes.readUInt32LE(offset)]
  return expected === actual ? undefined : { field: 'checksum', expected: hex(expected), actual: hex(actual) }
}

/** A file, and the list of what was found wrong in it, in the order it was found. */
export class StructureReader {
  readonly file: BlockDevice
  readonly problems: Problem[]

  constructor(file: BlockDevice, problems: Problem[] = []) {
    this.file = file
    this.problems = problems
  }

  report(code: RuleCode, breach: Breach): void {
    this.problems.push(problem(code, breach))
  }

  /** The bytes of `structure`, or undefined and a problem when the file ends before they do. The caller bounds the length. */
  async read(structure: string, range: Range): Promise<Buffer | undefined> {
    const missing = endOf(range) - this.file.size
    if (missing > 0) {
      this.report('TRUNCATED', {
        structure,
        position: range.offset,
        expected: `${range.length} bytes`,
        actual: `cut short by the end of the file at byte ${this.file.size}`,
      })
      return undefined
    }
    const bytes = Buffer.alloc(range.length)
    await this.file.read(range.offset, bytes)
    return bytes
  }

  /** The structure at `at` of `bytes`, which lie at byte `position`; undefined and a problem for a number no file can have. */
  decode<T>(structure: Decodable<T>, bytes: Buffer, at: number, position: number): T | undefined {
    try {
      return structure.decode(bytes, at, position)
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      this.report('NUMBER_TOO_LARGE', {
        structure: structure.name,
        field: String(error.details.field),
        position: Number(error.details.position),
        expected: 'less than 2^53',
        actual: 'more',
      })
      return undefined
    }
  }
}
