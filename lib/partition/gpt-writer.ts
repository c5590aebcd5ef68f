/**
 * Rewriting a GPT so that at any moment one whole copy of it is on the disk, and whoever reads both finds the old table
 * or the new one. spec-notes/partition-tables.md, "Writing a GPT".
 */
import { crc32, crc32Without } from '../binary/crc32.ts'
import { guidFromText, NIL_GUID } from '../binary/guid.ts'
import { KiB } from '../binary/size.ts'
import { intersect, type Range } from '../device/ranges.ts'
import { RefusedError } from '../errors.ts'
import { type GptHeader, gptEntry, gptHeader } from './format.ts'
import { type GoodCopy, type GptCopies, isGood } from './gpt-copy.ts'
import type { TableStep, TableWrite } from './table-writes.ts'

/** Room that each copy keeps for its entries, however few there are (UEFI 5.3.1). */
const MIN_ENTRIES_ROOM = 16 * KiB

/** What is to be different. What is not told stays. */
export interface GptChange {
  /** LBA of the disk's last sector, which the backup goes to. */
  readonly lastLba?: number
  readonly diskGuid?: string
  /** By slot from 1. Slots that are not in use are passed over. */
  readonly partitionGuids?: ReadonlyMap<number, string>
}

/** LBA of the last sector that the table needs, its backup included. `good`: the copy that counts. */
export function smallestLastLba(sectorSize: number, good: GoodCopy): number {
  const room = entriesRoom(sectorSize, good)
  // Whatever the header says, the first copy is there before anything else.
  return Math.max(1 + room, good.header.firstUsableLba, lastUsedLba(good)) + room + 1
}

/** LBA of the last sector that a partition has; 0 where there is none. */
export function lastUsedLba(good: GoodCopy): number {
  return usedSlots(good).reduce((last, { firstLba, lastLba }) => Math.max(last, firstLba, lastLba), 0)
}

/**
 * What has to be written to change the table of which `good` is the copy that counts: nothing where all is as it should
 * be. The other copy is made good on the way where it is damaged or differs.
 * Throws RefusedError: GPT_DOES_NOT_FIT for a last sector below `smallestLastLba`, GPT_NO_ROOM.
 */
export function planGpt(copies: GptCopies, good: GoodCopy, change: GptChange): readonly TableStep[] {
  const { sectorSize, primary, backup } = copies
  const first = isGood(primary) ? primary : restoredPrimary(sectorSize, good)
  const entries = withPartitionGuids(good, change.partitionGuids)
  const { lastLba, lastUsableLba, entriesLba } = placeOfBackup(copies, good, change)
  const fields = { lastUsableLba, diskGuid: change.diskGuid ?? good.header.diskGuid }
  const second = rewritten(good, entries, { ...fields, myLba: lastLba, alternateLba: 1, entriesLba })
  const there = [first, backup].filter(isGood).flatMap(copy => writesOf(sectorSize, copy))
  const isNew = ({ offset, bytes }: TableWrite) => !there.some(old => old.offset === offset && old.bytes.equals(bytes))
  const steps: TableStep[] = [
    first === primary ? [] : writesOf(sectorSize, first),
    writesOf(sectorSize, second).filter(isNew),
    writesOf(sectorSize, rewritten(first, entries, { ...fields, myLba: 1, alternateLba: lastLba })).filter(isNew),
    isGood(backup) ? zerosOver(sectorSize, backup, second) : [],
  ]
  return steps.filter(step => step.length > 0)
}

/** Where the backup goes, and the last sector that partitions may have then. A good one stays where it is until it is told. */
function placeOfBackup({ sectorSize, lastLba: diskLastLba, backup }: GptCopies, good: GoodCopy, change: GptChange) {
  const hasBackup = isGood(backup) && backup.entries.length === good.entries.length
  const lastLba = change.lastLba ?? (hasBackup ? backup.lba : diskLastLba)
  if (hasBackup && backup.lba === lastLba) {
    return { lastLba, lastUsableLba: good.header.lastUsableLba, entriesLba: backup.header.entriesLba }
  }
  const smallest = smallestLastLba(sectorSize, good)
  if (lastLba < smallest) {
    throw new RefusedError(
      'GPT_DOES_NOT_FIT',
      `the GPT and its partitions need a disk of at least ${(smallest + 1) * sectorSize} bytes, not ${(lastLba + 1) * sectorSize}`,
      { expected: (smallest + 1) * sectorSize, actual: (lastLba + 1) * sectorSize },
    )
  }
  const entriesLba = lastLba - entriesRoom(sectorSize, good)
  return { lastLba, lastUsableLba: entriesLba - 1, entriesLba }
}

