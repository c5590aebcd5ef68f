/** The structures of an undo file: spec-notes/undo.md. */
import { magic, reserved, u8, u32, u64 } from '../binary/fields.ts'
import { type Infer, struct } from '../binary/struct.ts'

/** spec-notes/undo.md, Header */
export const undoHeader = struct('undo file header', 64, {
  signature: magic('undofile'),
  version: u32,
  checksum: u32,
  sizeBefore: u64,
  sizeAfter: u64,
  reportLength: u32,
  reserved: reserved(28),
})
export type UndoHeader = Infer<typeof undoHeader>

export const UNDO_VERSION = 1

/** spec-notes/undo.md, Records */
export const undoRecord = struct('undo file record', 32, {
  signature: magic('chng'),
  checksum: u32,
  position: u64,
  length: u32,
  stage: u8,
  before: u8,
  after: u8,
  reserved: reserved(9),
})
export type UndoRecord = Infer<typeof undoRecord>

/** What of a range is in the undo file. */
export const ABSENT = 0
export const ZEROS = 1
export const BYTES = 2

/** spec-notes/undo.md, End */
export const undoEnd = struct('undo file end', 32, {
  signature: magic('done'),
  checksum: u32,
  recordCount: u64,
  length: u64,
  reserved: reserved(8),
})

/** A record is held in memory whole. */
export const MAX_RECORD_LENGTH = 1024 * 1024
export const MAX_REPORT_LENGTH = 1024 * 1024
/** Records of the first stage are compared with later ones, and kept until those come. */
export const MAX_MARKS = 16
