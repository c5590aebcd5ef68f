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
