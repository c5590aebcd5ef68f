/** The boot region of an exFAT volume, which it has twice. spec-notes/exfat.md, "Boot region". */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { type Damage, formatError, hex, isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type BootSector, bootSector } from './format.ts'
import { type ExfatLayout, fatBytesNeeded, heapEnd, isCluster, layoutOf } from './layout.ts'

/** Sectors of a boot region: the boot sector, ten more, and the checksum of these eleven. */
const REGION_SECTORS = 12
const SECTOR_SIZES = [512, 1024, 2048, 4096]
const MAX_CLUSTER_SIZE = 2 ** 25
const MAX_CLUSTERS = 2 ** 32 - 11

/** Bytes of the boot sector that change while the volume is in use and are not in the checksum: flags, percent in use. */
const UNCHECKED = [106, 107, 112]

export interface BootRegion {
  readonly layout: ExfatLayout
  readonly flags: number
}

/** Whether `sector` says it is exFAT's first. */
export const isExfat = (sector: Buffer): boolean => sector.toString('latin1', 3, 11) === 'EXFAT   '

/**
 * Reads the main boot region of the volume on `device`, or its backup when that is damaged, with a finding.
 * Throws FormatError or StorageError with what is wrong with the main one when both are damaged or unreadable.
 */
export async function readBootRegion(device: BlockDevice): Promise<BootRegion & { findings: readonly Finding[] }> {
  const main = await orDamage(readRegion(device, 0, SECTOR_SIZES))
  const backup = await readBackup(device)
  if (!isDamage(main)) return { ...main, findings: isDamage(backup) ? [backupDamaged(backup)] : [] }
  if (isDamage(backup)) throw main
  return { ...backup, findings: [backupUsed(main, backup)] }
}

/**
 * Whether only the first sector of an exFAT volume is lost: the backup region is whole, and the rest of the main one
 * equals it, as far as that can be read and its checksum in any case. A backup alone does not count: another file system
 * may have been made over the start.
 */
export async function hasLostBootSector(device: BlockDevice): Promise<boolean> {
  const backup = await readBackup(device)
  if (isDamage(backup)) return false
  const { sectorSize } = backup.layout
  const [main, copy] = [Buffer.alloc(sectorSize), Buffer.alloc(sectorSize)]
  for (let sector = 1; sector < REGION_SECTORS; sector++) {
    const unreadable = await tryRead(device, sector * sectorSize, main)
    await device.read((REGION_SECTORS + sector) * sectorSize, copy)
    if (unreadable === undefined ? !main.equals(copy) : sector === REGION_SECTORS - 1) return false
  }
  return true
}

/** The backup, whose place depends on a sector size that only it may still know. */
async function readBackup(device: BlockDevice): Promise<BootRegion | Damage> {
  let problem: Damage | undefined
  for (const sectorSize of SECTOR_SIZES) {
    const region = await orDamage(readRegion(device, REGION_SECTORS * sectorSize, [sectorSize]))
    if (!isDamage(region)) return region
    problem ??= region
  }
  return problem!
}

async function orDamage<T>(reading: Promise<T>): Promise<T | Damage> {
  return reading.catch(error => {
    if (isDamage(error)) return error
    throw error
  })
}

/** Reads the region at byte `position`, whose sectors are of one of `sectorSizes`, and checks all of it. */
async function readRegion(device: BlockDevice, position: number, sectorSizes: readonly number[]): Promise<BootRegion> {
  const first = Buffer.alloc(bootSector.size)
  if (position + first.length <= device.size) await device.read(position, first)
  const sector = bootSector.decode(first, 0, position)
  const layout = layoutOf(sector)
  checkSizes(sector, layout, position, sectorSizes)
  await checkChecksum(device, position, layout.sectorSize)
  checkPlaces(sector, layout, position, device.size)
  return { layout, flags: sector.flags }
}

