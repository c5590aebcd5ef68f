// Kept in the types that are installed, where the package itself is not.
/// <reference path="./buffer-layout.d.ts" preserve="true" />
/** The kinds of field a struct is made of. The kind of quantity picks the kind of field, not its width. */
import * as layout from 'buffer-layout'
import { FormatError, hex } from '../errors.ts'
import { guidFromText, guidToText, uuidFromText, uuidToText } from './guid.ts'

export const u8 = layout.u8()
export const u16 = layout.u16()
export const u32 = layout.u32()
export const i8 = layout.s8()
export const u16be = layout.u16be()
export const u32be = layout.u32be()
export const bytes = layout.blob
export const array = layout.seq

/** A field stored as `inner` and seen as something else. */
class Mapped<Stored, Seen> extends layout.Layout<Seen> {
  private readonly inner: layout.Layout<Stored>
  private readonly see: (stored: Stored) => Seen
  private readonly store: (seen: Seen) => Stored

  constructor(inner: layout.Layout<Stored>, see: (stored: Stored) => Seen, store: (seen: Seen) => Stored) {
    super(inner.span)
    this.inner = inner
    this.see = see
    this.store = store
  }

  override decode(source: Buffer, at = 0): Seen {
    return this.see(this.inner.decode(source, at))
  }

  override encode(seen: Seen, target: Buffer, at = 0): number {
    return this.inner.encode(this.store(seen), target, at)
  }
}

export const mapped = <Stored, Seen>(
  inner: layout.Layout<Stored>,
  see: (stored: Stored) => Seen,
  store: (seen: Seen) => Stored,
): layout.Layout<Seen> => new Mapped(inner, see, store)

class Big64 extends layout.Layout<bigint> {
  constructor() {
    super(8)
  }

  override decode(source: Buffer, at = 0): bigint {
    return source.readBigUInt64LE(at)
  }

  override encode(value: bigint, target: Buffer, at = 0): number {
    return target.writeBigUInt64LE(value, at) - at
  }
}

/** An identifier, a set of bits or a time: all 64 bits matter, none are counted with. */
export const big64: layout.Layout<bigint> = new Big64()
export const big64be = mapped(bytes(8), stored => stored.readBigUInt64BE(), bigEndian)

/** A size, offset or count: 64 bits on disk, here an exact number or a FormatError, never rounded. */
export const u64 = mapped(big64, exactNumber, BigInt)
export const u64be = mapped(big64be, exactNumber, BigInt)

/** `value` as a number; a FormatError (NUMBER_TOO_LARGE) above 2^53 - 1, which is 8 PiB. */
export function exactNumber(value: bigint): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value)
  throw new FormatError('NUMBER_TOO_LARGE', `is ${hex(value)}, more than 2^53 - 1`)
}

function bigEndian(value: bigint): Buffer {
  const stored = Buffer.alloc(8)
  stored.writeBigUInt64BE(value)
  return stored
}

/** GUID as Microsoft stores it: the first three groups little-endian, the rest in order. Lower-case text in code. */
export const guid = mapped(bytes(16), guidToText, guidFromText)

/** The same with all bytes in order, as big-endian formats store it. */
export const uuid = mapped(bytes(16), uuidToText, uuidFromText)

/** Bytes with no value of their own: signatures and reserved space. They are not part of the decoded value. */
export class Fixed extends layout.Layout<undefined> {
  readonly bytes: Buffer
  readonly required: boolean

  constructor(bytes: Buffer, required: boolean) {
    super(bytes.length)
    this.bytes = bytes
    this.required = required
  }

  isIn(source: Buffer, at: number): boolean {
    return !this.required || source.subarray(at, at + this.span).equals(this.bytes)
  }

  override decode(source: Buffer, at = 0): undefined {
    if (this.isIn(source, at)) return
    const [expected, actual] = [readable(this.bytes), readable(source.subarray(at, at + this.span))]
    throw new FormatError('BAD_CONSTANT', `is ${actual}, expected ${expected}`, { expected, actual })
  }

  override encode(_: undefined, target: Buffer, at = 0): number {
    return this.bytes.copy(target, at)
  }
}

function readable(bytes: Buffer): string {
  const text = bytes.toString('latin1')
  return /^[\x20-\x7e]+$/.test(text) ? `'${text}'` : `0x${bytes.toString('hex')}`
}

export const magic = (text: string) => new Fixed(Buffer.from(text, 'latin1'), true)
/** Reserved and ignored by readers. Written as zeros. */
export const reserved = (length: number) => new Fixed(Buffer.alloc(length), false)
/** Reserved, and the specification says readers must refuse anything but zeros. */
export const zeros = (length: number) => new Fixed(Buffer.alloc(length), true)
