/** XPRESS with Huffman codes, [MS-XCA] 2.1 and 2.2. spec-notes/compression.md, XPRESS-Huffman. */
import { formatError } from '../errors.ts'
import { BitReader } from './bit-reader.ts'
import { copyMatch, viewOf } from './match.ts'
import { PrefixCode } from './prefix-code.ts'

const SYMBOLS = 512
/** Two lengths of 4 bits in each byte. */
const TABLE_SIZE = SYMBOLS / 2
/** Bytes of content with one table. */
const BLOCK_SIZE = 64 * 1024
/** A match length of 15 in the symbol, and of 255 in the byte after it: the rest follows. */
const [LONG, LONGER] = [15, 255]
const LEAST_MATCH = 3

// Decoding never waits, so one set serves all.
const lengths = new Uint8Array(SYMBOLS)
const code = new PrefixCode(SYMBOLS, 10)

/**
 * Decodes all of `target` from `source`, which lies at byte `position` of something.
 * Throws FormatError (XPRESS_DATA) naming the byte where the source is damaged or too short; `target` is then part filled.
 */
export function decodeXpressHuffman(source: Buffer, target: Buffer, position = 0): void {
  const reader = new BitReader(source)
  for (let out = 0; out < target.length; ) {
    readCode(reader, position)
    out = decodeBlock(reader, target, out, Math.min(out + BLOCK_SIZE, target.length), position)
  }
}

/** The table before each block begins where the block before would have gone on to load. */
function readCode(reader: BitReader, position: number): void {
  const { source, at } = reader
  if (source.length - at < TABLE_SIZE)
    throw damaged(position + at, 'a table of 256 bytes', `${source.length - at} bytes`)
  for (let i = 0; i < TABLE_SIZE; i++) {
    const pair = source[at + i]!
    lengths[2 * i] = pair & 15
    lengths[2 * i + 1] = pair >>> 4
  }
  const empty = lengths.every(length => length === 0)
  if (!code.build(lengths) || empty) throw damaged(position + at, 'a complete code', 'a code with gaps or overlaps')
  reader.at = at + TABLE_SIZE
  reader.count = 0
}

/** Decodes up to byte `end` of the target, and leaves the reader where the next block begins. A match may go over `end`. */
function decodeBlock(reader: BitReader, target: Buffer, start: number, end: number, position: number): number {
  const { source } = reader
  const view = viewOf(target)
  const { root, rootBits } = code
  const last = source.length - 1
  let { at } = reader
  let [bits, count, out] = [0, 0, start]
  while (out < end) {
    // How many bits are loaded here matters: the bytes of long matches lie between the units.
    if (count < 16) {
      bits = (bits << 16) | (at < last ? source[at]! | (source[at + 1]! << 8) : 0)
      at += 2
      count += 16
    }
    const next16 = (bits >>> (count - 16)) & 0xffff
    let word = root[next16 >>> (16 - rootBits)]!
    if (word === 0) word = code.findLong(next16)
    count -= word & 31
    const symbol = word >>> 5
    if (symbol < 256) {
      target[out++] = symbol
      continue
    }
    if (count < 16) {
      bits = (bits << 16) | (at < last ? source[at]! | (source[at + 1]! << 8) : 0)
      at += 2
      count += 16
    }
    const distanceBits = (symbol >>> 4) & 15
    count -= distanceBits
    const distance = (1 << distanceBits) | ((bits >>> count) & ((1 << distanceBits) - 1))
    let length = symbol & 15
    if (length === LONG) {
      length = LONG + readByte(source, at, position)
      at += 1
      if (length === LONG + LONGER) {
        const size = at + 1 < source.length && source.readUInt16LE(at) === 0 ? 6 : 2
        length = readLength(source, at, size, position)
        at += size
      }
    }
    length += LEAST_MATCH
    if (distance > out) throw damaged(position + at, `a match at most ${out} bytes back`, `one ${distance} bytes back`)
    if (length > target.length - out) {
      throw damaged(position + at, `a match of at most ${target.length - out} bytes`, `one of ${length} bytes`)
    }
    copyMatch(target, view, out, distance, length)
    out += length
  }
  Object.assign(reader, { at, bits, count })
  if (count < 16) reader.load()
  if (reader.isPastEnd)
    throw damaged(position + source.length, `${target.length} bytes of content`, 'the end of the data')
  return out
}

function readByte(source: Buffer, at: number, position: number): number {
  const value = source[at]
  if (value === undefined) throw damaged(position + at, 'the length of a match', 'the end of the data')
  return value
}

/** A length of 2 bytes, or of 4 after a zero of 2. */
function readLength(source: Buffer, at: number, size: number, position: number): number {
  if (at + size > source.length) throw damaged(position + at, 'the length of a match', 'the end of the data')
  const length = size === 2 ? source.readUInt16LE(at) : source.readUInt32LE(at + 2)
  if (length < LONG) throw damaged(position + at, `a length of at least ${LONG}`, `${length}`)
  return length
}

const damaged = (position: number, expected: string, actual: string) =>
  formatError('XPRESS_DATA', { structure: 'XPRESS-Huffman data', position, expected, actual })
