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
  const [sourceView, view] = [viewOf(source), viewOf(target)]
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
        : decodeChunk(source, sourceView, at, end, target, view, chunk, chunkEnd, position)
    if (out < chunkEnd) target.fill(0, out, chunkEnd)
    at = end
  }
}

/** Decodes bytes `start` to `end` of `source` to bytes `chunk` to `chunkEnd` of `target`. Returns where it stopped there. */
function decodeChunk(
  source: Buffer,
  sourceView: DataView,
  start: number,
  end: number,
  target: Buffer,
  view: DataView,
  chunk: number,
  chunkEnd: number,
  position: number,
): number {
  let at = start
  let out = chunk
  // Up to here eight literals and a match can be read, and eight literals written, without a look at where they end.
  const safeAt = Math.min(end - 9, source.length - 8)
  const safeOut = chunkEnd - 8
  // The upper bits of a match are its distance: as many as the content so far needs, at least 4. The others are its length.
  let lengthBits = 12
  let wideEnough = chunk + 16
  // Eight tags, and a bit above them that shows when they are used up.
  let tags = 1
  while (at < end && out < chunkEnd) {
    if (tags === 1) {
      tags = source[at++]! | 0x100
      continue
    }
    if (at <= safeAt && out <= safeOut) {
      // All literals up to the next match at once: one by one, each costs a branch that nothing predicts.
      view.setUint32(out, sourceView.getUint32(at, true), true)
      view.setUint32(out + 4, sourceView.getUint32(at + 4, true), true)
      const literals = 31 - Math.clz32(tags & -tags)
      at += literals
      out += literals
      tags >>>= literals
      if (tags === 1) continue
    } else if ((tags & 1) === 0) {
      target[out++] = source[at++]!
      tags >>>= 1
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
    tags >>>= 1
  }
  return out
}

const damaged = (position: number, expected: string, actual: string) =>
  formatError('LZNT1_DATA', { structure: 'LZNT1 data', position, expected, actual })