/** The sizes everything else is counted in, before anything is counted in them. */
function checkSizes(sector: BootSector, layout: ExfatLayout, position: number, sectorSizes: readonly number[]): void {
  const { sectorSize, clusterSize } = layout
  const expected = `log2 of ${sectorSizes.join(' or ')}`
  demand(position, 'bytesPerSectorShift', sectorSizes.includes(sectorSize), expected, sector.bytesPerSectorShift)
  const holds = clusterSize <= MAX_CLUSTER_SIZE
  demand(position, 'sectorsPerClusterShift', holds, 'for clusters of at most 32 MiB', sector.sectorsPerClusterShift)
}

/** 3.4, "Main and Backup Boot Checksum Sub-regions": over eleven sectors, in the twelfth, again and again. */
async function checkChecksum(device: BlockDevice, position: number, sectorSize: number): Promise<void> {
  const region = Buffer.alloc(REGION_SECTORS * sectorSize)
  const structure = 'exFAT boot checksum'
  if (position + region.length > device.size) {
    const expected = `a region of ${region.length} bytes`
    throw formatError('EXFAT_TRUNCATED', { structure, position, expected, actual: `cut off at byte ${device.size}` })
  }
  await device.read(position, region)
  const checksum = bootChecksum(region.subarray(0, -sectorSize))
  const stored = region.readUInt32LE(region.length - sectorSize)
  if (stored === checksum) return
  const at = position + region.length - sectorSize
  throw formatError('EXFAT_BOOT_CHECKSUM', { structure, position: at, expected: hex(checksum), actual: hex(stored) })
}

function bootChecksum(sectors: Buffer): number {
  let sum = 0
  for (let i = 0; i < sectors.length; i++) {
    if (!UNCHECKED.includes(i)) sum = (((sum << 31) | (sum >>> 1)) + sectors[i]!) >>> 0
  }
  return sum
}

function checkPlaces(sector: BootSector, layout: ExfatLayout, position: number, size: number): void {
  const { volumeSize, fatOffsets, fatLength, heapOffset, clusterCount, rootCluster } = layout
  const { flags, fatCount } = sector
  const is = demand.bind(undefined, position)
  const needed = fatBytesNeeded(layout)
  const fatEnd = fatOffsets.length === 0 ? 0 : fatOffsets.at(-1)! + fatLength
  is('volumeLength', volumeSize <= size, `a volume of at most ${size} bytes`, volumeSize)
  is('fatCount', fatCount === 1 || fatCount === 2, '1 or 2', fatCount)
  is('flags', activeFat(flags) < fatCount, `an active FAT below ${fatCount}`, activeFat(flags))
  is('fatLength', fatLength >= needed, `a FAT of ${needed} bytes or more for ${clusterCount} clusters`, fatLength)
  is('heapOffset', heapOffset >= fatEnd, `behind the FATs, which end at byte ${fatEnd}`, heapOffset)
  is('clusterCount', clusterCount > 0 && clusterCount <= MAX_CLUSTERS, `1 to ${MAX_CLUSTERS}`, clusterCount)
  is('clusterCount', heapEnd(layout) <= volumeSize, `for a heap that ends by byte ${volumeSize}`, clusterCount)
  is('rootCluster', isCluster(layout, rootCluster), `2 to ${clusterCount + 1}`, rootCluster)
}

function demand(region: number, field: keyof BootSector, holds: boolean, expected: string, actual: number): void {
  if (holds) return
  const position = region + bootSector.offsetOf(field)
  throw formatError('EXFAT_BOOT_SECTOR_BAD', {
    structure: bootSector.name,
    field,
    position,
    expected,
    actual: `${actual}`,
  })
}

/** 3.1.13.1, "ActiveFat Field": which FAT and which bitmap are live. */
export const activeFat = (flags: number) => flags & 1

const backupUsed = (main: Damage, { layout }: BootRegion): Finding => ({
  code: 'EXFAT_BACKUP_BOOT_USED',
  message: `the boot region is damaged, its backup at byte ${hex(REGION_SECTORS * layout.sectorSize)} was used: ${main.message}`,
  details: main.details,
})

const backupDamaged = (backup: Damage): Finding => ({
  code: 'EXFAT_BACKUP_BOOT_DAMAGED',
  message: `the backup boot region is damaged, the main one was used: ${backup.message}`,
  details: backup.details,
})
