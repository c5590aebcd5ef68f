/** What somebody calls a file by, such as confidential, [MS-DTYP] 2.4.10.1, as SDDL writes it, [MS-DTYP] 2.5.1.1. */
import { formatError, hex } from '../errors.ts'
import { claimAttribute } from './format.ts'
import { decodeSid } from './sid.ts'
import { sidText } from './sid-alias.ts'

/** Bytes that count those behind them. */
const LENGTH_SIZE = 4
const NUMBER_SIZE = 8
/** Letters of text that a byte can become: a SID of few bytes has many digits. */
const LONGEST_PER_BYTE = 4

/** The attribute in the `data` of an entry, which lies at byte `position`, such as `("Project",TS,0x0,"Windows","SQL")`. Throws FormatError. */
export function resourceAttributeText(data: Buffer, position: number): string {
  const fail = (field: string, actual: number): never => {
    const place = { structure: claimAttribute.name, field, position }
    throw formatError('NTFS_SECURITY_DESCRIPTOR', { ...place, expected: 'inside of its entry', actual: `${actual}` })
  }
  const piece = (at: number, length: number) =>
    at + length <= data.length ? data.subarray(at, at + length) : fail('value', at)
  const text = (at: number) => {
    let end = at
    while (piece(end, 2).readUInt16LE() !== 0) end += 2
    return `"${data.toString('utf16le', at, end)}"`
  }
  const counted = (at: number) => piece(at + LENGTH_SIZE, piece(at, LENGTH_SIZE).readUInt32LE())
  const types: Readonly<Record<number, readonly [letters: string, read: (at: number) => string]>> = {
    1: ['TI', at => `${piece(at, NUMBER_SIZE).readBigInt64LE()}`],
    2: ['TU', at => `${piece(at, NUMBER_SIZE).readBigUInt64LE()}`],
    3: ['TS', text],
    5: ['TD', at => sidText(decodeSid(counted(at), 0, position + at))],
    6: ['TB', at => `${piece(at, NUMBER_SIZE).readBigUInt64LE()}`],
    16: ['TX', at => counted(at).toString('hex')],
  }
  const { nameOffset, valueType, flags, valueCount } = claimAttribute.decode(data, 0, position)
  const [letters, read] = types[valueType] ?? fail('valueType', valueType)
  const values: string[] = []
  for (let length = 0; values.length < valueCount; ) {
    const value = read(piece(claimAttribute.size + values.length * LENGTH_SIZE, LENGTH_SIZE).readUInt32LE())
    values.push(value)
    length += value.length
    // Values that lie in one another could be as long as one likes.
    if (length > LONGEST_PER_BYTE * data.length) fail('valueCount', valueCount)
  }
  return `(${[text(nameOffset), letters, hex(flags), ...values].join(',')})`
}
