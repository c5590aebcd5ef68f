import { expect, test } from 'vitest'
import { crc32c, crc32cWithout } from '../../lib/binary/crc32c.ts'

test('published vectors', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c(Buffer.alloc(4096))).toBe(0x98f94189)
  expect(crc32c(Buffer.alloc(0))).toBe(0)
})

test('any cut gives the same', () => {
  const data = Buffer.from(Array.from({ length: 251 }, (_, i) => (i * 7) % 251))
  const whole = crc32c(data)
  for (let cut = 0; cut <= data.length; cut++) {
    expect(crc32c(data.subarray(cut), crc32c(data.subarray(0, cut)))).toBe(whole)
  }
})

test('a structure with its own checksum', () => {
  const data = Buffer.from(Array.from({ length: 64 }, (_, i) => i))
  const cleared = Buffer.from(data)
  cleared.fill(0, 4, 8)
  expect(crc32cWithout(data, 4)).toBe(crc32c(cleared))
  expect(data[5]).toBe(5)
})
