/** The conditions of access control entries, [MS-DTYP] 2.4.4.17.4, as SDDL writes them, [MS-DTYP] 2.5.1.1. */
import { formatError, hex, UnsupportedError } from '../errors.ts'
import { decodeSid, sidSize } from './sid.ts'
import { sidText } from './sid-alias.ts'

/** What the condition of an entry begins with. */
const SIGNATURE = 'artx'

const COMPOSITE = 0x50

const UNARY: Readonly<Record<number, string>> = {
  135: 'Exists',
  137: 'Member_of',
  138: 'Device_Member_of',
  139: 'Member_of_Any',
  140: 'Device_Member_of_Any',
  141: 'Not_Exists',
  144: 'Not_Member_of',
  145: 'Not_Device_Member_of',
  146: 'Not_Member_of_Any',
  147: 'Not_Device_Member_of_Any',
}
const BINARY: Readonly<Record<number, string>> = {
  128: '==',
  129: '!=',
  130: '<',
  131: '<=',
  132: '>',
  133: '>=',
  134: 'Contains',
  136: 'Any_of',
  142: 'Not_Contains',
  143: 'Not_Any_of',
  160: '&&',
  161: '||',
}
const NOT = 0xa2
/** Whose an attribute is. */
const ATTRIBUTES: Readonly<Record<number, string>> = { 248: '', 249: '@User.', 250: '@Resource.', 251: '@Device.' }

/** The condition in the `data` of an entry, which lies at byte `position`, in parentheses. Throws FormatError, UnsupportedError (NTFS_SDDL). */
export function conditionText(data: Buffer, position: number): string {
  if (data.toString('latin1', 0, SIGNATURE.length) !== SIGNATURE) {
    throw new UnsupportedError('NTFS_SDDL', 'an access control entry with data of its program is not put into words')
  }
  const tokens = new Tokens(data, SIGNATURE.length, data.length, position)
  // Postfix: each operator takes what was there last. What is combined stands in parentheses.
  const stack: string[] = []
  const take = () => stack.pop() ?? tokens.fail('an operator with its operands')
  while (!tokens.isAtEnd) {
    const token = tokens.byte()
    const [unary, binary] = [UNARY[token], BINARY[token]]
    if (unary !== undefined) stack.push(`(${unary} ${take()})`)
    else if (token === NOT) stack.push(`(!${take()})`)
    else if (binary !== undefined) {
      const [right, left] = [take(), take()]
      stack.push(`(${left} ${binary} ${right})`)
    } else if (ATTRIBUTES[token] !== undefined) stack.push(ATTRIBUTES[token] + attributeName(tokens.text()))
    // What fills the last bytes is no token.
    else if (token !== 0) stack.push(tokens.literal(token))
  }
  const [text, ...rest] = stack
  if (text === undefined || rest.length > 0) return tokens.fail('one condition')
  return text.startsWith('(') ? text : `(${text})`
}

/** What SDDL does not take for a letter of a name stands as its number. */
const attributeName = (name: string) =>
  name.replace(/[^a-z0-9:/._\u0080-\uffff]/gi, letter => `%${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)

class Tokens {
  readonly #data: Buffer
  readonly #end: number
  readonly #position: number
  #at: number

  constructor(data: Buffer, at: number, end: number, position: number) {
    this.#data = data
    this.#at = at
    this.#end = end
    this.#position = position
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  byte(): number {
    return this.#data[this.#take(1)]!
  }

  text(): string {
    const [start, end] = this.#counted()
    return this.#data.toString('utf16le', start, end)
  }

  literal(token: number): string {
    switch (token) {
      case 0x01:
      case 0x02:
      case 0x03:
      case 0x04:
        return this.#number()
      case 0x10:
        return `"${this.text()}"`
      case 0x18:
        return `#${this.#data.toString('hex', ...this.#counted())}`
      case 0x51: {
        const [start, end] = this.#counted()
        if (sidSize(this.#data, start, this.#position) > end - start) this.fail('a SID inside of its length')
        return `SID(${sidText(decodeSid(this.#data, start, this.#position))})`
      }
      case COMPOSITE: {
        const items = new Tokens(this.#data, ...this.#counted(), this.#position)
        const texts: string[] = []
        while (!items.isAtEnd) {
          const item = items.byte()
          texts.push(item === COMPOSITE ? items.fail('literals in a list') : items.literal(item))
        }
        return `{${texts.join(', ')}}`
      }
      default:
        throw new UnsupportedError('NTFS_SDDL', `a condition with the token ${hex(token)} is not put into words`, {
          token,
        })
    }
  }

  /** Its sign and base say how it was written. */
  #number(): string {
    const at = this.#take(10)
    const value = this.#data.readBigInt64LE(at)
    const size = value < 0n ? -value : value
    const digits = [undefined, `0${size.toString(8)}`, undefined, hex(size)][this.#data[at + 9]!] ?? `${size}`
    const sign = this.#data[at + 8] === 1 ? '+' : ''
    return (value < 0n ? '-' : sign) + digits
  }

  /** Where the bytes are whose number comes first. */
  #counted(): [start: number, end: number] {
    const length = this.#data.readUInt32LE(this.#take(4))
    const start = this.#take(length)
    return [start, start + length]
  }

  #take(length: number): number {
    const at = this.#at
    if (at + length > this.#end) this.fail(`${length} bytes more`)
    this.#at += length
    return at
  }

  fail(expected: string): never {
    const structure = 'condition of an access control entry'
    throw formatError('NTFS_SECURITY_DESCRIPTOR', {
      structure,
      position: this.#position + this.#at,
      expected,
      actual: 'without, or cut off',
    })
  }
}
