/** Files that CompactOS compressed: the Windows Overlay Filter has their content. spec-notes/ntfs.md, WOF. */
import { exactNumber } from '../binary/fields.ts'
import { KiB, MiB } from '../binary/size.ts'
import { decodeLzx } from '../codec/lzx.ts'
import { decodeXpressHuffman } from '../codec/xpress-huffman.ts'
import { BlockDevice } from '../device/block-device.ts'
import { CachedDevice } from '../device/cached-device.ts'
import { type FormatError, formatError, ReadOnlyError } from '../errors.ts'
import type { AttributeReader } from './attribute-reader.ts'

/** The stream that holds the content of such a file. */
export const WOF_STREAM = 'WofCompressedData'

/** How WOF compresses. */
export interface WofFormat {
  readonly name: string
  /** Bytes of content that are compressed together. */
  readonly chunkSize: number
  readonly decode: (source: Buffer, target: Buffer, position: number) => void
}

/** By the number in the reparse point. */
export const wofFormats: readonly WofFormat[] = [
  { name: 'XPRESS 4K', chunkSize: 4 * KiB, decode: decodeXpressHuffman },
  { name: 'LZX', chunkSize: 32 * KiB, decode: decodeLzx },
  { name: 'XPRESS 8K', chunkSize: 8 * KiB, decode: decodeXpressHuffman },
  { name: 'XPRESS 16K', chunkSize: 16 * KiB, decode: decodeXpressHuffman },
]

/** Content that is read and decoded at once. */
const BATCH_SIZE = MiB
/** Bytes of the stream that are kept: the table is read again and again, and small files are read in one go. */
const STREAM_CACHE = 256 * KiB
/** From this size of the content on, the table has entries of 8 bytes instead of 4. */
const WIDE_FROM = 2 ** 32

/** Chunks `first` and those after it. */
interface Batch {
  readonly first: number
  /** Where each chunk begins in the data behind the table, and where the last one ends. */
  readonly offsets: readonly number[]
}

/**
 * The content of a file in its WofCompressedData stream: a table with the place of each chunk but the first, then the chunks. It
 * keeps nothing of the content: a part of a chunk costs decoding all of it, so put a cache over it.
 */
export class WofReader extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  readonly format: WofFormat
  readonly #stream: AttributeReader
  readonly #cached: BlockDevice
  readonly #entrySize: number
  readonly #tableSize: number

  /** `size`: bytes of the content. Throws FormatError (NTFS_WOF_TABLE) when the stream is too short for its table. */
  constructor(stream: AttributeReader, size: number, format: WofFormat) {
    super()
    this.size = size
    this.format = format
    this.#stream = stream
    this.#cached = new CachedDevice(stream, { capacity: STREAM_CACHE })
    this.#entrySize = size < WIDE_FROM ? 4 : 8
    this.#tableSize = this.#entrySize * Math.max(0, Math.ceil(size / format.chunkSize) - 1)
    if (this.#tableSize > stream.size) {
      throw this.#damaged(0, `a table of ${this.#tableSize} bytes`, `the end of the stream after ${stream.size}`)
    }
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    const { chunkSize } = this.format
    const end = offset + target.length
    const lastChunk = Math.floor((end - 1) / chunkSize)
    const perBatch = BATCH_SIZE / chunkSize
    for (let first = Math.floor(offset / chunkSize); first <= lastChunk; first += perBatch) {
      const offsets = await this.#readTable(first, Math.min(first + perBatch - 1, lastChunk))
      await this.#decode({ first, offsets }, offset, target)
    }
  }

  /** Where chunks `first` to `last` begin and the last one ends. */
  async #readTable(first: number, last: number): Promise<number[]> {
    const dataSize = this.#stream.size - this.#tableSize
    const tableEnd = this.#tableSize / this.#entrySize
    const from = Math.max(0, first - 1)
    const entries = Buffer.alloc(this.#entrySize * (Math.min(last + 1, tableEnd) - from))
    await this.#cached.read(this.#entrySize * from, entries)
    const offsets = first === 0 ? [0] : []
    for (let at = 0; at < entries.length; at += this.#entrySize) {
      offsets.push(this.#entrySize === 4 ? entries.readUInt32LE(at) : exactNumber(entries.readBigUInt64LE(at)))
    }
    if (last === tableEnd) offsets.push(dataSize)
    for (let i = 1; i < offsets.length; i++) {
      const length = offsets[i]! - offsets[i - 1]!
      const most = this.#chunkLength(first + i - 1)
      if (length > 0 && length <= most && offsets[i]! <= dataSize) continue
      const entry = this.#entrySize * Math.max(0, first + i - 2)
      throw this.#damaged(entry, `chunks of 1 to ${most} bytes within ${dataSize}`, `one of ${length}`)
    }
    return offsets
  }

  /** Decodes the batch into `target`, which begins at byte `offset` of the content. */
  async #decode({ first, offsets }: Batch, offset: number, target: Buffer): Promise<void> {
    const stored = Buffer.allocUnsafe(offsets.at(-1)! - offsets[0]!)
    const dataAt = this.#tableSize + offsets[0]!
    await this.#cached.read(dataAt, stored)
    for (let i = 0; i + 1 < offsets.length; i++) {
      const from = offsets[i]! - offsets[0]!
      const chunk = stored.subarray(from, offsets[i + 1]! - offsets[0]!)
      const start = (first + i) * this.format.chunkSize
      const length = this.#chunkLength(first + i)
      if (start >= offset && start + length <= offset + target.length) {
        this.#decodeChunk(chunk, target.subarray(start - offset, start - offset + length), dataAt + from)
      } else {
        const content = Buffer.allocUnsafe(length)
        this.#decodeChunk(chunk, content, dataAt + from)
        content.copy(target, Math.max(0, start - offset), Math.max(0, offset - start))
      }
    }
  }

  /** What is no shorter than its content is stored as it is. */
  #decodeChunk(chunk: Buffer, content: Buffer, at: number): void {
    if (chunk.length === content.length) chunk.copy(content)
    else this.format.decode(chunk, content, this.#positionOf(at))
  }

  #chunkLength(chunk: number): number {
    return Math.min(this.format.chunkSize, this.size - chunk * this.format.chunkSize)
  }

  #positionOf(at: number): number {
    return (at < this.#stream.size ? this.#stream.positionOf(at) : undefined) ?? this.#stream.attributePosition
  }

  #damaged(at: number, expected: string, actual: string): FormatError {
    const structure = `${WOF_STREAM} chunk table`
    return formatError('NTFS_WOF_TABLE', { structure, position: this.#positionOf(at), expected, actual })
  }

  protected override async writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'files in an NTFS volume are read only')
  }

  override async close(): Promise<void> {}
}
