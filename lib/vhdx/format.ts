/** Every structure of a VHDX file as it lies on disk, its identifiers and its limits. Sections are those of [MS-VHDX] v8.0. */
import { big64, bytes, guid, magic, reserved, u16, u32, u64 } from '../binary/fields.ts'
import { KiB, MiB, TiB } from '../binary/size.ts'
import { type Infer, struct } from '../binary/struct.ts'

// Places and sizes of the header section, [MS-VHDX] 2.2.

/** The header section, and the unit everything after it is aligned to. */
export const HEADER_SECTION_SIZE = MiB
export const HEADER_POSITIONS = [64 * KiB, 128 * KiB] as const
export const HEADER_SIZE = 4 * KiB
export const REGION_TABLE_POSITIONS = [192 * KiB, 256 * KiB] as const
export const REGION_TABLE_SIZE = 64 * KiB

// Limits, [MS-VHDX] 2.2.3, 2.6.1 and 2.6.2.

export const MAX_REGION_ENTRIES = 2047
export const METADATA_TABLE_SIZE = 64 * KiB
export const MAX_METADATA_ENTRIES = 2047
export const MAX_USER_METADATA_ENTRIES = 1024
export const MAX_METADATA_ITEM_LENGTH = MiB
export const MIN_BLOCK_SIZE = MiB
export const MAX_BLOCK_SIZE = 256 * MiB
export const MAX_VIRTUAL_SIZE = 64 * TiB
/** Not in the specification: Microsoft's own reader draws the line here, and nothing in a file lies beyond. */
export const MAX_FILE_SIZE = 256 * TiB
export const SECTOR_SIZES: readonly number[] = [512, 4096]

/** [MS-VHDX] 2.2.1: at byte 0, in 64 KiB of its own that are never written again. */
export const fileIdentifier = struct('VHDX file identifier', 520, {
  signature: magic('vhdxfile'),
  creator: bytes(512),
})

/** [MS-VHDX] 2.2.2: two copies; the checksum covers 4 KiB, of which the rest is reserved. */
export const header = struct('VHDX header', 80, {
  signature: magic('head'),
  checksum: u32,
  sequenceNumber: big64,
  fileWriteGuid: guid,
  dataWriteGuid: guid,
  logGuid: guid,
  logVersion: u16,
  version: u16,
  logLength: u32,
  logOffset: u64,
})
export type Header = Infer<typeof header>

/** [MS-VHDX] 2.2.3.1: the checksum covers all 64 KiB of the table. */
export const regionTableHeader = struct('VHDX region table', 16, {
  signature: magic('regi'),
  checksum: u32,
  entryCount: u32,
  reserved: reserved(4),
})

/** [MS-VHDX] 2.2.3.2 */
export const regionEntry = struct('VHDX region', 32, {
  guid,
  fileOffset: u64,
  length: u32,
  flags: u32,
})
export type RegionEntry = Infer<typeof regionEntry>

export const REGION_REQUIRED = 1
export const BAT_REGION = '2dc27766-f623-4200-9d64-115e9bfd4a08'
export const METADATA_REGION = '8b7ca206-4790-4b9a-b8fe-575f050f886e'

/** [MS-VHDX] 2.3.1.1: the first sector of a log entry. The checksum covers the whole entry. */
export const logEntryHeader = struct('VHDX log entry', 64, {
  signature: magic('loge'),
  checksum: u32,
  entryLength: u32,
  tail: u32,
  sequenceNumber: big64,
  descriptorCount: u32,
  reserved: reserved(4),
  logGuid: guid,
  flushedFileOffset: u64,
  lastFileOffset: u64,
})
export type LogEntryHeader = Infer<typeof logEntryHeader>

export const LOG_SECTOR_SIZE = 4 * KiB
export const LOG_DESCRIPTOR_SIZE = 32

/** [MS-VHDX] 2.3.1.2 */
export const zeroDescriptor = struct('VHDX zero descriptor', LOG_DESCRIPTOR_SIZE, {
  signature: magic('zero'),
  reserved: reserved(4),
  zeroLength: u64,
  fileOffset: u64,
  sequenceNumber: big64,
})

/** [MS-VHDX] 2.3.1.3 */
export const dataDescriptor = struct('VHDX data descriptor', LOG_DESCRIPTOR_SIZE, {
  signature: magic('desc'),
  trailingBytes: bytes(4),
  leadingBytes: bytes(8),
  fileOffset: u64,
  sequenceNumber: big64,
})

/** [MS-VHDX] 2.3.1.4 */
export const dataSector = struct('VHDX log data sector', LOG_SECTOR_SIZE, {
  signature: magic('data'),
  sequenceHigh: u32,
  data: bytes(4084),
  sequenceLow: u32,
})

/** [MS-VHDX] 2.6.1.1 */
export const metadataTableHeader = struct('VHDX metadata table', 32, {
  signature: magic('metadata'),
  reserved: reserved(2),
  entryCount: u16,
  reserved2: reserved(20),
})

