/** JSON written straight into bytes: lists of a million files are made of strings far too slowly. */
import type { FileTime } from '../lib/index.ts'
import { MAX_FILE_TIME_LENGTH, writeFileTime } from './file-time.ts'

const FIRST_SIZE = 256 * 1024
/** Digits, sign and exponent of the longest number. */
const MAX_NUMBER_LENGTH = 24
/** Bytes of a character as `\u202e`. */
const MAX_ESCAPE_LENGTH = 6

const [QUOTE, BACKSLASH, DIGIT_0] = [0x22, 0x5c, 0x30]

/** Text that is always the same, such as `,"size":`. */
export const jsonText = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))

export const NULL = jsonText('null')

/** Collects JSON, piece by piece, until it is taken. */
export class JsonBytes {
  #bytes = Buffer.allocUnsafe(FIRST_SIZE)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** All that was written; its memory is written again by what comes next. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#length = 0
    return taken
  }

  /** Made by `jsonText`. */
  text(text: Uint8Array): void {
    this.#room(text.length).set(text, this.#length)
    this.#length += text.length
  }

  /** A count or a size: whole and not negative. */
  number(value: number): void {
    const bytes = this.#room(MAX_NUMBER_LENGTH)
    let length = 1
    for (let power = 10; power <= value; power *= 10) length++
    let left = value
    for (let at = this.#length + length - 1; at >= this.#length; at--) {
      const tenth = Math.floor(left / 10)
      // The difference first: with the digit zero added a number next to 2^53 would be rounded.
      bytes[at] = DIGIT_0 + (left - tenth * 10)
      left = tenth
    }
    this.#length += length
  }

  /** Unpaired surrogates are escaped, as JSON.stringify does, so that nothing is lost. */
  string(value: string): void {
    const bytes = this.#room(MAX_ESCAPE_LENGTH * value.length + 2)
    let at = this.#length
    bytes[at++] = QUOTE
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i)
      if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
        this.#length += bytes.write(JSON.stringify(value), this.#length)
        return
      }
      bytes[at++] = code
    }
    bytes[at++] = QUOTE
    this.#length = at
  }

  /** In quotes; null where the file system has no such time. */
  time(value: FileTime | undefined): void {
    if (value === undefined) {
      this.text(NULL)
      return
    }
    const bytes = this.#room(MAX_FILE_TIME_LENGTH + 2)
    bytes[this.#length] = QUOTE
    const end = writeFileTime(bytes, this.#length + 1, value)
    bytes[end] = QUOTE
    this.#length = end + 1
  }

  /** The memory, with at least `length` bytes free. */
  #room(length: number): Buffer {
    if (this.#length + length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * this.#bytes.length + length)
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    return this.#bytes
  }
}
