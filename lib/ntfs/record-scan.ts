/** Millions of file records, looked at where they are read. spec-notes/ntfs.md, File record. */
import { applyFixup } from './fixup.ts'
import { RecordFlag } from './format.ts'

/** Whole records of $MFT, one after another. Belongs to the scan: use it before the next one is asked for. */
export interface MftPiece {
  /** Number of the first record. */
  readonly first: number
  readonly records: Buffer
}

/** `FILE` and `BAAD`, little-endian. */
const FILE_MAGIC = 0x454c4946
const BAAD_MAGIC = 0x44414142
const FLAGS_OFFSET = 0x16

/** Told of a record that was in use and is damaged. */
type OnDamage = (record: number, problem: string) => void

/**
 * Where in `piece` each record that is in use begins, with its update sequence put back in place. What was in use and is
 * damaged is told to `onDamage` instead. A record that is not in use may hold anything, and is passed over.
 */
export function* recordsInUse(piece: MftPiece, recordSize: number, onDamage: OnDamage): Iterable<number> {
  const { length } = piece.records
  for (let at = nextInUse(piece, 0, recordSize, onDamage); at < length; at += recordSize) {
    yield at
    at = nextInUse(piece, at + recordSize, recordSize, onDamage) - recordSize
  }
}

/** Where the first of them begins at `at` or later; the end of the piece when there is none. Made for scans of millions. */
export function nextInUse({ first, records }: MftPiece, at: number, recordSize: number, onDamage: OnDamage): number {
  for (; at < records.length; at += recordSize) {
    const magic = records.readUInt32LE(at)
    if ((magic !== FILE_MAGIC && magic !== BAAD_MAGIC) || (records[at + FLAGS_OFFSET]! & RecordFlag.inUse) === 0) {
      continue
    }
    const problem = magic === BAAD_MAGIC ? 'cannot be read' : applyFixup(records, at, recordSize)
    if (problem === undefined) break
    onDamage(first + at / recordSize, problem)
  }
  return at
}

/** Makes `record` one that a scan takes for in use and damaged. */
export function markUnreadable(record: Buffer): void {
  record.writeUInt32LE(BAAD_MAGIC, 0)
  record.writeUInt16LE(RecordFlag.inUse, FLAGS_OFFSET)
}
