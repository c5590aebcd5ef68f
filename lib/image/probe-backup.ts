/** What a volume is whose first sector is damaged. */
import type { BlockDevice } from '../device/block-device.ts'
import { hasLostBootSector } from '../exfat/boot-region.ts'
import { isNtfs } from '../ntfs/boot-sector.ts'

const SECTOR_SIZES = [512, 4096]
const COMPARED = 512
/** A sector with more of its bytes changed than this is not damaged, but another one. */
const MAX_CHANGED = 64

/**
 * The file system whose backup boot sector `device` still has, when what is left at its start fits to it; undefined
 * otherwise. A backup alone is no proof: it outlives a volume that another file system was made over.
 */
export async function probeBackup(device: BlockDevice, head: Buffer): Promise<'NTFS' | 'exFAT' | undefined> {
  if (await hasLostBootSector(device)) return 'exFAT'
  for (const sectorSize of SECTOR_SIZES) {
    if (device.size < 2 * sectorSize) continue
    const last = Buffer.alloc(COMPARED)
    await device.read(device.size - sectorSize, last)
    if (isNtfs(last) && changedBytes(head, last) <= MAX_CHANGED) return 'NTFS'
  }
  return undefined
}

function changedBytes(head: Buffer, last: Buffer): number {
  let changed = 0
  for (let i = 0; i < COMPARED; i++) if (head[i] !== last[i]) changed++
  return changed
}
