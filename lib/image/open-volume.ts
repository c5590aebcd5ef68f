/** The volume on a device, whatever it is. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Damage } from '../errors.ts'
import { ExfatVolume } from '../exfat/exfat-volume.ts'
import { FatVolume } from '../fat/fat-volume.ts'
import type { Finding } from '../finding.ts'
import { NtfsVolume } from '../ntfs/ntfs-volume.ts'
import { type PartitionRole, partitionRole } from '../partition/types.ts'
import type { Volume } from '../volume/volume.ts'
import { probeVolume } from './probe.ts'
import { probeBackup } from './probe-backup.ts'
import { describeVolume, filesLost } from './unread-volume.ts'
import { headFindings, readVolumeHead } from './volume-head.ts'
import { WholeVolume } from './whole-volume.ts'

/**
 * Opens the volume on `device`, which is a partition or a whole disk without a table. `typeId`: the partition's type, by
 * which members of dynamic disks and storage pools are known: what they begin with is not a volume of its own.
 *
 * A file system that is not read here is copied whole, with a finding that names it (WHOLE_COPY). Sectors at its start
 * that cannot be read are a finding too (UNREADABLE_VOLUME_START), and it is recognised by the others.
 * Throws FormatError when a file system is recognised and damaged, StorageError when it cannot be read; `damagedVolume`
 * is for callers who go on.
 */
export async function openVolume(device: BlockDevice, typeId = ''): Promise<Volume> {
  const role = partitionRole(typeId)
  if (role === 'ldm') return wholeVolume(device, 'LDM')
  if (role === 'storage-spaces') return wholeVolume(device, 'Storage Spaces')
  const head = await readVolumeHead(device)
  const name = probeVolume(head.bytes) ?? (await probeBackup(device, head))
  return withFindings(await openAs(name, device, role), headFindings(head))
}

async function openAs(name: string | undefined, device: BlockDevice, role: PartitionRole | undefined): Promise<Volume> {
  if (name === 'NTFS') return NtfsVolume.open(device)
  if (name === 'FAT') return FatVolume.open(device)
  if (name === 'exFAT') return ExfatVolume.open(device)
  if (name !== undefined) return wholeVolume(device, name)
  if (role === 'microsoft-reserved' || role === 'boot-code') return new WholeVolume(device, 'none', [])
  return wholeVolume(device, 'unknown')
}

/**
 * A volume whose file system threw `error` when it was read: copied whole, with that as a finding (DAMAGED_FILE_SYSTEM).
 * `openFiles` throws an error of that code too, with `error` as its cause.
 */
export function damagedVolume(device: BlockDevice, error: Damage): Volume {
  const message = `the file system cannot be read, so every sector that is not zero is copied: ${error.message}`
  const findings = [{ code: 'DAMAGED_FILE_SYSTEM', message, details: error.details }]
  return new WholeVolume(device, 'unknown', findings, filesLost(error))
}

function wholeVolume(device: BlockDevice, fileSystem: string): Volume {
  const message = `this is ${describeVolume(fileSystem)}: which sectors are in use is not known, so every sector that is not zero is copied`
  return new WholeVolume(device, fileSystem, [{ code: 'WHOLE_COPY', message, details: { fileSystem } }])
}

/** `volume`, with `findings` before its own. */
function withFindings(volume: Volume, findings: readonly Finding[]): Volume {
  if (findings.length === 0) return volume
  const { fileSystem, label, clusterSize, size, sectorSize, hazards } = volume
  return {
    fileSystem,
    label,
    clusterSize,
    ...(size === undefined ? {} : { size }),
    ...(sectorSize === undefined ? {} : { sectorSize }),
    hazards,
    findings: [...findings, ...volume.findings],
    usedSpace: options => volume.usedSpace(options),
    openFiles: options => volume.openFiles(options),
  }
}
