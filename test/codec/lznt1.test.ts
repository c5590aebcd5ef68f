/** LZNT1: what Windows compressed, and what is damaged. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeLznt1 } from '../../lib/codec/lznt1.ts'
import { FormatError } from '../../lib/errors.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { testWith } from '../helpers/tools.ts'
import { noise } from './wof-streams.ts'

const CORPUS = ['corpus', 'tar', 'xz'] as const

describe('a stream by Windows', () => {
  for (const [folder, compressed, content] of [
    ['ntfs-forensic', 'lznt1_real.bin', 'lznt1_real.expected'],
    ['lznt1-jnode-fs', 'py-lznt1__compressed.bin', 'py-lznt1__decompressed.bin'],
    [
      'lznt1-jnode-fs',
      'libfsntfs__fsntfs_test_compression_lznt1_compressed_data1.bin',
      'libfsntfs__fsntfs_test_compression_uncompressed_data1.bin',
    ],
  ] as const) {
    testWith(CORPUS, compressed, async () => {
      const corpus = await corpusImage(`compression/${folder}`).unpack()
      const expected = readFileSync(join(corpus, content))
      const target = Buffer.alloc(expected.length, 0xee)
      decodeLznt1(readFileSync(join(corpus, compressed)), target)
      expect(target.equals(expected)).toBe(true)
    })
  }

  // The start of these two belongs to something else: other readers give what comes out, for what it is worth.
  for (const name of ['offset-before-start.compressed.bin', 'triage-4924-E01.compressed.bin']) {
    testWith(CORPUS, `${name} is damaged, and refused`, async () => {
      const stream = readFileSync(join(await corpusImage('compression/lznt1-jnode-fs').unpack(), name))
      expect(() => decodeLznt1(stream, Buffer.alloc(65_536))).toThrow(/LZNT1 data at byte 0x\w+ is one \d+ bytes back/)
    })
  }
})

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')

function decoded(source: Buffer, size: number): Buffer {
  const target = Buffer.alloc(size, 0xee)
  decodeLznt1(source, target)
  return target
}

/** A chunk that is stored as it is. */
function plain(content: Buffer): Buffer {
  const header = Buffer.alloc(2)
  header.writeUInt16LE(0x3000 | (content.length - 1))
  return Buffer.concat([header, content])
}

describe('chunks', () => {
  test('the example of [MS-XCA] 3.3', () => {
    const stream = bytes(
      '38b08846232000204720410010a24701a045204400084501507900c045200524138805b4024a44ef0358028c091601484500be009e000401189000',
    )
    const expected =
      'F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\0'
    expect(decoded(stream, 142).toString('latin1')).toBe(expected)
  })

  test('a match as long as the chunk runs into itself', () => {
    expect(decoded(bytes('03b0 02 61 fc0f'), 4096).equals(Buffer.alloc(4096, 'a'))).toBe(true)
  })

  test('stored ones among compressed ones', () => {
    const raw = noise(4096)
    const run = bytes('03b0 02 61 fc0f')
    const expected = Buffer.concat([raw, Buffer.alloc(4096, 'a'), raw, Buffer.alloc(4096, 'a')])
    expect(decoded(Buffer.concat([plain(raw), run, plain(raw), run]), 4 * 4096).equals(expected)).toBe(true)
  })

  test('what is missing of a chunk, and chunks that are missing, are zeros', () => {
    const source = Buffer.concat([plain(Buffer.from('one')), bytes('03b0 00 61 62 63'), bytes('0000'), noise(50)])
    const expected = Buffer.alloc(4 * 4096)
    expected.write('one', 0)
    expected.write('abc', 4096)
    expect(decoded(source, 4 * 4096).equals(expected)).toBe(true)
    expect(decoded(source.subarray(0, -52), 4 * 4096).equals(expected)).toBe(true)
    expect(decoded(Buffer.alloc(0), 10)).toEqual(Buffer.alloc(10))
  })

  test('a target that ends in a chunk takes what it wants', () => {
    expect(decoded(bytes('03b0 02 61 fc0f'), 7).toString()).toBe('aaaaaaa')
    expect(decoded(plain(noise(4096)), 5)).toEqual(noise(5))
  })
})

