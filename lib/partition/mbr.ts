/** The master boot record and the chain of extended boot records behind it. spec-notes/partition-tables.md, "MBR". */

import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { hex } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type BootRecord, bootRecord, type MbrEntry, mbrEntry } from './format.ts'
import { MAX_PARTITIONS, type TableEntry } from './partition.ts'
import { isExtendedType, mbrTypeId } from './types.ts'

const ENTRIES_OFFSET = bootRecord.offsetOf('entries')
export const PROTECTIVE_TYPE = 0xee

/** As many as a table may list beside four primaries; it ends chains that would run through a whole disk. */
const MAX_LOGICAL = MAX_PARTITIONS - 4

/** An MBR whose signature is there. */
export interface Mbr {
  /** As Linux and Windows show it: 8 hex digits. */
  readonly diskId: string
  /** The four slots, empty ones as undefined. */
  readonly slots: readonly (MbrEntry | undefined)[]
  /** Some slot is of type 0xEE: the disk has a GPT, or had one. */
  readonly protective: boolean
  /** Some slot is in use for something else than a GPT. */
  readonly listsPartitions: boolean
}

export interface MbrPartitions {
  readonly entries: readonly TableEntry[]
  /** LBAs of the extended boot records. */
  readonly extendedRecords: readonly number[]
  readonly findings: readonly Finding[]
}

/**
 * Reads `sector`, the first of a disk. Undefined when it is no MBR: no 55 AA at its end, or a boot indicator that is
 * neither 0x00 nor 0x80, which is how the boot sector of a bare volume, with code in the table's place, is told apart.
 */
export function readMbr(sector: Buffer): Mbr | undefined {
  if (!bootRecord.matches(sector)) return undefined
  const record = bootRecord.decode(sector)
  if (record.entries.some(entry => entry.status !== 0 && entry.status !== 0x80)) return undefined
  const slots = slotsOf(record)
  return {
    diskId: record.diskSignature.toString(16).padStart(8, '0'),
    slots,
    protective: slots.some(slot => slot?.type === PROTECTIVE_TYPE),
    listsPartitions: slots.some(slot => slot !== undefined && slot.type !== PROTECTIVE_TYPE),
  }
}

const slotsOf = (record: BootRecord) =>
  record.entries.map(entry => (entry.type === 0 || entry.sectorCount === 0 ? undefined : entry))

/** Whether every partition the MBR lists lies behind LBA 0 and ends within `size` bytes. */
export const partitionsFit = (mbr: Mbr, sectorSize: number, size: number) =>
  mbr.slots.every(
    slot => slot === undefined || (slot.firstLba > 0 && (slot.firstLba + slot.sectorCount) * sectorSize <= size),
  )

/**
 * The sector size an MBR counts in, which nothing in it says: of `sizes` the first with which all partitions fit the
 * disk and one of them begins with something that ends in 55 AA: a volume's boot sector or an EBR. Without such a
 * sign, the first.
 */
export async function mbrSectorSize(disk: BlockDevice, mbr: Mbr, sizes: readonly number[]): Promise<number> {
  for (const size of sizes) {
    if (!partitionsFit(mbr, size, disk.size)) continue
    for (const slot of mbr.slots) {
      if (slot !== undefined && (await hasBootSignature(disk, slot.firstLba * size))) return size
    }
  }
  return sizes[0]!
}

async function hasBootSignature(disk: BlockDevice, offset: number): Promise<boolean> {
  const sector = Buffer.alloc(bootRecord.size)
  if (offset + sector.length > disk.size) return false
  await tryRead(disk, offset, sector)
  return sector.readUInt16LE(510) === 0xaa55
}

/** All partitions of `mbr`, logical ones too. A chain that is broken ends where it breaks, with a finding. */
export async function readMbrPartitions(disk: BlockDevice, mbr: Mbr, sectorSize: number): Promise<MbrPartitions> {
  const entries: TableEntry[] = []
  const extendedRecords: number[] = []
  const findings: Finding[] = []
  for (const [slot, entry] of mbr.slots.entries()) {
    if (entry === undefined || isExtendedType(entry.type)) continue
    entries.push(tableEntry(mbr, slot + 1, entry, 0, ENTRIES_OFFSET + slot * mbrEntry.size))
  }
  let number = 5
  for (const extended of mbr.slots) {
    if (extended === undefined || !isExtendedType(extended.type)) continue
    for await (const link of extendedChain(disk, extended, sectorSize, findings)) {
      if (extendedRecords.includes(link.lba)) break
      extendedRecords.push(link.lba)
      for (const [slot, entry] of link.slots.entries()) {
        if (entry === undefined || isExtendedType(entry.type)) continue
        const position = link.lba * sectorSize + ENTRIES_OFFSET + slot * mbrEntry.size
        entries.push(tableEntry(mbr, number++, entry, link.lba, position))
      }
    }
  }
  return { entries, extendedRecords, findings }
}

interface ExtendedRecord {
  readonly lba: number
  readonly slots: readonly (MbrEntry | undefined)[]
}

/**
 * The boot records of an extended partition. Each lists its logical partition, counted from the record's own LBA, and
 * the next record, counted from the start of the extended partition.
 */
async function* extendedChain(
  disk: BlockDevice,
  extended: MbrEntry,
  sectorSize: number,
  findings: Finding[],
): AsyncIterable<ExtendedRecord> {
  const seen = new Set<number>()
  let lba: number | undefined = extended.firstLba
  while (lba !== undefined) {
    const problem: string = seen.has(lba)
      ? 'comes round to'
      : seen.size === MAX_LOGICAL
        ? `goes on after ${MAX_LOGICAL} at`
        : ''
    const slots: ExtendedRecord['slots'] | string = problem || (await readExtendedRecord(disk, lba * sectorSize))
    if (typeof slots === 'string') {
      findings.push(brokenChain(slots, lba, lba * sectorSize))
      return
    }
    seen.add(lba)
    yield { lba, slots }
    const next: MbrEntry | undefined = slots.find(slot => slot !== undefined && isExtendedType(slot.type))
    lba = next === undefined ? undefined : extended.firstLba + next.firstLba
  }
}

/** The slots of the record at byte `position`, or what is wrong with the chain that leads there. */
async function readExtendedRecord(disk: BlockDevice, position: number): Promise<ExtendedRecord['slots'] | string> {
  const sector = Buffer.alloc(bootRecord.size)
  if (position + sector.length > disk.size) return 'leads beyond the end of the disk, to'
  if ((await tryRead(disk, position, sector)) !== undefined) return 'leads to a sector that cannot be read,'
  if (!bootRecord.matches(sector)) return 'leads to something without a boot signature, at'
  return slotsOf(bootRecord.decode(sector, 0, position))
}

const brokenChain = (problem: string, lba: number, position: number): Finding => ({
  code: 'EBR_CHAIN_BROKEN',
  message: `the chain of extended boot records ${problem} LBA ${lba} (byte ${hex(position)}): logical partitions behind it are not known, their sectors are copied where they are not zero`,
  details: { lba, position },
})

function tableEntry(mbr: Mbr, number: number, entry: MbrEntry, base: number, position: number): TableEntry {
  return {
    number,
    firstLba: base + entry.firstLba,
    sectorCount: entry.sectorCount,
    position,
    typeId: mbrTypeId(entry.type),
    id: `${mbr.diskId}-${number.toString(16).padStart(2, '0')}`,
    active: entry.status === 0x80,
  }
}
