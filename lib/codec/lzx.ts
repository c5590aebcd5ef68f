/** LZX as in WIM files and WOF: each chunk of 32 KiB by itself. spec-notes/compression.md, LZX. */
import { formatError } from '../errors.ts'
import { BitReader } from './bit-reader.ts'
import { copyMatch, viewOf } from './match.ts'
import { PrefixCode } from './prefix-code.ts'

/** The size of a block that says of itself that it has the default one. */
const DEFAULT_BLOCK_SIZE = 32_768
const LEAST_MATCH = 2
const LITERALS = 256
const SLOTS = 30
/** For each slot of distances, a symbol per length of 0 to 6, and 7 when the length follows. */
const LENGTHS_PER_SLOT = 8
const MAIN_SYMBOLS = LITERALS + LENGTHS_PER_SLOT * SLOTS
const LENGTH_SYMBOLS = 249
const ALIGNED_SYMBOLS = 8
const PRE_SYMBOLS = 20
/** Slots 0 to 2 are the last three distances. */
const RECENT = 3

const BlockType = { verbatim: 1, aligned: 2, uncompressed: 3 } as const

/** Bits that follow the symbol of a slot, and the distance to which they are added. */
const EXTRA_BITS = Uint8Array.from({ length: SLOTS }, (_, slot) => Math.max(0, Math.floor(slot / 2) - 1))
const BASES = Uint16Array.from({ length: SLOTS }, (_, slot) =>
  EXTRA_BITS.subarray(RECENT, slot).reduce((base, bits) => base + 2 ** bits, 1),
)

// Decoding never waits, so one set serves all.
const mainLengths = new Uint8Array(MAIN_SYMBOLS)
const lengthLengths = new Uint8Array(LENGTH_SYMBOLS)
const alignedLengths = new Uint8Array(ALIGNED_SYMBOLS)
const preLengths = new Uint8Array(PRE_SYMBOLS)
const mainCode = new PrefixCode(MAIN_SYMBOLS, 11)
const lengthCode = new PrefixCode(LENGTH_SYMBOLS, 9)
const alignedCode = new PrefixCode(ALIGNED_SYMBOLS, 7)
const preCode = new PrefixCode(PRE_SYMBOLS, 7)
/** The last three distances, the youngest first. */
const recent = new Float64Array(RECENT)

/**
 * Decodes all of `target`, a chunk of at most 32 KiB, from `source`, which lies at byte `position` of something.
 * Throws FormatError (LZX_DATA) naming the byte where the source is damaged or too short; `target` is then part filled.
 */
export function decodeLzx(source: Buffer, target: Buffer, position = 0): void {
  const reader = new BitReader(source)
  mainLengths.fill(0)
  lengthLengths.fill(0)
  recent.fill(1)
  for (let out = 0; out < target.length; ) {
    const type = reader.read(3)
    const size = reader.read(1) === 1 ? DEFAULT_BLOCK_SIZE : reader.read(16)
    const end = out + size
    if (size === 0 || end > target.length) {
      throw damaged(position + reader.at, `a block of 1 to ${target.length - out} bytes`, `one of ${size}`)
    }
    if (type === BlockType.uncompressed) copyBlock(reader, target, out, end, position)
    else if (type === BlockType.verbatim || type === BlockType.aligned) {
      readCodes(reader, type, position)
      decodeBlock(reader, target, out, end, type === BlockType.aligned, position)
    } else throw damaged(position + reader.at, 'a block of type 1, 2 or 3', `one of type ${type}`)
    if (reader.isPastEnd)
      throw damaged(position + reader.at, `${target.length} bytes of content`, 'the end of the data')
    out = end
  }
  undoCallTranslation(target)
}

function copyBlock(reader: BitReader, target: Buffer, out: number, end: number, position: number): void {
  const { source } = reader
  reader.alignPastUnit()
  const from = reader.at + 4 * RECENT
  if (from + end - out > source.length) throw damaged(position + reader.at, `${end - out} bytes`, 'the end of the data')
  for (let i = 0; i < RECENT; i++) recent[i] = source.readUInt32LE(reader.at + 4 * i)
  source.copy(target, out, from, from + end - out)
  // What follows begins with a unit again.
  reader.at = from + 2 * Math.ceil((end - out) / 2)
}

function readCodes(reader: BitReader, type: number, position: number): void {
  if (type === BlockType.aligned) {
    for (let i = 0; i < ALIGNED_SYMBOLS; i++) alignedLengths[i] = reader.read(3)
    build(alignedCode, alignedLengths, reader, position)
  }
  readLengths(reader, mainLengths.subarray(0, LITERALS), position)
  readLengths(reader, mainLengths.subarray(LITERALS), position)
  build(mainCode, mainLengths, reader, position)
  readLengths(reader, lengthLengths, position)
  build(lengthCode, lengthLengths, reader, position)
}

/** Lengths of code words, told as differences from those of the block before, in a code of their own. */
function readLengths(reader: BitReader, lengths: Uint8Array, position: number): void {
  for (let i = 0; i < PRE_SYMBOLS; i++) preLengths[i] = reader.read(4)
  build(preCode, preLengths, reader, position)
  const changed = (length: number, change: number) => (length - change + 17) % 17
  for (let i = 0; i < lengths.length; ) {
    const symbol = readPreSymbol(reader, position)
    if (symbol < 17) {
      lengths[i] = changed(lengths[i]!, symbol)
      i++
      continue
    }
    const repeat = symbol === 17 ? 4 + reader.read(4) : symbol === 18 ? 20 + reader.read(5) : 4 + reader.read(1)
    const end = Math.min(i + repeat, lengths.length)
    let length = 0
    if (symbol === 19) {
      const change = readPreSymbol(reader, position)
      if (change > 16) throw damaged(position + reader.at, 'a length to repeat', `symbol ${change}`)
      length = changed(lengths[i]!, change)
    }
    lengths.fill(length, i, end)
    i = end
  }
}

