/** Files that CompactOS compressed. spec-notes/ntfs.md, WOF. */

/** The stream that holds the content of such a file. */
export const WOF_STREAM = 'WofCompressedData'

/** How WOF compresses. */
interface WofFormat {
  readonly method: 'XPRESS' | 'LZX'
  /** Bytes of content that are compressed together. */
  readonly chunkSize: number
}

/** By the number in the reparse point. */
export const wofFormats: readonly WofFormat[] = [
  { method: 'XPRESS', chunkSize: 4096 },
  { method: 'LZX', chunkSize: 32_768 },
  { method: 'XPRESS', chunkSize: 8192 },
  { method: 'XPRESS', chunkSize: 16_384 },
]
