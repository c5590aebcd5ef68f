import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatSize, GiB, isPowerOfTwo, KiB, MiB, parseSize, roundDown, roundUp, TiB } from '../../lib/binary/size.ts'
import { OptionError } from '../../lib/errors.ts'

describe('parseSize', () => {
  test.each([
    ['0', 0],
    ['512', 512],
    ['512B', 512],
    ['64GiB', 64 * GiB],
    ['64g', 64 * GiB],
    ['64 GiB', 64 * GiB],
    [' 1M ', MiB],
    ['1mib', MiB],
    ['4K', 4 * KiB],
    ['1.5TiB', 1.5 * TiB],
    ['0.5KiB', 512],
    ['500GB', 500e9],
    ['2TB', 2e12],
    ['1kb', 1000],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })

  test.each([
    '',
    ' ',
    'x',
    '-1',
    '+1',
    '1e3',
    '0x10',
    '1 2',
    '1PiB',
    '1.5',
    '0.3KiB',
    '1.',
    '.5G',
    'GiB',
    '1GiBs',
    '9007199254740992',
    '9000TiB',
    'NaN',
    'Infinity',
    '1constructor',
    '1__proto__',
  ])('%o is none', text => {
    expect(() => parseSize(text, 'block size')).toThrow(OptionError)
    expect(() => parseSize(text, 'block size')).toThrow(/block size/)
  })
})

describe('formatSize', () => {
  test.each([
    [0, '0 B'],
    [1, '1 B'],
    [1023, '1023 B'],
    [KiB, '1 KiB'],
    [1536, '1.5 KiB'],
    [MiB - 1, '1 MiB'],
    [64 * GiB, '64 GiB'],
    [15e12, '13.6 TiB'],
    [64 * TiB, '64 TiB'],
    [2 ** 53, '8 PiB'],
    [2 ** 63, '8192 PiB'],
  ])('%i is %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text)
  })

  test('has as many decimals as asked for', () => {
    expect(formatSize(1234567, 3)).toBe('1.177 MiB')
    expect(formatSize(1234567, 0)).toBe('1 MiB')
  })

  test('what it writes in full is read back', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 50 - 1), bytes => {
        expect(parseSize(formatSize(bytes, 50))).toBe(bytes)
      }),
    )
  })
})

test('roundUp and roundDown, above 32 bits too', () => {
  expect([0, 1, 511, 512, 513].map(value => roundUp(value, 512))).toEqual([0, 512, 512, 512, 1024])
  expect([0, 1, 511, 512, 513].map(value => roundDown(value, 512))).toEqual([0, 0, 0, 512, 512])
  expect([roundUp(2 ** 40 + 1, MiB), roundDown(2 ** 40 - 1, MiB)]).toEqual([2 ** 40 + MiB, 2 ** 40 - MiB])
  fc.assert(
    fc.property(fc.nat(2 ** 50), fc.integer({ min: 1, max: 2 ** 20 }), (value, unit) => {
      const [down, up] = [roundDown(value, unit), roundUp(value, unit)]
      expect([down % unit, up % unit]).toEqual([0, 0])
      expect(down <= value && value <= up && up - down <= unit).toBe(true)
    }),
  )
})

test('isPowerOfTwo', () => {
  for (let exponent = 0; exponent <= 53; exponent++) expect(isPowerOfTwo(2 ** exponent)).toBe(true)
  for (let exponent = 2; exponent <= 53; exponent++) expect(isPowerOfTwo(2 ** exponent - 1)).toBe(false)
  for (const value of [0, -1, -2, 0.5, 3, 1000, 3 * 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(isPowerOfTwo(value)).toBe(false)
  }
})
