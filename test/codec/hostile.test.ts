/** Streams with bytes changed, cut or made up: the target is filled or a FormatError thrown, and nothing else is touched. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeLznt1 } from '../../lib/codec/lznt1.ts'
import { decodeLzx } from '../../lib/codec/lzx.ts'
import { decodeXpress } from '../../lib/codec/xpress.ts'
import { decodeXpressHuffman } from '../../lib/codec/xpress-huffman.ts'
import { FormatError } from '../../lib/errors.ts'
import { describeWith } from '../helpers/tools.ts'
import { chunksOf, compressByWimlib, prose, WOF_FORMATS } from './wof-streams.ts'

type Decode = (source: Buffer, target: Buffer, position: number) => void

const MARGIN = 64

/** What `decode` makes of `source` with `fill` around it, before it and in the target; undefined when it throws a FormatError. */
function attempt(decode: Decode, source: Buffer, size: number, fill: number): Buffer | undefined {
  const around = Buffer.alloc(source.length + 2 * MARGIN, fill)
  source.copy(around, MARGIN)
  const target = Buffer.alloc(size + 2 * MARGIN, fill)
  try {
    decode(around.subarray(MARGIN, MARGIN + source.length), target.subarray(MARGIN, MARGIN + size), 0)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    return undefined
  } finally {
    const outside = Buffer.concat([target.subarray(0, MARGIN), target.subarray(MARGIN + size)])
    expect(outside.equals(Buffer.alloc(2 * MARGIN, fill))).toBe(true)
  }
  return target.subarray(MARGIN, MARGIN + size)
}

/** The same whatever was in memory before: all of the target comes from the source. */
function checkHonest(decode: Decode, source: Buffer, size: number): void {
  const [zeros, ones] = [attempt(decode, source, size, 0), attempt(decode, source, size, 0xff)]
  expect(zeros?.equals(ones!) ?? ones === undefined).toBe(true)
}

const CODECS: readonly [string, Decode][] = [
  ['LZNT1', decodeLznt1],
  ['XPRESS', decodeXpress],
  ['XPRESS-Huffman', decodeXpressHuffman],
  ['LZX', decodeLzx],
]

describe.each(CODECS)('%s', (_, decode) => {
  test('of bytes without meaning', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.integer({ min: 1, max: 9000 }), (bytes, size) =>
        checkHonest(decode, Buffer.from(bytes), size),
      ),
      { numRuns: 300 },
    )
  })
})

/** Where bytes of a stream are changed, and where it is cut. */
const damage = fc.record({
  changes: fc.array(fc.record({ place: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.nat(255) }), {
    maxLength: 4,
  }),
  cut: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
})

describeWith(['wimlib-imagex'], 'what wimlib compressed, with damage', () => {
  test.each(WOF_FORMATS)('$name', async format => {
    const decode = format.method === 'lzx' ? decodeLzx : decodeXpressHuffman
    const content = prose(format.chunkSize)
    const [stream] = await compressByWimlib([content], format)
    const { chunk } = chunksOf(stream!, content.length, format.chunkSize)[0]!
    fc.assert(
      fc.property(damage, ({ changes, cut }) => {
        const damaged = Buffer.from(chunk.subarray(0, Math.ceil(cut * chunk.length)))
        for (const { place, byte } of changes) damaged[Math.floor(place * damaged.length)] = byte
        checkHonest(decode, damaged, content.length)
      }),
      { numRuns: 300 },
    )
  })
})
