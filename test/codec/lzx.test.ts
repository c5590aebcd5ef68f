/** LZX as in WIM files and WOF: what Windows and wimlib compressed, and what is damaged. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decodeLzx } from '../../lib/codec/lzx.ts'
import { FormatError } from '../../lib/errors.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { testWith } from '../helpers/tools.ts'
import { compressByWimlib, noise, samples, unpack, WOF_FORMATS } from './wof-streams.ts'

testWith(['corpus', 'tar', 'xz'], 'decodes the WofCompressedData of vcpkg.exe, by Windows', async () => {
  const corpus = await corpusImage('compression/wof-dfir-orc').unpack()
  const content = readFileSync(join(corpus, 'vcpkg.exe.decompressed'))
  const stream = readFileSync(join(corpus, 'vcpkg.exe.WofCompressedData'))
  expect(unpack(stream, content.length, 32_768, decodeLzx).equals(content)).toBe(true)
})

testWith(['wimlib-imagex'], 'decodes what wimlib compressed', async () => {
  const contents = await samples()
  const streams = await compressByWimlib(contents, WOF_FORMATS[1])
  for (const [i, stream] of streams.entries()) {
    const content = contents[i]!
    expect(unpack(stream, content.length, 32_768, decodeLzx).equals(content), `${i}`).toBe(true)
  }
})

/** Bits from the highest on, in 16-bit little-endian units: `[value, length]`. */
function bitsOf(...fields: readonly (readonly [number, number])[]): Buffer {
  const text = fields.map(([value, length]) => value.toString(2).padStart(length, '0')).join('')
  const units = text.padEnd(Math.ceil(text.length / 16) * 16, '0').match(/.{16}/g) ?? []
  return Buffer.concat(units.map(unit => Buffer.from(Uint16Array.of(Number.parseInt(unit, 2)).buffer)))
}

/** The three recent distances of an uncompressed block. */
const distances = (...three: number[]) => Buffer.from(Uint32Array.from(three).buffer)

describe('uncompressed blocks', () => {
  const head = (size: number) => bitsOf([3, 3], [0, 1], [size, 16])

  test('one after the other, of odd size, and calls translated back', () => {
    const raw = Buffer.from([0xe8, 0, 0, 0, 0, ...noise(29)])
    raw.writeInt32LE(1000, 1)
    raw[7] = 0xe8
    raw.writeInt32LE(1000, 8)
    const block = (part: Buffer) =>
      Buffer.concat([head(part.length), distances(1, 1, 1), part, Buffer.alloc(part.length % 2)])
    const target = Buffer.alloc(34)
    decodeLzx(Buffer.concat([block(raw.subarray(0, 5)), block(raw.subarray(5, 6)), block(raw.subarray(6))]), target)
    const expected = Buffer.from(raw)
    // At byte 0 nothing changes; a call 10 bytes or less before the end is left alone.
    expected.writeInt32LE(1000 - 7, 8)
    expect(target).toEqual(expected)
  })

  test.each([
    ['cut', Buffer.concat([head(20), distances(1, 1, 1), noise(19)]), 20, 'is the end of the data, expected 20 bytes'],
    ['longer than the chunk', Buffer.concat([head(21), distances(1, 1, 1), noise(22)]), 20, 'one of 21'],
    ['of no bytes', Buffer.concat([head(0), distances(1, 1, 1)]), 20, 'one of 0'],
    ['of the default size in a smaller chunk', bitsOf([3, 3], [1, 1]), 20, 'one of 32768'],
    ['nothing', Buffer.alloc(0), 20, 'one of 0'],
    ['an unknown type', bitsOf([0, 3], [0, 1], [20, 16]), 20, 'one of type 0'],
    ['another unknown type', bitsOf([5, 3], [0, 1], [20, 16]), 20, 'one of type 5'],
  ])('%s', (_, source, size, message) => {
    expect(() => decodeLzx(source, Buffer.alloc(size), 0x1000)).toThrow(FormatError)
    expect(() => decodeLzx(source, Buffer.alloc(size), 0x1000)).toThrow(message)
  })
})

