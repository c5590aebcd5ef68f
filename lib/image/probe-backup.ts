/** What a volume is whose first sector is damaged. spec-notes/partition-tables.md, "Other volumes". */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { FormatError } from '../errors.ts'
import { hasLostBootSector } from '../exfat/boot-region.ts'
import { isFat } from '../fat/boot-sector.ts'
import { type Geometry, isNtfs, readBootSector } from '../ntfs/boot-sector.ts'
import { fileRecordHeader } from '../ntfs/format.ts'
import type { VolumeHead } from './volume-head.ts'

const SECTOR_SIZES = [512, 4096]
const COMPARED = 512
/** A sector with more of its bytes changed than this is not damaged, but another one. */
const MAX_CHANGED = 64
/** Where FAT32 keeps its backup boot sector. */
const FAT_BACKUP_SECTOR = 6

/**
 * The file system whose backup boot sector `device` still has, when what is left at its start fits to it; undefined
 * otherwise. A backup alone is no proof: it outlives a volume that another file system was made over.
 */
export async function probeBackup(device: BlockDevice, head: VolumeHead): Promise<'NTFS' | 'exFAT' | undefined> {
  if (await hasLostBootSector(device)) return 'exFAT'
  const isFirstLost = head.unreadable[0]?.offset === 0
  for (const sectorSize of SECTOR_SIZES) {
    const offset = device.size - sectorSize
    if (offset < sectorSize) continue
    const last = Buffer.alloc(COMPARED)
    await tryRead(device, offset, last)
    if (!isNtfs(last)) continue
    const fits = isFirstLost
      ? !hasFatBackup(head.bytes) && (await leadsToMft(device, last, offset))
      : changedBytes(head.bytes, last) <= MAX_CHANGED
    if (fits) return 'NTFS'
  }
  return undefined
}

function changedBytes(head: Buffer, last: Buffer): number {
  let changed = 0
  for (let i = 0; i < COMPARED; i++) if (head[i] !== last[i]) changed++
  return changed
}

/** The one file system, among those known only by the first sector, that leaves most of an older NTFS as it was. */
const hasFatBackup = (head: Buffer) => SECTOR_SIZES.some(size => isFat(head.subarray(FAT_BACKUP_SECTOR * size)))

/**
 * Whether the boot sector `last` belongs at `offset`, the end of the volume, and file records begin where it puts $MFT
 * and $MFTMirr, which Windows keeps next to the volume's start.
 */
async function leadsToMft(device: BlockDevice, last: Buffer, offset: number): Promise<boolean> {
  const geometry = tryGeometry(last, offset)
  if (geometry === undefined || geometry.totalSectors * geometry.sectorSize !== offset) return false
  for (const cluster of [geometry.mftLcn, geometry.mftMirrLcn]) {
    const record = Buffer.alloc(fileRecordHeader.size)
    if (cluster >= geometry.clusterCount) return false
    await tryRead(device, cluster * geometry.clusterSize, record)
    if (!fileRecordHeader.matches(record)) return false
  }
  return true
}

function tryGeometry(sector: Buffer, position: number): Geometry | undefined {
  try {
    return readBootSector(sector, position)
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}
