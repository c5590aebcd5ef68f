/** On-disk structures of partition tables: the master boot record and the GUID partition table. */
import { array, big64, bytes, Fixed, guid, magic, reserved, u8, u16, u32, u64 } from '../binary/fields.ts'
import { type Infer, struct } from '../binary/struct.ts'

/** UEFI 5.2.1, table 5.2. `firstLba` counts from the table's own base: LBA 0, the EBR, or the extended partition. */
export const mbrEntry = struct('MBR partition entry', 16, {
  status: u8,
  firstChs: bytes(3),
  type: u8,
  lastChs: bytes(3),
  firstLba: u32,
  sectorCount: u32,
})
export type MbrEntry = Infer<typeof mbrEntry>

/** UEFI 5.2.1, table 5.1. An extended boot record (EBR) has the same shape. */
export const bootRecord = struct('MBR', 512, {
  bootCode: bytes(440),
  diskSignature: u32,
  unknown: u16,
  entries: array(mbrEntry, 4),
  signature: new Fixed(Buffer.from([0x55, 0xaa]), true),
})
export type BootRecord = Infer<typeof bootRecord>

/** UEFI 5.3.2, table 5.5. */
export const gptHeader = struct('GPT header', 92, {
  signature: magic('EFI PART'),
  revision: u32,
  headerSize: u32,
  headerChecksum: u32,
  reserved: reserved(4),
  myLba: u64,
  alternateLba: u64,
  firstUsableLba: u64,
  lastUsableLba: u64,
  diskGuid: guid,
  entriesLba: u64,
  entryCount: u32,
  entrySize: u32,
  entriesChecksum: u32,
})
export type GptHeader = Infer<typeof gptHeader>

/** UEFI 5.3.3, table 5.6. `name`: UTF-16LE, ended by a zero unless it fills its 36 units. */
export const gptEntry = struct('GPT partition entry', 128, {
  typeGuid: guid,
  partitionGuid: guid,
  firstLba: u64,
  lastLba: u64,
  attributes: big64,
  name: bytes(72),
})
export type GptEntry = Infer<typeof gptEntry>
