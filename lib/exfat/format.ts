/** On-disk structures of exFAT. Sections are those of Microsoft's "exFAT file system specification". */
import { big64, bytes, Fixed, magic, reserved, u8, u16, u32, u64, zeros } from '../binary/fields.ts'
import { type Infer, struct } from '../binary/struct.ts'

/** 3.1, "Main and Backup Boot Sector Sub-regions". Offsets and lengths in sectors; the shifts are powers of two. */
export const bootSector = struct('exFAT boot sector', 512, {
  jump: bytes(3),
  fileSystemName: magic('EXFAT   '),
  mustBeZero: zeros(53),
  partitionOffset: big64,
  volumeLength: u64,
  fatOffset: u32,
  fatLength: u32,
  heapOffset: u32,
  clusterCount: u32,
  rootCluster: u32,
  serialNumber: u32,
  revision: u16,
  flags: u16,
  bytesPerSectorShift: u8,
  sectorsPerClusterShift: u8,
  fatCount: u8,
  driveSelect: u8,
  percentInUse: u8,
  reserved: reserved(7),
  bootCode: bytes(390),
  signature: new Fixed(Buffer.from([0x55, 0xaa]), true),
})
export type BootSector = Infer<typeof bootSector>

/** 7.1, "Allocation Bitmap Directory Entry". Bit 0 of `flags`: the bitmap is the second FAT's. */
export const bitmapEntry = struct('exFAT allocation bitmap entry', 32, {
  type: u8,
  flags: u8,
  reserved: reserved(18),
  firstCluster: u32,
  dataLength: u64,
})
export type BitmapEntry = Infer<typeof bitmapEntry>

/** 7.3, "Volume Label Directory Entry". `length` in UTF-16 units. */
export const labelEntry = struct('exFAT volume label entry', 32, {
  type: u8,
  length: u8,
  label: bytes(22),
  reserved: reserved(8),
})

/** 7.2, "Up-case Table Directory Entry". */
export const upcaseEntry = struct('exFAT up-case table entry', 32, {
  type: u8,
  reserved1: reserved(3),
  checksum: u32,
  reserved2: reserved(12),
  firstCluster: u32,
  dataLength: u64,
})
export type UpcaseEntry = Infer<typeof upcaseEntry>

/** 7.4, "File Directory Entry": the first of a set. Hundredths of a second are 0 to 199; UTC offsets quarters of an hour. */
export const fileEntry = struct('exFAT file entry', 32, {
  type: u8,
  secondaryCount: u8,
  setChecksum: u16,
  attributes: u16,
  reserved1: reserved(2),
  createdTime: u16,
  createdDate: u16,
  modifiedTime: u16,
  modifiedDate: u16,
  accessedTime: u16,
  accessedDate: u16,
  createdHundredths: u8,
  modifiedHundredths: u8,
  createdUtcOffset: u8,
  modifiedUtcOffset: u8,
  accessedUtcOffset: u8,
  reserved2: reserved(7),
})

/** 7.6, "Stream Extension Directory Entry": the second of a set. `nameLength` in UTF-16 units. */
export const streamEntry = struct('exFAT stream extension entry', 32, {
  type: u8,
  flags: u8,
  reserved1: reserved(1),
  nameLength: u8,
  nameHash: u16,
  reserved2: reserved(2),
  validDataLength: u64,
  reserved3: reserved(4),
  firstCluster: u32,
  dataLength: u64,
})

/** 7.7, "File Name Directory Entry": 15 units of the name. */
export const nameEntry = struct('exFAT file name entry', 32, {
  type: u8,
  flags: u8,
  name: bytes(30),
})
