/** Times of files as text and back, to the last tick. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatFileTime, parseFileTime, shortFileTime } from '../../cli/file-time.ts'

const EPOCH = 11_644_473_600_000n

/** Slow and obviously right. */
function slow(time: bigint): string {
  const date = new Date(Number(time / 10_000n - EPOCH)).toISOString()
  return `${date.slice(0, -'.000Z'.length)}.${String(time % 10_000_000n).padStart(7, '0')}Z`
}

test.each([
  [0n, '1601-01-01T00:00:00.0000000Z'],
  [1n, '1601-01-01T00:00:00.0000001Z'],
  [116_444_736_000_000_000n - 1n, '1969-12-31T23:59:59.9999999Z'],
  [116_444_736_000_000_000n, '1970-01-01T00:00:00.0000000Z'],
  [133_000_000_001_234_567n, '2022-06-18T04:26:40.1234567Z'],
  [2_650_467_743_999_999_999n, '9999-12-31T23:59:59.9999999Z'],
  [2_650_467_744_000_000_000n, '+010000-01-01T00:00:00.0000000Z'],
  [2n ** 64n - 1n, '+060056-05-28T05:36:10.9551615Z'],
])('%d is %s', (time, text) => {
  expect(formatFileTime(time)).toBe(text)
})

test('any time', () => {
  const times = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(130_000_000_000_000_000n, 140_000_000_000_000_000n))
  fc.assert(fc.property(times, time => formatFileTime(time) === slow(time)))
})

test('in lists, to the second; a dash where there is none', () => {
  expect(shortFileTime(133_000_000_001_234_567n)).toBe('2022-06-18 04:26:40')
  expect(shortFileTime(undefined)).toBe('-')
})

test.each([
  ['2022-06-18', '2022-06-18T00:00:00.0000000Z'],
  ['2022-06-18T04:26', '2022-06-18T04:26:00.0000000Z'],
  ['2022-06-18 04:26:40', '2022-06-18T04:26:40.0000000Z'],
  ['2022-06-18T04:26:40.1234567Z', '2022-06-18T04:26:40.1234567Z'],
  ['2022-06-18T04:26:40.5+02:00', '2022-06-18T02:26:40.5000000Z'],
  ['1601-01-01', '1601-01-01T00:00:00.0000000Z'],
])('%s is read', (text, time) => {
  expect(formatFileTime(parseFileTime(text, 'newer'))).toBe(time)
})

test.each([
  '',
  'yesterday',
  '2022-02-31',
  '2022-13-01',
  '2022-06-18T25:00',
  '1600-12-31',
  '2022-06-18T04:26:40.12345678Z',
])("'%s' is no date", text => {
  expect(() => parseFileTime(text, 'newer')).toThrow(/^--newer '.*' is no date/)
})