describe('verbatim blocks', () => {
  const head = (size: number) =>
    [
      [1, 3],
      [0, 1],
      [size, 16],
    ] as const
  /** A code in which symbols `a` and `b` have one bit. */
  const pair = (a: number, b: number) =>
    Array.from({ length: 20 }, (_, symbol) => [symbol === a || symbol === b ? 1 : 0, 4] as const)
  /** With 16 (a length of 1 after 0) and 18 (zeros): `zeros` 20 to 51 at a time, then one 16, and so on. */
  const [ONE, ZEROS] = [[0, 1] as const, [1, 1] as const]
  const zeros = (count: number): (readonly [number, number])[] =>
    count === 0
      ? []
      : count <= 51
        ? [ZEROS, [count - 20, 5]]
        : [ZEROS, [Math.min(31, count - 40), 5], ...zeros(count - Math.min(51, count - 20))]
  const empty = (count: number) => [...pair(16, 18), ...zeros(count)]
  /** Literals 'a' (code 0) and slot 0 with a match of 2 bytes (code 1). */
  const codes = [
    ...[...pair(16, 18), ...zeros(97), ONE, ...zeros(158)],
    ...[...pair(16, 18), ONE, ...zeros(239)],
    ...empty(249),
  ]

  test('a literal and matches', () => {
    const target = Buffer.alloc(9)
    decodeLzx(bitsOf(...head(9), ...codes, [0b01111, 5]), target)
    expect(target.toString()).toBe('aaaaaaaaa')
  })

  test.each([
    [
      'a match before the start',
      bitsOf(...head(9), ...codes, [0b1111, 4]),
      9,
      'is one 1 bytes back, expected a match 1 to 0',
    ],
    ['a match over the end of the block', bitsOf(...head(2), ...codes, [0b0111, 4]), 9, 'one of 2 bytes'],
    ['too few bits', bitsOf(...head(2000), ...codes), 2000, 'the end of the data, expected 2000 bytes'],
    ['an empty main code', bitsOf(...head(9), ...empty(256), ...empty(240), ...empty(249)), 9, 'a code without any'],
    ['an empty code for lengths', bitsOf(...head(9), ...pair(30, 30)), 9, 'a code without any'],
    ['a code for lengths with gaps', bitsOf(...head(9), ...pair(3, 3)), 9, 'a code with gaps or overlaps'],
    [
      'a code with gaps',
      bitsOf(...head(9), ...[...pair(16, 18), ONE, ...zeros(255)], ...empty(240)),
      9,
      'a code with gaps',
    ],
    ['a length to repeat that is none', bitsOf(...head(9), ...pair(18, 19), [1, 1], [0, 1], [0, 1]), 9, 'symbol 18'],
  ])('%s', (_, source, size, message) => {
    expect(() => decodeLzx(source, Buffer.alloc(size), 0x1000)).toThrow(FormatError)
    expect(() => decodeLzx(source, Buffer.alloc(size), 0x1000)).toThrow(message)
  })

  test('a match of length 7 where there is no code for lengths, and a recent distance of 0', () => {
    const long = [
      ...[...pair(16, 18), ...zeros(97), ONE, ...zeros(158)],
      ...([...pair(16, 18), ...zeros(0), [1, 1], [0, 5], ONE, ...zeros(219)] as const),
    ] as const
    expect(() => decodeLzx(bitsOf(...head(9), ...long, ...empty(249), [0b0111, 4]), Buffer.alloc(9))).toThrow(
      FormatError,
    )
    const zero = Buffer.concat([bitsOf([3, 3], [0, 1], [2, 16]), distances(0, 0, 0), Buffer.from('ab')])
    const source = Buffer.concat([zero, bitsOf(...head(2), ...codes, [1, 1])])
    expect(() => decodeLzx(source, Buffer.alloc(4))).toThrow('one 0 bytes back')
  })
})