/** The first copy made anew from the backup, for the same disk. */
function restoredPrimary(sectorSize: number, backup: GoodCopy): GoodCopy {
  const { entries, header } = backup
  const end = 2 + Math.ceil(entries.length / sectorSize)
  if (end > header.firstUsableLba) {
    throw new RefusedError(
      'GPT_NO_ROOM',
      `the first GPT is damaged, and cannot be made anew from its backup: its entries lay elsewhere, behind LBA 1 they need all up to LBA ${end}, and partitions may begin at LBA ${header.firstUsableLba}. Repair it with gdisk on a copy of the disk`,
      { expected: end, actual: header.firstUsableLba },
    )
  }
  return rewritten(backup, entries, { myLba: 1, alternateLba: backup.lba, entriesLba: 2 })
}

/** `copy` with other entries and header fields, and the checksums that are right for them. */
function rewritten(copy: GoodCopy, entries: Buffer, fields: Partial<GptHeader>): GoodCopy {
  const header = { ...copy.header, ...fields, entriesChecksum: crc32(entries) }
  const sector = Buffer.from(copy.sector)
  gptHeader.encode(header, sector)
  const checksumOffset = gptHeader.offsetOf('headerChecksum')
  header.headerChecksum = crc32Without(sector.subarray(0, header.headerSize), checksumOffset)
  sector.writeUInt32LE(header.headerChecksum, checksumOffset)
  return { lba: header.myLba, header, sector, entries }
}

function withPartitionGuids(good: GoodCopy, guids: GptChange['partitionGuids']): Buffer {
  const entries = Buffer.from(good.entries)
  for (const { number, offset } of usedSlots(good)) {
    const guid = guids?.get(number)
    if (guid !== undefined) guidFromText(guid).copy(entries, offset + gptEntry.offsetOf('partitionGuid'))
  }
  return entries
}

/** The entries in use, and where in the array they are. */
function usedSlots({ header: { entryCount, entrySize }, entries }: GoodCopy) {
  const slots = Array.from({ length: entryCount }, (_, slot) => {
    const offset = slot * entrySize
    return { number: slot + 1, offset, ...gptEntry.decode(entries, offset) }
  })
  return slots.filter(({ typeGuid }) => typeGuid !== NIL_GUID)
}

/** Sectors of the entries beside a header. */
const entriesRoom = (sectorSize: number, { entries }: GoodCopy) =>
  Math.ceil(Math.max(entries.length, MIN_ENTRIES_ROOM) / sectorSize)

const writesOf = (sectorSize: number, { lba, sector, header, entries }: GoodCopy): TableStep => [
  { offset: header.entriesLba * sectorSize, bytes: entries },
  { offset: lba * sectorSize, bytes: sector },
]

/**
 * Zeros where the backup was before it went further back, so that nobody takes it for a table again: unless something
 * else is there by now. What lies behind the new end is cut off anyway.
 */
function zerosOver(sectorSize: number, old: GoodCopy, backup: GoodCopy): TableStep {
  if (old.lba >= backup.lba) return []
  const isTaken = [...writesOf(sectorSize, backup).map(rangeOf), ...partitionRanges(sectorSize, backup)]
  return writesOf(sectorSize, old)
    .filter(write => isTaken.every(range => intersect(range, rangeOf(write)) === undefined))
    .map(({ offset, bytes }) => ({ offset, bytes: Buffer.alloc(bytes.length) }))
}

const rangeOf = ({ offset, bytes }: TableWrite): Range => ({ offset, length: bytes.length })

const partitionRanges = (sectorSize: number, copy: GoodCopy): Range[] =>
  usedSlots(copy).map(({ firstLba, lastLba }) => ({
    offset: firstLba * sectorSize,
    length: (lastLba + 1 - firstLba) * sectorSize,
  }))
