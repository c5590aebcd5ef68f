import { expect, test } from 'vitest'
import { array, big64, guid, magic, mapped, reserved, u16, u32, u64 } from '../../lib/binary/fields.ts'
import { type Infer, struct } from '../../lib/binary/struct.ts'

const header = struct('VHDX header', 80, {
  signature: magic('head'),
  checksum: u32,
  sequenceNumber: big64,
  fileWriteGuid: guid,
  dataWriteGuid: guid,
  logGuid: guid,
  logVersion: u16,
  version: u16,
  logLength: u32,
  logOffset: u64,
})
type Header = Infer<typeof header>
const inner = struct('inner', 10, { a: u16, big: u64 })
const outer = struct('outer', 36, { tag: magic('OUT!'), inner, pair: array(inner, 2), end: reserved(2) })
const batEntry = mapped<bigint, { state: number; offset: number }>(
  big64,
  stored => ({ state: Number(stored & 7n), offset: Number(stored >> 20n) * 2 ** 20 }),
  ({ state, offset }) => BigInt(offset) | BigInt(state),
)

const zero = '00000000-0000-0000-0000-000000000000'
const value: Header = {
  checksum: 1,
  sequenceNumber: 2n ** 64n - 1n,
  fileWriteGuid: '2dc27766-f623-4200-9d64-115e9bfd4a08',
  dataWriteGuid: zero,
  logGuid: zero,
  logVersion: 0,
  version: 1,
  logLength: 2 ** 20,
  logOffset: 2 ** 20,
}

test('decode undoes encode', () => expect(header.decode(header.toBuffer(value))).toEqual(value))

test('GUIDs are mixed-endian', () =>
  expect(header.toBuffer(value).subarray(16, 32).toString('hex')).toBe('6677c22d23f600429d64115e9bfd4a08'))

test('offsets come from the declaration', () => {
  expect(header.offsetOf('logOffset')).toBe(72)
  expect(header.fieldPlaces[2]).toEqual({ name: 'sequenceNumber', offset: 8, size: 8 })
})

test('a wrong declaration throws at load', () =>
  expect(() => struct('thing', 9, { a: u64 })).toThrow('thing adds up to 8 bytes, its specification says 9'))

test('matches looks at constants only', () => {
  expect(header.matches(header.toBuffer(value))).toBe(true)
  expect(header.matches(Buffer.alloc(80))).toBe(false)
  expect(header.matches(Buffer.alloc(79))).toBe(false)
})

test('errors name the field and its place on the device', () => {
  const stored = header.toBuffer(value)
  stored.fill(0xff, 72)
  expect(() => header.decode(stored, 0, 0x10000)).toThrow(
    'VHDX header.logOffset at byte 0x10048 is 0xffffffffffffffff, more than 2^53 - 1',
  )
  expect(() => header.decode(Buffer.alloc(80), 0, 0x10000)).toThrow(
    "VHDX header.signature at byte 0x10000 is 0x00000000, expected 'head'",
  )
  expect(() => header.decode(stored.subarray(0, 79))).toThrow(
    'VHDX header at byte 0x0 needs 80 bytes, but only 79 are left',
  )
  expect(() => header.toBuffer({ ...value, version: 70000 })).toThrow('cannot write VHDX header.version')
  expect(() => header.toBuffer({ ...value, logGuid: 'no' })).toThrow("'no' is not a lower-case GUID")
})

test('a struct nests, and the innermost name wins', () => {
  const stored = outer.toBuffer({
    inner: { a: 1, big: 2 },
    pair: [
      { a: 3, big: 4 },
      { a: 5, big: 6 },
    ],
  })
  expect(outer.decode(stored).pair[1]).toEqual({ a: 5, big: 6 })
  stored.fill(0xff, 6, 14)
  expect(() => outer.decode(stored, 0, 100)).toThrow('inner.big at byte 0x6a is 0xffffffffffffffff')
})

test('a BAT entry keeps its 44 bits', () => {
  const stored = Buffer.alloc(8)
  batEntry.encode({ state: 6, offset: 2 ** 44 }, stored)
  expect(batEntry.decode(stored)).toEqual({ state: 6, offset: 2 ** 44 })
})

test('a missing field does not compile, and does not write', () => {
  const { logOffset: _, ...rest } = value
  // @ts-expect-error logOffset is missing
  const incomplete: Header = rest
  expect(() => header.toBuffer(incomplete)).toThrow('cannot write VHDX header.logOffset')
})
