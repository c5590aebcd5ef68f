/** Links and devices as Interix made them: system files whose content begins with a mark. spec-notes/ntfs.md, Interix. */
import type { EntryKind } from '../volume/entry.ts'

/** The first four letters of every mark, as a number. */
export const INTERIX_MARK = 0x78_74_6e_49
/** Bytes of a mark. */
export const INTERIX_MARK_SIZE = 8

/** What such a file is. */
export interface InterixFile {
  readonly kind: EntryKind
  readonly target: string | undefined
}

/** Undefined where `content` only begins as one does. */
export function decodeInterix(content: Buffer): InterixFile | undefined {
  switch (content.toString('latin1', 0, INTERIX_MARK_SIZE)) {
    case 'IntxLNK\x01':
      return { kind: 'link', target: content.toString('utf16le', INTERIX_MARK_SIZE) }
    case 'IntxCHR\0':
    case 'IntxBLK\0':
      return { kind: 'other', target: undefined }
    default:
      return undefined
  }
}
