/**
 * Every structure of a VHD file as it lies on disk, its identifiers and its limits. Sections are those of Microsoft's
 * "Virtual Hard Disk Image Format Specification" 1.0, in spec-notes/vhd.md. All numbers are big-endian.
 */
import { array, big64be, bytes, magic, reserved, u8, u16be, u32be, u64be, uuid } from '../binary/fields.ts'
import { GiB, KiB, MiB } from '../binary/size.ts'
import { type Infer, struct } from '../binary/struct.ts'

/** The format knows no other sector. */
export const SECTOR_SIZE = 512

/** spec-notes/vhd.md, "Hard disk footer": at the end of the file, and a copy at byte 0 of all but fixed images. */
export const footer = struct('VHD footer', 512, {
  cookie: magic('conectix'),
  features: u32be,
  version: u32be,
  /** Byte of the dynamic disk header; all ones in a fixed image. */
  dataOffset: big64be,
  timestamp: u32be,
  creatorApplication: bytes(4),
  creatorVersion: u32be,
  creatorHostOs: bytes(4),
  originalSize: big64be,
  currentSize: u64be,
  cylinders: u16be,
  heads: u8,
  sectorsPerTrack: u8,
  diskType: u32be,
  checksum: u32be,
  uniqueId: uuid,
  savedState: u8,
  reserved: reserved(427),
})
export type Footer = Infer<typeof footer>

/** Virtual PC before 2004 wrote the footer without its last byte. */
export const OLD_FOOTER_SIZE = 511

export const MAJOR_VERSION = 1
/** 1.0, of footer and header. */
export const VERSION = 0x1_0000

/** The one feature that is always set. */
export const RESERVED_FEATURE = 2

/** Where a footer or a header leads when nothing follows it. */
export const NOWHERE = 2n ** 64n - 1n

/** "VHD: 2040 GB", and what Windows and qemu hold to. */
export const MAX_VIRTUAL_SIZE = 2040 * GiB

export const FIXED = 2
export const DYNAMIC = 3
export const DIFFERENCING = 4
/** By the footer's disk type. */
export const VHD_TYPES: Readonly<Record<number, VhdType>> = {
  [FIXED]: 'fixed',
  [DYNAMIC]: 'dynamic',
  [DIFFERENCING]: 'differencing',
}
export type VhdType = 'fixed' | 'dynamic' | 'differencing'

/** spec-notes/vhd.md, "Parent locators". */
export const parentLocator = struct('VHD parent locator', 24, {
  platformCode: u32be,
  /** Sectors by the specification; Windows writes bytes. */
  dataSpace: u32be,
  dataLength: u32be,
  reserved: reserved(4),
  /** Byte of the file; nonsense in a locator is no reason to refuse the image. */
  dataOffset: big64be,
})
export type ParentLocatorEntry = Infer<typeof parentLocator>

/** spec-notes/vhd.md, "Dynamic disk header". */
export const dynamicHeader = struct('VHD dynamic disk header', 1024, {
  cookie: magic('cxsparse'),
  dataOffset: big64be,
  tableOffset: u64be,
  version: u32be,
  maxTableEntries: u32be,
  blockSize: u32be,
  checksum: u32be,
  parentUniqueId: uuid,
  parentTimestamp: u32be,
  reserved: reserved(4),
  /** UTF-16, big-endian. */
  parentName: bytes(512),
  parentLocators: array(parentLocator, 8),
  reserved2: reserved(256),
})
export type DynamicHeader = Infer<typeof dynamicHeader>

/** What is read: the upper limit is that of VHDX, and none above it was ever seen. */
export const MIN_BLOCK_SIZE = 4 * KiB
export const MAX_BLOCK_SIZE = 256 * MiB
/** What is written, as Windows does; the larger one unless told. */
export const BLOCK_SIZES: readonly number[] = [2 * MiB, 512 * KiB]

/** Longer than any path of Windows, in UTF-16. */
export const MAX_LOCATOR_LENGTH = 64 * KiB

/** spec-notes/vhd.md, "Block allocation table": the sector of the file where each block lies. */
export const BAT_ENTRY_SIZE = 4
export const UNUSED_ENTRY = 0xffff_ffff

/** Timestamps are seconds since 2000-01-01 UTC. */
export const EPOCH = Date.UTC(2000, 0, 1)
