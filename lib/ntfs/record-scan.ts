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

/**
 * Where in `piece` each record that is in use begins, with its update sequence put back in place. What was in use and is
 * damaged is told to `onDamage` instead. A record that is not in use may hold anything, and is passed over.
 */
export function* recordsInUse(
  { first, records }: MftPiece,
  recordSize: number,
  onDamage: (record: number, problem: string) => void,
): Iterable<number> {
  for (let at = 0; at < records.length; at += recordSize) {
    const magic = records.readUInt32LE(at)
    if ((magic !== FILE_MAGIC && magic !== BAAD_MAGIC) || (records[at + FLAGS_OFFSET]! & RecordFlag.inUse) === 0) {
      continue
    }
    const problem = magic === BAAD_MAGIC ? 'cannot be read' : applyFixup(records, at, recordSize)
    if (problem === undefined) yield at
    else onDamage(first + at / recordSize, problem)
  }
}

/** Makes `record` one that a scan takes for in use and damaged. */
export function markUnreadable(record: Buffer): void {
  record.writeUInt32LE(BAAD_MAGIC, 0)
  record.writeUInt16LE(RecordFlag.inUse, FLAGS_OFFSET)
}
