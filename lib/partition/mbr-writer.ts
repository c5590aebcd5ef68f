/** Changes of the master boot record, each of a single sector. */
import { bootRecord, mbrEntry } from './format.ts'
import { PROTECTIVE_TYPE } from './mbr.ts'
import type { TableWrite } from './table-writes.ts'

const MAX_COUNT = 2 ** 32 - 1

/** The MBR in `sector` with another disk signature, a number of 32 bits. */
export function withSignature(sector: Buffer, signature: number): TableWrite {
  const bytes = Buffer.from(sector)
  bytes.writeUInt32LE(signature, bootRecord.offsetOf('diskSignature'))
  return { offset: 0, bytes }
}

/**
 * The protective MBR in `sector` for a disk that ends with `lastLba`; undefined where nothing is to be changed. That is so
 * where it covers all there can be, as Windows writes it, and where it lists partitions of its own, which bound it.
 */
export function withProtectedSize(sector: Buffer, lastLba: number): TableWrite | undefined {
  if (!bootRecord.matches(sector)) return undefined
  const used = bootRecord
    .decode(sector)
    .entries.flatMap((entry, slot) => (entry.type === 0 ? [] : [{ ...entry, slot }]))
  const [only] = used
  if (used.length !== 1 || only!.type !== PROTECTIVE_TYPE) return undefined
  const sectorCount = Math.min(lastLba, MAX_COUNT)
  if (only!.sectorCount === MAX_COUNT || only!.sectorCount === sectorCount) return undefined
  const bytes = Buffer.from(sector)
  const place = bootRecord.offsetOf('entries') + only!.slot * mbrEntry.size
  bytes.writeUInt32LE(sectorCount, place + mbrEntry.offsetOf('sectorCount'))
  return { offset: 0, bytes }
}
