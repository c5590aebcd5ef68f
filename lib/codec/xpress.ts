/** XPRESS without Huffman codes, [MS-XCA] 2.3 and 2.4. spec-notes/compression.md, XPRESS. */
import { formatError } from '../errors.ts'
import { copyMatch, viewOf } from './match.ts'

const LEAST_MATCH = 3
/** Lengths up to here are in the match, the half byte and the byte; a length at the limit goes on in the next of them. */
const [IN_MATCH, IN_HALF, IN_BYTE] = [7, 15, 255]

/**
 * Decodes all of `target` from `source`, which lies at byte `position` of something.
 * Throws FormatError (XPRESS_DATA) naming the byte where the source is damaged or too short; `target` is then part filled.
 */
export function decodeXpress(source: Buffer, target: Buffer, position = 0): void {
  const view = viewOf(target)
  let [at, out] = [0, 0]
  let [flags, flagCount] = [0, 0]
  /** A byte whose upper half is the length of the next long match. */
  let halfByteAt = -1
  const take = (size: number): number => {
    if (at + size > source.length) throw damaged(position + at, `${size} more bytes`, 'the end of the data')
    at += size
    return source.readUIntLE(at - size, size)
  }
  const takeHalfByte = (): number => {
    const shared = halfByteAt
    halfByteAt = shared < 0 ? at : -1
    return shared < 0 ? take(1) & 15 : source[shared]! >>> 4
  }
  const takeLength = (): number => {
    const half = takeHalfByte()
    if (half < IN_HALF) return IN_MATCH + half
    const byte = take(1)
    if (byte < IN_BYTE) return IN_MATCH + IN_HALF + byte
    const length = take(2) || take(4)
    if (length < IN_MATCH + IN_HALF) throw damaged(position + at, 'a length of at least 22', `${length}`)
    return length
  }
  while (out < target.length) {
    if (flagCount === 0) {
      flags = take(4)
      flagCount = 32
    }
    flagCount--
    if (((flags >>> flagCount) & 1) === 0) {
      target[out++] = take(1)
      continue
    }
    const match = take(2)
    const distance = (match >>> 3) + 1
    const length = LEAST_MATCH + ((match & 7) < IN_MATCH ? match & 7 : takeLength())
    if (distance > out) throw damaged(position + at, `a match at most ${out} bytes back`, `one ${distance} bytes back`)
    if (length > target.length - out) {
      throw damaged(position + at, `a match of at most ${target.length - out} bytes`, `one of ${length} bytes`)
    }
    copyMatch(target, view, out, distance, length)
    out += length
  }
}

const damaged = (position: number, expected: string, actual: string) =>
  formatError('XPRESS_DATA', { structure: 'XPRESS data', position, expected, actual })
