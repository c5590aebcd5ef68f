import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32, crc32Without } from '../../lib/binary/crc32.ts'

test.each([
  ['', 0],
  ['123456789', 0xcbf43926],
  ['The quick brown fox jumps over the lazy dog', 0x414fa339],
])('the checksum of %j', (text, expected) => {
  expect(crc32(Buffer.from(text))).toBe(expected)
})

test('in two pieces as in one', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      expect(crc32(b, crc32(a))).toBe(crc32(Buffer.concat([a, b])))
    }),
  )
})

test('the field of the checksum counts as zeros and is left as it is', () => {
  const data = Buffer.from('abcd????efgh')
  expect(crc32Without(data, 4)).toBe(crc32(Buffer.from('abcd\0\0\0\0efgh')))
  expect(data.toString()).toBe('abcd????efgh')
})
