/** LZNT1, [MS-XCA] 2.5: what NTFS compresses files with. spec-notes/compression.md, LZNT1. */
import { formatError } from '../errors.ts'
import { copyMatch, viewOf } from './match.ts'

/** Bytes of content in a chunk. */
const CHUNK_SIZE = 4096
const HEADER_SIZE = 2
const COMPRESSED = 0x8000
const LEAST_MATCH = 3

/**
 * Decodes chunks from `source`, which lies at byte `position` of something, until `target` is full or they end: what is left
 * of `target` is zeros then, as Windows leaves it.
 * Throws FormatError (LZNT1_DATA) naming the byte where the source is damaged; `target` is then part filled.
 */
export function decodeLznt1(source: Buffer, target: Buffer, position = 0): void {
  let at = 0
  for (let chunk = 0; chunk < target.length; chunk += CHUNK_SIZE) {
    const header = at + HEADER_SIZE <= source.length ? source.readUInt16LE(at) : 0
    if (header === 0) {
      target.fill(0, chunk)
      return
    }
    at += HEADER_SIZE
    const end = at + (header & 0xfff) + 1
    if (end > source.length) throw damaged(position + at, `at most ${source.length - at} bytes of chunk`, `${end - at}`)
    const chunkEnd = Math.min(chunk + CHUNK_SIZE, target.length)
    const out =
      (header & COMPRESSED) === 0
        ? chunk + source.copy(target, chunk, at, end)
        : decodeChunk(source, at, end, target, chunk, chunkEnd, position)
    if (out < chunkEnd) target.fill(0, out, chunkEnd)
    at = end
  }
}

/** Decodes bytes `start` to `end` of `source` to bytes `chunk` to `chunkEnd` of `target`. Returns where it stopped there. */
function decodeChunk(
  source: Buffer,
  start: number,
  end: number,
  target: Buffer,
  chunk: number,
  chunkEnd: number,
  position: number,
): number {
  const view = viewOf(target)
  let at = start
  let out = chunk
  // The upper bits of a match are its distance: as many as the content so far needs, at least 4. The others are its length.
  let lengthBits = 12
  let wideEnough = chunk + 16
  while (at < end && out < chunkEnd) {
    // Eight tags, and a bit above them that shows when they are used up.
    let tags = source[at++]! | 0x100
    for (; tags !== 1 && at < end && out < chunkEnd; tags >>>= 1) {
      if ((tags & 1) === 0) {
        target[out++] = source[at++]!
        continue
      }
      if (at + 1 >= end) throw damaged(position + at, 'a match of 2 bytes', 'the end of the chunk')
      const match = source[at]! | (source[at + 1]! << 8)
      while (out > wideEnough) {
        lengthBits--
        wideEnough = chunk + (1 << (16 - lengthBits))
      }
      const distance = (match >>> lengthBits) + 1
      if (distance > out - chunk) {
        throw damaged(position + at, `a match at most ${out - chunk} bytes back`, `one ${distance} bytes back`)
      }
      const length = Math.min((match & ((1 << lengthBits) - 1)) + LEAST_MATCH, chunkEnd - out)
      copyMatch(target, view, out, distance, length)
      at += 2
      out += length
    }
  }
  return out
}

const damaged = (position: number, expected: string, actual: string) =>
  formatError('LZNT1_DATA', { structure: 'LZNT1 data', position, expected, actual })