function readPreSymbol(reader: BitReader, position: number): number {
  if (reader.count < 16) reader.load()
  const next16 = (reader.bits >>> (reader.count - 16)) & 0xffff
  let word = preCode.root[next16 >>> (16 - preCode.rootBits)]!
  if (word === 0) word = preCode.findLong(next16)
  if (word === 0) throw damaged(position + reader.at, 'a code word', 'a code without any')
  reader.count -= word & 31
  return word >>> 5
}

function build(code: PrefixCode, lengths: Uint8Array, reader: BitReader, position: number): void {
  if (!code.build(lengths)) throw damaged(position + reader.at, 'a complete code', 'a code with gaps or overlaps')
}

/** Decodes a block whose codes are read. */
function decodeBlock(
  reader: BitReader,
  target: Buffer,
  start: number,
  end: number,
  isAligned: boolean,
  position: number,
): void {
  const { source } = reader
  const view = viewOf(target)
  const { root: mainRoot, rootBits: mainBits } = mainCode
  const { root: lengthRoot, rootBits: lengthBits } = lengthCode
  const last = source.length - 1
  let { at, bits, count } = reader
  let r0 = recent[0]!
  let r1 = recent[1]!
  let r2 = recent[2]!
  let out = start
  while (out < end) {
    if (count < 16) {
      bits = (bits << 16) | (at < last ? source[at]! | (source[at + 1]! << 8) : 0)
      at += 2
      count += 16
    }
    let next16 = (bits >>> (count - 16)) & 0xffff
    let word = mainRoot[next16 >>> (16 - mainBits)]!
    if (word === 0) word = mainCode.findLong(next16)
    if (word === 0) throw damaged(position + at, 'a code word', 'a code without any')
    count -= word & 31
    const symbol = word >>> 5
    if (symbol < LITERALS) {
      target[out++] = symbol
      continue
    }
    let length = symbol % LENGTHS_PER_SLOT
    if (length === LENGTHS_PER_SLOT - 1) {
      if (count < 16) {
        bits = (bits << 16) | (at < last ? source[at]! | (source[at + 1]! << 8) : 0)
        at += 2
        count += 16
      }
      next16 = (bits >>> (count - 16)) & 0xffff
      word = lengthRoot[next16 >>> (16 - lengthBits)]!
      if (word === 0) word = lengthCode.findLong(next16)
      if (word === 0) throw damaged(position + at, 'a code word', 'a code without any')
      count -= word & 31
      length += word >>> 5
    }
    length += LEAST_MATCH
    if (count < 16) {
      bits = (bits << 16) | (at < last ? source[at]! | (source[at + 1]! << 8) : 0)
      at += 2
      count += 16
    }
    const slot = (symbol - LITERALS) >>> 3
    let distance: number
    if (slot < RECENT) {
      distance = slot === 0 ? r0 : slot === 1 ? r1 : r2
      if (slot === 1) r1 = r0
      else if (slot === 2) r2 = r0
    } else {
      let extra = EXTRA_BITS[slot]!
      distance = BASES[slot]!
      if (isAligned && extra >= 3) {
        extra -= 3
        count -= extra
        distance += ((bits >>> count) & ((1 << extra) - 1)) << 3
        if (count < 16) {
          bits = (bits << 16) | (at < last ? source[at]! | (source[at + 1]! << 8) : 0)
          at += 2
          count += 16
        }
        word = alignedCode.root[(bits >>> (count - 7)) & 0x7f]!
        if (word === 0) throw damaged(position + at, 'a code word', 'a code without any')
        count -= word & 31
        distance += word >>> 5
      } else {
        count -= extra
        distance += (bits >>> count) & ((1 << extra) - 1)
      }
      r2 = r1
      r1 = r0
    }
    r0 = distance
    if (distance > out || distance === 0)
      throw damaged(position + at, `a match 1 to ${out} bytes back`, `one ${distance} bytes back`)
    if (length > end - out)
      throw damaged(position + at, `a match of at most ${end - out} bytes`, `one of ${length} bytes`)
    copyMatch(target, view, out, distance, length)
    out += length
  }
  Object.assign(reader, { at, bits, count })
  recent.set([r0, r1, r2])
}

/** The file size that compressors of WIM files assume when they translate. */
const TRANSLATION_SIZE = 12_000_000
/** Not translated: what is so close to the end of the chunk. */
const UNTRANSLATED_TAIL = 10

/** Compressors make the target of each x86 call (E8) absolute, in whatever data, so that calls of one function look alike. */
function undoCallTranslation(target: Buffer): void {
  const end = target.length - UNTRANSLATED_TAIL
  for (let i = 0; i < end; i++) {
    if (target[i] !== 0xe8) continue
    const absolute = target.readInt32LE(i + 1)
    if (absolute >= -i && absolute < TRANSLATION_SIZE) {
      target.writeInt32LE(absolute >= 0 ? absolute - i : absolute + TRANSLATION_SIZE, i + 1)
    }
    i += 4
  }
}

/** `position`: about where it was noticed. Decoders have loaded up to 4 bytes more than they used. */
const damaged = (position: number, expected: string, actual: string) =>
  formatError('LZX_DATA', { structure: 'LZX data', position, expected, actual })