describe('damaged', () => {
  test.each([
    ['a chunk over the end', '05b0 00 61 62', 'at byte 0x1002 is 6, expected at most 3 bytes of chunk'],
    ['half a match', '02b0 02 61 00', 'at byte 0x1004 is the end of the chunk, expected a match of 2 bytes'],
    ['a match before the chunk', '02b0 01 0000', 'at byte 0x1003 is one 1 bytes back, expected a match at most 0'],
    ['a match into the chunk before', '0230 616263 02b0 01 0000', 'at byte 0x1008 is one 1 bytes back'],
  ])('%s', (_, hex, message) => {
    const decode = () => decodeLznt1(bytes(hex), Buffer.alloc(8192), 0x1000)
    expect(decode).toThrow(FormatError)
    expect(decode).toThrow(message)
  })
})

/** Item by item and byte by byte, as the specification says it; undefined for what is damaged. */
function decodedPlainly(source: Buffer, size: number): Buffer | undefined {
  const content: number[] = []
  for (let at = 0, chunk = 0; chunk < size && at + 2 <= source.length && source.readUInt16LE(at) !== 0; chunk += 4096) {
    const header = source.readUInt16LE(at)
    const end = at + 3 + (header % 4096)
    if (end > source.length) return undefined
    const chunkEnd = Math.min(chunk + 4096, size)
    at += 2
    if (header < 0x8000) content.push(...source.subarray(at, Math.min(end, at + chunkEnd - chunk)))
    else if (!decodeItems(source.subarray(at, end), content, chunk, chunkEnd)) return undefined
    while (content.length < chunkEnd) content.push(0)
    at = end
  }
  return Buffer.from([...content, ...Buffer.alloc(size - content.length)])
}

function decodeItems(items: Buffer, content: number[], chunk: number, chunkEnd: number): boolean {
  for (let at = 0, tag = 0, tags = 0; at < items.length && content.length < chunkEnd; tag++) {
    if (tag % 8 === 0) tags = items[at++]!
    if (at === items.length) break
    if (((tags >> (tag % 8)) & 1) === 0) content.push(items[at++]!)
    else {
      if (at + 1 === items.length) return false
      const position = content.length - chunk
      const distanceBits = Math.max(4, Math.ceil(Math.log2(position)))
      const lengths = 2 ** (16 - distanceBits)
      const match = items.readUInt16LE(at)
      const distance = Math.floor(match / lengths) + 1
      if (distance > position) return false
      for (let i = 0; i < (match % lengths) + 3 && content.length < chunkEnd; i++) content.push(content.at(-distance)!)
      at += 2
    }
  }
  return true
}

describe('as decoded plainly', () => {
  /** Items of which most matches lead to somewhere, however far the chunk is. */
  const group = fc
    .tuple(fc.nat(255), fc.array(fc.oneof(fc.constant(0), fc.nat(0x1f), fc.nat(255)), { minLength: 8, maxLength: 16 }))
    .map(([tags, items]) => [tags, ...items])
  const items = fc.array(group, { minLength: 1, maxLength: 230 }).map(groups => [0, ...noise(8), ...groups.flat()])
  const chunk = fc.tuple(items, fc.boolean()).map(([content, isPlain]) => {
    const body = Buffer.from(content.slice(0, 4096))
    const header = Buffer.alloc(2)
    header.writeUInt16LE((isPlain ? 0x3000 : 0xb000) | (body.length - 1))
    return Buffer.concat([header, body])
  })

  test('any chunks into any target', () => {
    const outcomes = { whole: 0, damaged: 0 }
    const run = (chunks: readonly Buffer[], size: number, place: number) => {
      const expected = decodedPlainly(Buffer.concat(chunks), size)
      const [source, memory] = [
        Buffer.concat([Buffer.alloc(place), ...chunks]).subarray(place),
        Buffer.alloc(size + place + 3, 0xee),
      ]
      const target = memory.subarray(place, place + size)
      if (expected === undefined) {
        outcomes.damaged++
        expect(() => decodeLznt1(source, target)).toThrow(FormatError)
      } else {
        outcomes.whole++
        decodeLznt1(source, target)
        expect(target.equals(expected)).toBe(true)
      }
      const around = Buffer.concat([memory.subarray(0, place), memory.subarray(place + size)])
      expect(around.equals(Buffer.alloc(place + 3, 0xee))).toBe(true)
    }
    fc.assert(fc.property(fc.array(chunk, { maxLength: 3 }), fc.nat(9000), fc.nat(9), run), { numRuns: 300 })
    expect(outcomes.whole).toBeGreaterThan(50)
    expect(outcomes.damaged).toBeGreaterThan(10)
  })
})
