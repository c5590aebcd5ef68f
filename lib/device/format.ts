/** As much of the first sectors of a disk or a volume as says how large it is. Who reads a format has it whole. */
import { array, big64, bytes, magic, reserved, u16, u32 } from '../binary/fields.ts'
import { struct } from '../binary/struct.ts'

/** UEFI 5.2.3 table 5-2. */
const mbrPartition = struct('MBR partition record', 16, {
  bootIndicatorToEndingChs: bytes(8),
  startingLba: u32,
  sizeInLba: u32,
})

/** UEFI 5.2.1 table 5-1. */
export const mbr = struct('MBR', 512, {
  bootCode: bytes(446),
  partitions: array(mbrPartition, 4),
  signature: magic('\x55\xaa'),
})

/** UEFI 5.3.2 table 5-5, up to the alternate LBA: the last sector of the disk. */
export const gptHeaderStart = struct('GPT header', 40, {
  signature: magic('EFI PART'),
  revisionToMyLba: reserved(24),
  alternateLba: big64,
})

/** The NTFS boot sector up to its count of sectors, which leaves out the last one: the copy of this sector. */
export const ntfsBootSectorStart = struct('NTFS boot sector', 48, {
  jump: reserved(3),
  oemId: magic('NTFS    '),
  bytesPerSector: u16,
  clusterToSignature: reserved(27),
  totalSectors: big64,
})