/** [MS-VHDX] 2.6.1.2: the offset is from the start of the metadata region. */
export const metadataEntry = struct('VHDX metadata entry', 32, {
  itemId: guid,
  offset: u32,
  length: u32,
  flags: u32,
  reserved: reserved(4),
})
export type MetadataEntry = Infer<typeof metadataEntry>

export const IS_USER = 1
export const IS_VIRTUAL_DISK = 2
export const IS_REQUIRED = 4

/** [MS-VHDX] 2.6.2.1 */
export const fileParameters = struct('VHDX file parameters', 8, { blockSize: u32, flags: u32 })
export const LEAVE_BLOCKS_ALLOCATED = 1
export const HAS_PARENT = 2

/** [MS-VHDX] 2.6.2.2 */
export const virtualDiskSize = struct('VHDX virtual disk size', 8, { virtualDiskSize: u64 })
/** [MS-VHDX] 2.6.2.3: the identity SCSI page 83 reports. */
export const virtualDiskId = struct('VHDX virtual disk id', 16, { virtualDiskId: guid })
/** [MS-VHDX] 2.6.2.4 */
export const logicalSectorSize = struct('VHDX logical sector size', 4, { logicalSectorSize: u32 })
/** [MS-VHDX] 2.6.2.5 */
export const physicalSectorSize = struct('VHDX physical sector size', 4, { physicalSectorSize: u32 })

/** [MS-VHDX] 2.6.2.6.1 */
export const parentLocatorHeader = struct('VHDX parent locator', 20, {
  locatorType: guid,
  reserved: reserved(2),
  keyValueCount: u16,
})

/** [MS-VHDX] 2.6.2.6.2: offsets are from the start of the locator, lengths in bytes of UTF-16. */
export const parentLocatorEntry = struct('VHDX parent locator entry', 12, {
  keyOffset: u32,
  valueOffset: u32,
  keyLength: u16,
  valueLength: u16,
})

export const VHDX_PARENT_LOCATOR = 'b04aefb7-d19e-4a81-b789-25b8e9445913'

/** Metadata items, [MS-VHDX] 2.6.2. */
export const FILE_PARAMETERS = 'caa16737-fa36-4d43-b3b6-33f0aa44e76b'
export const VIRTUAL_DISK_SIZE = '2fa54224-cd1b-4876-b211-5dbed83bf4b8'
export const VIRTUAL_DISK_ID = 'beca12ab-b2e6-4523-93ef-c309e000c746'
export const LOGICAL_SECTOR_SIZE = '8141bf1d-a96f-4709-ba47-f233a8faab5f'
export const PHYSICAL_SECTOR_SIZE = 'cda348c7-445d-4471-9cc9-e9885251c556'
export const PARENT_LOCATOR = 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c'
/** Not in the specification: Microsoft's openvmm marks a file with it while it is being created, and refuses it. */
export const INCOMPLETE_FILE = '71cc85f0-1b69-4e28-9558-c3bf83ae75d3'

/** The user metadata item that says what a repair could not save: spec-notes/vhdx.md, What repair notes. */
export const REPAIR_NOTE = '1f1a8d2e-6c0b-4f5e-9d0a-5b7c3e1f8a64'
export const repairNote = struct('VHDX repair note', 64, {
  signature: magic('vhdxlost'),
  version: u32,
  flags: u32,
  dataWriteGuid: guid,
  repairedAt: u64,
  lostBytes: u64,
  rangeCount: u32,
  reserved: reserved(12),
})
export const lostRange = struct('VHDX lost range', 16, { offset: u64, length: u64 })
export const MORE_LOST = 1
export const LOG_DISCARDED = 2
/** With what else is in it, a metadata region of 1 MiB has room for so many. */
export const MAX_LOST_RANGES = 16_384

/**
 * BAT entries, [MS-VHDX] 2.5.1. Up to 67 million of them: they are read from the buffer in bat-entry.ts, so these are
 * only the names of their states.
 */
export const BAT_ENTRY_SIZE = 8
export const PAYLOAD_STATES = [
  'notPresent',
  'undefined',
  'zero',
  'unmapped',
  'reserved4',
  'reserved5',
  'fullyPresent',
  'partiallyPresent',
] as const
export type PayloadState = (typeof PAYLOAD_STATES)[number]
export const NOT_PRESENT = 0
export const UNDEFINED = 1
export const ZERO = 2
export const UNMAPPED = 3
export const FULLY_PRESENT = 6
export const PARTIALLY_PRESENT = 7
/** State of the entry of a sector bitmap block that is in the file. */
export const BITMAP_PRESENT = 6
/** Sector bitmap blocks are 1 MiB whatever the block size, [MS-VHDX] 2.4. */
export const BITMAP_BLOCK_SIZE = MiB
