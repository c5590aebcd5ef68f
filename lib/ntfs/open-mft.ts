/** The way to $MFT, also past a damaged boot sector. spec-notes/ntfs.md, End of the volume. */

import type { BlockDevice } from '../device/block-device.ts'
import { isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type Geometry, loadBootSector } from './boot-sector.ts'
import { Mft } from './mft.ts'

const SECTOR_SIZES = [512, 4096]

/**
 * Opens $MFT by the boot sector or, where that leads nowhere, by its backup in the last sector of `volume`. What was
 * wrong is added to `findings`. Throws what is wrong with the boot sector, or with $MFT, when neither leads to it.
 */
export async function openMft(volume: BlockDevice, findings: Finding[]): Promise<Mft> {
  try {
    const geometry = await loadBootSector(volume, 0)
    const mft = await Mft.open(volume, geometry, findings)
    findings.push(...(await compareBackup(volume, geometry)))
    return mft
  } catch (error) {
    if (!isDamage(error)) throw error
    const mft = await openByBackup(volume, findings)
    if (mft === undefined) throw error
    const message = `the boot sector is damaged, its backup in the last sector was used: ${error.message}`
    findings.unshift({ code: 'NTFS_BACKUP_BOOT_SECTOR_USED', message })
    return mft
  }
}

async function openByBackup(volume: BlockDevice, findings: Finding[]): Promise<Mft | undefined> {
  for (const sectorSize of SECTOR_SIZES) {
    const offset = volume.size - sectorSize
    if (offset <= 0) continue
    try {
      const geometry = await loadBootSector(volume, offset)
      if (geometry.totalSectors * geometry.sectorSize !== offset) continue
      return await Mft.open(volume, geometry, findings)
    } catch (error) {
      if (!isDamage(error)) throw error
    }
  }
  return undefined
}

async function compareBackup(volume: BlockDevice, geometry: Geometry): Promise<Finding[]> {
  const offset = geometry.totalSectors * geometry.sectorSize
  const code = 'NTFS_BACKUP_BOOT_SECTOR'
  if (offset + geometry.sectorSize > volume.size) {
    return [{ code, message: 'the volume has no backup boot sector: it ends before it' }]
  }
  try {
    const backup = await loadBootSector(volume, offset)
    const fields = Object.keys(geometry) as (keyof Geometry)[]
    const differing = fields.filter(field => geometry[field] !== backup[field])
    if (differing.length === 0) return []
    return [{ code, message: `the backup boot sector differs in ${differing.join(', ')}`, details: { differing } }]
  } catch (error) {
    if (!isDamage(error)) throw error
    return [{ code, message: `the backup boot sector is damaged: ${error.message}` }]
  }
}
