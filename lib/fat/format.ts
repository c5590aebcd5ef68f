/** On-disk structures of FAT12, FAT16 and FAT32. Sections are those of Microsoft's "FAT: General Overview of On-Disk Format" 1.03. */
import { bytes, magic, reserved, u8, u16, u32 } from '../binary/fields.ts'
import { type Infer, struct } from '../binary/struct.ts'

/** "Boot Sector and BPB": what all three kinds have. */
export const parameterBlock = struct('FAT boot sector', 36, {
  jump: bytes(3),
  oemName: bytes(8),
  bytesPerSector: u16,
  sectorsPerCluster: u8,
  reservedSectors: u16,
  fatCount: u8,
  rootEntryCount: u16,
  totalSectors16: u16,
  media: u8,
  fatSize16: u16,
  sectorsPerTrack: u16,
  heads: u16,
  hiddenSectors: u32,
  totalSectors32: u32,
})
export type ParameterBlock = Infer<typeof parameterBlock>

/** "Boot Sector and BPB", from byte 36 of FAT12 and FAT16. `state` bit 0: mounted for writing, or was not unmounted. */
export const extension16 = struct('FAT boot sector', 26, {
  driveNumber: u8,
  state: u8,
  bootSignature: u8,
  volumeId: u32,
  label: bytes(11),
  typeName: bytes(8),
})

/** "Boot Sector and BPB", from byte 36 of FAT32. */
export const extension32 = struct('FAT boot sector', 54, {
  fatSize32: u32,
  flags: u16,
  version: u16,
  rootCluster: u32,
  infoSector: u16,
  backupSector: u16,
  reserved: reserved(12),
  driveNumber: u8,
  state: u8,
  bootSignature: u8,
  volumeId: u32,
  label: bytes(11),
  typeName: bytes(8),
})

/** "FAT32 FSInfo Sector Structure and Backup Boot Sector". Both counts are hints; 0xFFFFFFFF: not known. */
export const infoSector = struct('FAT32 FSInfo', 512, {
  leadSignature: magic('RRaA'),
  reserved1: reserved(480),
  signature: magic('rrAa'),
  freeCount: u32,
  nextFree: u32,
  reserved2: reserved(12),
  trailSignature: magic('\0\0\x55\xaa'),
})

/** "FAT Directory Structure". */
export const directoryEntry = struct('FAT directory entry', 32, {
  name: bytes(11),
  attributes: u8,
  caseFlags: u8,
  times: bytes(7),
  firstClusterHigh: u16,
  writeTime: u32,
  firstClusterLow: u16,
  size: u32,
})
export type DirectoryEntry = Infer<typeof directoryEntry>
