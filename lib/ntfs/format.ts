/** On-disk structures of NTFS. No logic here; each cites its section of spec-notes/ntfs.md. All little-endian. */
import { big64, bytes, guid, i8, magic, mapped, reserved, u8, u16, u32, u64 } from '../binary/fields.ts'
import { struct } from '../binary/struct.ts'

/** A signed 64-bit cluster number: -1 ends an attribute without clusters. Rounded above 2^53, so bound it before use. */
const vcn = mapped(
  big64,
  stored => Number(BigInt.asIntN(64, stored)),
  seen => BigInt.asUintN(64, BigInt(seen)),
)

/** Number and sequence of a file record. Sequence 0: any. */
export interface FileReference {
  readonly record: number
  readonly sequence: number
}

const fileReference = mapped(
  bytes(8),
  (stored): FileReference => ({ record: stored.readUIntLE(0, 6), sequence: stored.readUInt16LE(6) }),
  seen => {
    const stored = Buffer.alloc(8)
    stored.writeUIntLE(seen.record, 0, 6)
    stored.writeUInt16LE(seen.sequence, 6)
    return stored
  },
)

/** spec-notes/ntfs.md, Boot sector. */
export const bootSector = struct('NTFS boot sector', 512, {
  jump: bytes(3),
  oemId: magic('NTFS    '),
  bytesPerSector: u16,
  /** Up to 0x80 the number itself; above, 2 to the power of (256 - n). */
  sectorsPerCluster: u8,
  fatFields: reserved(7),
  media: u8,
  unused: reserved(2),
  sectorsPerTrack: u16,
  heads: u16,
  hiddenSectors: u32,
  driveNumber: reserved(8),
  totalSectors: u64,
  mftLcn: u64,
  mftMirrLcn: u64,
  /** Above 0 clusters, below 0 the power of two of bytes. So is `indexBlockSize`. */
  recordSize: i8,
  unused2: reserved(3),
  indexBlockSize: i8,
  unused3: reserved(3),
  serial: big64,
  checksum: reserved(4),
  bootCode: bytes(426),
  endMark: u16,
})

/** spec-notes/ntfs.md, File record. */
export const fileRecordHeader = struct('NTFS file record', 48, {
  magic: magic('FILE'),
  fixupOffset: u16,
  fixupCount: u16,
  lsn: big64,
  sequence: u16,
  linkCount: u16,
  attributesOffset: u16,
  flags: u16,
  bytesUsed: u32,
  bytesAllocated: u32,
  base: fileReference,
  nextAttributeId: u16,
  padding: reserved(2),
  /** The record's own number; since NTFS 3.1, which is when `fixupOffset` is 48. */
  number: u32,
})

export const RecordFlag = { inUse: 1, directory: 2, inExtend: 4, viewIndex: 8 } as const

/** spec-notes/ntfs.md, Attribute header. */
export const attributeHeader = struct('NTFS attribute', 16, {
  type: u32,
  length: u32,
  nonResident: u8,
  nameLength: u8,
  nameOffset: u16,
  flags: u16,
  id: u16,
})

/** What follows the attribute header of a resident attribute. */
export const residentHeader = struct('NTFS resident attribute', 8, {
  valueLength: u32,
  valueOffset: u16,
  indexed: u8,
  padding: reserved(1),
})

/** What follows the attribute header of a non-resident attribute. */
export const nonResidentHeader = struct('NTFS non-resident attribute', 16 + 8, {
  lowestVcn: vcn,
  highestVcn: vcn,
  runListOffset: u16,
  compressionUnit: u8,
  padding: reserved(5),
})

/** What follows that in the extent with lowest VCN 0, and means nothing in the others. */
export const attributeSizes = struct('NTFS attribute sizes', 24, {
  allocatedSize: u64,
  dataSize: u64,
  initializedSize: u64,
})

export const AttributeFlag = { compressionMask: 0x00ff, encrypted: 0x4000, sparse: 0x8000 } as const

