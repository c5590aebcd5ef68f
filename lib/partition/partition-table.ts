/** Reading whatever partition table a disk has. spec-notes/partition-tables.md. */
import { formatSize } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { normalizeRanges } from '../device/ranges.ts'
import { tryRead } from '../device/try-read.ts'
import { DiskImageError, FormatError, hex, type StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { bootRecord } from './format.ts'
import { type Gpt, readGpt } from './gpt.ts'
import { type Mbr, mbrSectorSize, partitionsFit, readMbr, readMbrPartitions } from './mbr.ts'
import { MAX_PARTITIONS, type Partition, type PartitionTable, type TableEntry } from './partition.ts'
import { partitionTypeName } from './types.ts'
import { isVolumeBootSector } from './volume-boot-sector.ts'

export type { Partition, PartitionTable } from './partition.ts'

/** How `readPartitionTable` reads. */
export interface PartitionTableOptions {
  /** Sector sizes to try, in this order. Default: the disk's own, then the other of 512 and 4096: a raw file does not say. */
  readonly sectorSizes?: readonly number[]
  /**
   * What becomes of a disk that ends before its table says: 'refuse' (default) throws; 'cut' cuts the partitions to
   * what is there, leaves out those that begin beyond it, and reports each.
   */
  readonly truncated?: 'refuse' | 'cut'
}

/**
 * The partitions of `disk` and where its tables lie. Damage that a second copy makes good is reported in `findings`.
 * An LBA 0 that cannot be read counts as one without an MBR, and is reported too.
 * Throws FormatError: GPT_DAMAGED when the MBR announces a GPT and neither copy is whole, PARTITION_BEYOND_END and
 * DISK_TRUNCATED when the disk is smaller than its table says, TOO_MANY_PARTITIONS and TOO_MANY_OVERLAPS.
 */
export async function readPartitionTable(
  disk: BlockDevice,
  options: PartitionTableOptions = {},
): Promise<PartitionTable> {
  const sectorSizes = options.sectorSizes ?? [...new Set([disk.sectorSize, 512, 4096])]
  const sector = Buffer.alloc(bootRecord.size)
  if (disk.size < sector.length) return noTable(disk, [])
  const unreadable = await tryRead(disk, 0, sector)
  const gpt = await readGpt(disk, sectorSizes)
  const gptIsWhole = !(gpt instanceof DiskImageError)
  if (unreadable !== undefined) {
    const findings = [unreadableMbr(unreadable)]
    return gptIsWhole && !gpt.hasLostStart ? gptTable(disk, gpt, undefined, findings, options) : noTable(disk, findings)
  }
  const mbr = readMbr(sector)

  if (mbr?.protective) {
    if (gptIsWhole) return gptTable(disk, gpt, mbr, [], options)
    throw damagedGpt(gpt)
  }
  const isVolume = isVolumeBootSector(sector)
  if (mbr?.listsPartitions && !(isVolume && !mbrFits(disk, mbr, sectorSizes))) {
    return mbrTable(disk, mbr, gptIsWhole ? [ignoredGpt] : [], sectorSizes, options)
  }
  if (isVolume) return noTable(disk, [])
  // Somebody wiped LBA 0. A backup without the first copy does not count: that is what a disk still carries at its end
  // that was made anew without a table.
  if (gptIsWhole && !gpt.fromBackup) return gptTable(disk, gpt, mbr, [lostMbr], options)
  if (mbr !== undefined) return mbrTable(disk, mbr, [], sectorSizes, options)
  return noTable(disk, bootRecord.matches(sector) ? [doubtfulMbr] : [])
}

const mbrFits = (disk: BlockDevice, mbr: Mbr, sectorSizes: readonly number[]) =>
  sectorSizes.some(size => partitionsFit(mbr, size, disk.size))

function noTable(disk: BlockDevice, findings: readonly Finding[]): PartitionTable {
  return { type: 'none', sectorSize: disk.sectorSize, diskId: undefined, partitions: [], tables: [], findings }
}

function gptTable(
  disk: BlockDevice,
  gpt: Gpt,
  mbr: Mbr | undefined,
  findings: readonly Finding[],
  options: PartitionTableOptions,
): PartitionTable {
  const { sectorSize, diskId, endLba } = gpt
  const placed = placePartitions(disk, gpt.entries, sectorSize, options)
  const truncated = (endLba + 1) * sectorSize > disk.size ? [truncatedDisk(disk, endLba, sectorSize, options)] : []
  return {
    type: 'gpt',
    sectorSize,
    diskId,
    partitions: placed.partitions,
    tables: normalizeRanges([{ offset: 0, length: sectorSize }, ...gpt.tables]),
    findings: [...findings, ...gpt.findings, ...truncated, ...placed.findings],
    ...(mbr?.protective && mbr.listsPartitions ? { hybrid: true } : {}),
  }
}

async function mbrTable(
  disk: BlockDevice,
  mbr: Mbr,
  findings: readonly Finding[],
  sectorSizes: readonly number[],
  options: PartitionTableOptions,
): Promise<PartitionTable> {
  const sectorSize = await mbrSectorSize(disk, mbr, sectorSizes)
  const read = await readMbrPartitions(disk, mbr, sectorSize)
  const placed = placePartitions(disk, read.entries, sectorSize, options)
  const sectors = [0, ...read.extendedRecords].map(lba => ({ offset: lba * sectorSize, length: sectorSize }))
  return {
    type: 'mbr',
    sectorSize,
    diskId: mbr.diskId,
    partitions: placed.partitions,
    tables: normalizeRanges(sectors),
    findings: [...findings, ...read.findings, ...placed.findings],
  }
}

/** Damaged tables have a few. Each overlap lets one more survey of the same, possibly vast, sectors be under way. */
const MAX_OVERLAPS = 16

/** The entries as partitions of `disk`, by offset. */
function placePartitions(
  disk: BlockDevice,
  entries: readonly TableEntry[],
  sectorSize: number,
  options: PartitionTableOptions,
): { partitions: Partition[]; findings: Finding[] } {
  if (entries.length > MAX_PARTITIONS) throw tooMany('PARTITIONS', 'partitions', MAX_PARTITIONS, entries.length)
  const findings: Finding[] = []
  const partitions: Partition[] = []
  for (const { firstLba, sectorCount, position, ...entry } of entries) {
    const offset = firstLba * sectorSize
    const end = (firstLba + sectorCount) * sectorSize
    if (end > disk.size) {
      const problem = beyondEnd(entry.number, position, end, disk.size)
      if (options.truncated !== 'cut') throw problem
      findings.push({ code: problem.code, message: problem.message, details: problem.details })
    }
    const size = Math.min(end, disk.size) - offset
    if (size > 0) partitions.push({ ...entry, offset, size, typeName: partitionTypeName(entry.typeId) })
  }
  partitions.sort((a, b) => a.offset - b.offset || a.number - b.number)
  const overlapping = overlaps(partitions)
  if (overlapping.length > MAX_OVERLAPS) {
    throw tooMany('OVERLAPS', 'partitions that begin inside another', MAX_OVERLAPS, overlapping.length)
  }
  return { partitions, findings: [...findings, ...overlapping] }
}

/** A finding for each partition that begins before one in front of it has ended. */
function overlaps(partitions: readonly Partition[]): Finding[] {
  const findings: Finding[] = []
  let longest: Partition | undefined
  for (const partition of partitions) {
    if (longest !== undefined && partition.offset < longest.offset + longest.size) {
      findings.push({
        code: 'PARTITIONS_OVERLAP',
        message: `partition ${partition.number} begins inside partition ${longest.number}, at byte ${hex(partition.offset)}`,
        details: { partitions: [longest.number, partition.number], position: partition.offset },
      })
    }
    if (longest === undefined || partition.offset + partition.size > longest.offset + longest.size) longest = partition
  }
  return findings
}

const CUT_OFF = 'The disk or file was cut off, or read with the wrong size; copy it again from its source'

const beyondEnd = (number: number, position: number, expected: number, actual: number): FormatError =>
  new FormatError(
    'PARTITION_BEYOND_END',
    `partition ${number} (entry at byte ${hex(position)}) ends at byte ${expected} (${formatSize(expected)}), but the disk has ${actual} bytes (${formatSize(actual)}). ${CUT_OFF}`,
    { structure: 'partition table', field: `partition ${number}`, position, expected, actual },
  )

const tooMany = (of: string, what: string, expected: number, actual: number): FormatError =>
  new FormatError(
    `TOO_MANY_${of}`,
    `the partition table lists ${actual} ${what}, more than the ${expected} that are read: no system makes such a table. Repair it first, for example with gdisk or TestDisk on a copy of the disk`,
    { structure: 'partition table', expected, actual },
  )

/** Reported or thrown when only the end of the disk is missing, with the backup GPT and no partition. */
function truncatedDisk(disk: BlockDevice, endLba: number, sectorSize: number, options: PartitionTableOptions): Finding {
  const [expected, actual] = [(endLba + 1) * sectorSize, disk.size]
  const message = `the GPT is for a disk of ${expected} bytes (${formatSize(expected)}), but this one has ${actual} (${formatSize(actual)}). ${CUT_OFF}`
  const details = { structure: 'GPT header', field: 'alternateLba', position: sectorSize, expected, actual }
  if (options.truncated !== 'cut') throw new FormatError('DISK_TRUNCATED', message, details)
  return { code: 'DISK_TRUNCATED', message, details }
}

const damagedGpt = (problem: DiskImageError): FormatError =>
  new FormatError(
    'GPT_DAMAGED',
    `the MBR says this disk has a GPT, but neither copy of it is whole: ${problem.message}. Repair it first, for example with gdisk or TestDisk on a copy of the disk`,
    problem.details,
    { cause: problem },
  )

const ignoredGpt: Finding = {
  code: 'GPT_IGNORED',
  message: 'the disk has a whole GPT, but its MBR lists partitions and does not announce the GPT; the MBR was used',
}

const lostMbr: Finding = {
  code: 'GPT_WITHOUT_MBR',
  message: 'the protective MBR in LBA 0 is missing; the GPT behind it is whole and was used',
}

const unreadableMbr = (problem: StorageError): Finding => ({
  code: 'MBR_UNREADABLE',
  message: `LBA 0 cannot be read, so partitions that only an MBR lists are not known: ${problem.message}`,
  details: { position: 0 },
})

const doubtfulMbr: Finding = {
  code: 'MBR_IMPLAUSIBLE',
  message:
    'LBA 0 ends in 55 AA, but is neither an MBR (a boot indicator is not 0x00 or 0x80) nor the boot sector of a known volume',
}
