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

/** "FAT Directory Structure". The high half of the first cluster is FAT32's alone. */
export const directoryEntry = struct('FAT directory entry', 32, {
  name: bytes(11),
  attributes: u8,
  /** Windows NT: 0x08 the name is in small letters, 0x10 its extension. */
  caseFlags: u8,
  /** Of a second, 0 to 199: times have only every second one. */
  createdHundredths: u8,
  createdTime: u16,
  createdDate: u16,
  accessedDate: u16,
  firstClusterHigh: u16,
  modifiedTime: u16,
  modifiedDate: u16,
  firstClusterLow: u16,
  size: u32,
})
export type DirectoryEntry = Infer<typeof directoryEntry>

/** "FAT Long Directory Entries": 13 units of a long name, of which the last part comes first, with 0x40 in its order. */
export const longNameEntry = struct('FAT long name entry', 32, {
  order: u8,
  name1: bytes(10),
  attributes: u8,
  type: u8,
  checksum: u8,
  name2: bytes(12),
  firstCluster: u16,
  name3: bytes(4),
})
