/** Telling the first sector of a bare volume from an MBR: both end in 55 AA. spec-notes/partition-tables.md, "Bare volumes". */
import { isPowerOfTwo } from '../binary/size.ts'

/** What stands at byte 3 of volumes that Windows makes. */
const OEM_IDS = ['NTFS    ', 'EXFAT   ', '-FVE-FS-', 'ReFS\0\0\0\0']

/** Whether `sector` begins a volume: one of Windows' own names in it, or the parameter block of a FAT volume. */
export function isVolumeBootSector(sector: Buffer): boolean {
  return OEM_IDS.includes(sector.toString('latin1', 3, 11)) || hasFatParameters(sector)
}

function hasFatParameters(sector: Buffer): boolean {
  const jumps = (sector[0] === 0xeb && sector[2] === 0x90) || sector[0] === 0xe9
  const [bytesPerSector, sectorsPerCluster, reserved] = [sector.readUInt16LE(11), sector[13]!, sector.readUInt16LE(14)]
  const [fats, media] = [sector[16]!, sector[21]!]
  return (
    jumps &&
    bytesPerSector >= 512 &&
    isPowerOfTwo(bytesPerSector) &&
    isPowerOfTwo(sectorsPerCluster) &&
    reserved > 0 &&
    (fats === 1 || fats === 2) &&
    media >= 0xf0
  )
}