export const AttributeType = {
  standardInformation: 0x10,
  attributeList: 0x20,
  fileName: 0x30,
  objectId: 0x40,
  securityDescriptor: 0x50,
  volumeName: 0x60,
  volumeInformation: 0x70,
  data: 0x80,
  indexRoot: 0x90,
  indexAllocation: 0xa0,
  bitmap: 0xb0,
  reparsePoint: 0xc0,
  eaInformation: 0xd0,
  ea: 0xe0,
  propertySet: 0xf0,
  loggedUtilityStream: 0x100,
  end: 0xffffffff,
} as const

/** spec-notes/ntfs.md, Attribute list. The name follows at `nameOffset`. */
export const attributeListEntry = struct('NTFS attribute list entry', 26, {
  type: u32,
  length: u16,
  nameLength: u8,
  nameOffset: u8,
  lowestVcn: vcn,
  reference: fileReference,
  id: u16,
})

/** spec-notes/ntfs.md, File name. The name follows. Times and sizes are copies that age: the truth is elsewhere. */
export const fileNameHeader = struct('NTFS $FILE_NAME', 66, {
  parent: fileReference,
  created: big64,
  modified: big64,
  recordChanged: big64,
  accessed: big64,
  allocatedSize: big64,
  dataSize: big64,
  attributes: u32,
  reparseTag: u32,
  nameLength: u8,
  namespace: u8,
})

export const Namespace = { posix: 0, win32: 1, dos: 2, win32AndDos: 3 } as const

/** spec-notes/ntfs.md, Directory index. The node header follows. */
export const indexRootHeader = struct('NTFS $INDEX_ROOT', 16, {
  indexedType: u32,
  collation: u32,
  blockSize: u32,
  clustersPerBlock: i8,
  padding: reserved(3),
})

/** All offsets count from the start of this header. */
export const indexNodeHeader = struct('NTFS index node', 16, {
  entriesOffset: u32,
  bytesUsed: u32,
  bytesAllocated: u32,
  flags: u8,
  padding: reserved(3),
})

/** The node header follows. */
export const indexBlockHeader = struct('NTFS INDX block', 24, {
  magic: magic('INDX'),
  fixupOffset: u16,
  fixupCount: u16,
  lsn: big64,
  vcn,
})

/** The key, a whole $FILE_NAME in a directory, follows; the VCN of the sub-node is in the last 8 bytes. */
export const indexEntryHeader = struct('NTFS index entry', 16, {
  reference: fileReference,
  length: u16,
  keyLength: u16,
  flags: u16,
  padding: reserved(2),
})

export const IndexEntryFlag = { hasSubNode: 1, last: 2 } as const

/** spec-notes/ntfs.md, Reparse points. Tags without bit 31 have a GUID before the data. */
export const reparsePointHeader = struct('NTFS reparse point', 8, {
  tag: u32,
  dataLength: u16,
  padding: reserved(2),
})

/** Data of a mount point. Offsets and lengths are bytes of the two names, which follow. */
export const mountPointData = struct('NTFS mount point', 8, {
  substituteOffset: u16,
  substituteLength: u16,
  printOffset: u16,
  printLength: u16,
})

/** Data of a symbolic link: as a mount point's, with these before the names. */
export const symbolicLinkFlags = struct('NTFS symbolic link flags', 4, { flags: u32 })

export const SymbolicLinkFlag = { relative: 1 } as const

/** spec-notes/ntfs.md, WOF: data of a file that the Windows Overlay Filter keeps. */
export const wofData = struct('NTFS WOF reparse data', 16, {
  version: u32,
  provider: u32,
  providerVersion: u32,
  format: u32,
})

/** Where the content of a WOF file lies. */
export const WofProvider = { wim: 1, file: 2 } as const

/** spec-notes/ntfs.md, Standard information. `standardInformationOwner` follows since NTFS 3.0. */
export const standardInformation = struct('NTFS $STANDARD_INFORMATION', 48, {
  created: big64,
  modified: big64,
  recordChanged: big64,
  accessed: big64,
  attributes: u32,
  maxVersions: u32,
  version: u32,
  classId: u32,
})

export const standardInformationOwner = struct('NTFS $STANDARD_INFORMATION of 3.0', 24, {
  ownerId: u32,
  /** Where $Secure has the security descriptor; 0: the file has its own. */
  securityId: u32,
  quotaCharged: big64,
  usn: big64,
})

/** spec-notes/ntfs.md, Object id. `objectIdBirth` may follow. */
export const objectId = struct('NTFS $OBJECT_ID', 16, { object: guid })

export const objectIdBirth = struct('NTFS $OBJECT_ID birth', 48, { volume: guid, object: guid, domain: guid })

/** spec-notes/ntfs.md, Extended attributes. The name, a zero and the value follow. */
export const extendedAttribute = struct('NTFS extended attribute', 8, {
  /** Bytes to the next one; 0: the last. */
  next: u32,
  flags: u8,
  nameLength: u8,
  valueLength: u16,
})

/** spec-notes/ntfs.md, $Secure: before each descriptor in $SDS, and what $SII and $SDH say of it. */
export const securityEntry = struct('NTFS $SDS entry', 20, {
  hash: u32,
  securityId: u32,
  offset: u64,
  /** Bytes, with these 20. */
  size: u32,
})

/** SECURITY_DESCRIPTOR, [MS-DTYP] 2.4.6. Offsets are bytes from its start; 0: there is none. */
export const securityDescriptorHeader = struct('security descriptor', 20, {
  revision: u8,
  padding: reserved(1),
  control: u16,
  ownerOffset: u32,
  groupOffset: u32,
  saclOffset: u32,
  daclOffset: u32,
})

export const SecurityControl = {
  daclPresent: 0x0004,
  saclPresent: 0x0010,
  daclAutoInheritRequired: 0x0100,
  saclAutoInheritRequired: 0x0200,
  daclAutoInherited: 0x0400,
  saclAutoInherited: 0x0800,
  daclProtected: 0x1000,
  saclProtected: 0x2000,
} as const

/** ACL, [MS-DTYP] 2.4.5. */
export const aclHeader = struct('access control list', 8, {
  revision: u8,
  padding: reserved(1),
  size: u16,
  aceCount: u16,
  padding2: reserved(2),
})

/** ACE_HEADER, [MS-DTYP] 2.4.4.1, with the access mask that follows in all of them. */
export const aceHeader = struct('access control entry', 8, {
  type: u8,
  flags: u8,
  size: u16,
  mask: u32,
})

/** CLAIM_SECURITY_ATTRIBUTE_RELATIVE_V1, [MS-DTYP] 2.4.10.1. Behind it is the place of each value. */
export const claimAttribute = struct('resource attribute', 16, {
  nameOffset: u32,
  valueType: u16,
  reserved: reserved(2),
  flags: u32,
  valueCount: u32,
})

/** spec-notes/ntfs.md, Volume information. */
export const volumeInformation = struct('NTFS $VOLUME_INFORMATION', 12, {
  unused: reserved(8),
  majorVersion: u8,
  minorVersion: u8,
  flags: u16,
})

/** Bit 0 alone says that the volume needs a check; the others mean other things or nothing known. */
export const VolumeFlag = { dirty: 1 } as const

/** spec-notes/ntfs.md, Log file: a restart page. */
export const restartPageHeader = struct('NTFS $LogFile restart page', 30, {
  /** `RSTR`, or `CHKD` after a chkdsk. */
  magic: u32,
  fixupOffset: u16,
  fixupCount: u16,
  checkdiskLsn: big64,
  systemPageSize: u32,
  logPageSize: u32,
  restartOffset: u16,
  minorVersion: u16,
  majorVersion: u16,
})

export const restartArea = struct('NTFS $LogFile restart area', 16, {
  currentLsn: big64,
  clientCount: u16,
  clientFreeList: u16,
  clientInUseList: u16,
  flags: u16,
})

/** spec-notes/ntfs.md, Shadow copies: at byte 0x1E00 of the volume. */
export const shadowVolumeHeader = struct('VSS volume header', 56, {
  identifier: guid,
  version: u32,
  recordType: u32,
  ownOffset: big64,
  unused: reserved(16),
  /** Byte of the volume where the catalog begins; 0: none. */
  catalogOffset: u64,
})

/** Records of NTFS itself; what users have begins at `firstUser`. */
export const SystemRecord = {
  mft: 0,
  mftMirr: 1,
  logFile: 2,
  volume: 3,
  root: 5,
  bitmap: 6,
  badClusters: 8,
  secure: 9,
  upcase: 10,
  firstUser: 24,
} as const
