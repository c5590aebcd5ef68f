/** Partition types by the id a table stores: what they are called, and which of them say what lies inside. */

/** What a type means to an imager, where it means anything. */
export type PartitionRole =
  | 'efi-system'
  | 'microsoft-reserved'
  | 'boot-code'
  | 'recovery'
  | 'basic-data'
  | 'ldm'
  | 'storage-spaces'

interface PartitionType {
  readonly name: string
  readonly role?: PartitionRole
}

const GPT_TYPES: Readonly<Record<string, PartitionType>> = {
  'c12a7328-f81f-11d2-ba4b-00a0c93ec93b': { name: 'EFI system', role: 'efi-system' },
  '21686148-6449-6e6f-744e-656564454649': { name: 'BIOS boot', role: 'boot-code' },
  '024dee41-33e7-11d3-9d69-0008c781f39f': { name: 'MBR partition scheme' },
  'e3c9e316-0b5c-4db8-817d-f92df00215ae': { name: 'Microsoft reserved', role: 'microsoft-reserved' },
  'ebd0a0a2-b9e5-4433-87c0-68b6b72699c7': { name: 'Microsoft basic data', role: 'basic-data' },
  'de94bba4-06d1-4d40-a16a-bfd50179d6ac': { name: 'Windows recovery', role: 'recovery' },
  '5808c8aa-7e8f-42e0-85d2-e1e90434cfb3': { name: 'Windows LDM metadata', role: 'ldm' },
  'af9b60a0-1431-4f62-bc68-3311714a69ad': { name: 'Windows LDM data', role: 'ldm' },
  'e75caf8f-f680-4cee-afa3-b001e56efc2d': { name: 'Windows Storage Spaces', role: 'storage-spaces' },
  'e7addcb4-dc34-4539-9a76-ebbd07be6f7e': { name: 'Windows Storage Spaces data', role: 'storage-spaces' },
  '558d43c5-a1ac-43c0-aac8-d1472b2923d1': { name: 'Windows Storage Replica' },
  '37affc90-ef7d-4e96-91c3-2d7ae055b174': { name: 'IBM GPFS' },
  '0fc63daf-8483-4772-8e79-3d69d8477de4': { name: 'Linux file system' },
  '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f': { name: 'Linux swap' },
  'e6d6d379-f507-44c2-a23c-238f2a3df928': { name: 'Linux LVM' },
  'a19d880f-05fc-4d3b-a006-743f0f84911e': { name: 'Linux RAID' },
  'bc13c2ff-59e6-4262-a352-b275fd6f7172': { name: 'Linux extended boot' },
  '933ac7e1-2eb4-4f13-b844-0e14e2aef915': { name: 'Linux home' },
  '3b8f8425-20e0-4f3b-907f-1a25a76f98e8': { name: 'Linux server data' },
  '4f68bce3-e8cd-4db1-96e7-fbcaf984b709': { name: 'Linux root (x86-64)' },
  '44479540-f297-41b2-9af7-d131d5f0458a': { name: 'Linux root (x86)' },
  'b921b045-1df0-41c3-af44-4c6f280d3fae': { name: 'Linux root (ARM64)' },
  'ca7d7ccb-63ed-4c53-861c-1742536059cc': { name: 'Linux LUKS' },
  '8da63339-0007-60c0-c436-083ac8230908': { name: 'Linux reserved' },
  '48465300-0000-11aa-aa11-00306543ecac': { name: 'Apple HFS+' },
  '7c3457ef-0000-11aa-aa11-00306543ecac': { name: 'Apple APFS' },
  '426f6f74-0000-11aa-aa11-00306543ecac': { name: 'Apple boot' },
  '53746f72-6167-11aa-aa11-00306543ecac': { name: 'Apple Core Storage' },
  '83bd6b9d-7f41-11dc-be0b-001560b84f0f': { name: 'FreeBSD boot' },
  '516e7cb4-6ecf-11d6-8ff8-00022d09712b': { name: 'FreeBSD data' },
  '516e7cb5-6ecf-11d6-8ff8-00022d09712b': { name: 'FreeBSD swap' },
  '516e7cb6-6ecf-11d6-8ff8-00022d09712b': { name: 'FreeBSD UFS' },
  '516e7cba-6ecf-11d6-8ff8-00022d09712b': { name: 'FreeBSD ZFS' },
  '6a898cc3-1dd2-11b2-99a6-080020736631': { name: 'Solaris /usr or Apple ZFS' },
  'aa31e02a-400f-11db-9590-000c2911d1b8': { name: 'VMware VMFS' },
  '9d275380-40ad-11db-bf97-000c2911d1b8': { name: 'VMware vmkcore' },
}

const MBR_TYPES: Readonly<Record<string, PartitionType>> = {
  '0x01': { name: 'FAT12', role: 'basic-data' },
  '0x04': { name: 'FAT16 below 32 MiB', role: 'basic-data' },
  '0x05': { name: 'extended' },
  '0x06': { name: 'FAT16', role: 'basic-data' },
  '0x07': { name: 'NTFS or exFAT', role: 'basic-data' },
  '0x0b': { name: 'FAT32', role: 'basic-data' },
  '0x0c': { name: 'FAT32 (LBA)', role: 'basic-data' },
  '0x0e': { name: 'FAT16 (LBA)', role: 'basic-data' },
  '0x0f': { name: 'extended (LBA)' },
  '0x11': { name: 'hidden FAT12' },
  '0x12': { name: 'diagnostics' },
  '0x14': { name: 'hidden FAT16 below 32 MiB' },
  '0x16': { name: 'hidden FAT16' },
  '0x17': { name: 'hidden NTFS or exFAT' },
  '0x1b': { name: 'hidden FAT32' },
  '0x1c': { name: 'hidden FAT32 (LBA)' },
  '0x1e': { name: 'hidden FAT16 (LBA)' },
  '0x27': { name: 'Windows recovery', role: 'recovery' },
  '0x42': { name: 'Windows LDM', role: 'ldm' },
  '0x82': { name: 'Linux swap' },
  '0x83': { name: 'Linux' },
  '0x85': { name: 'Linux extended' },
  '0x8e': { name: 'Linux LVM' },
  '0xa5': { name: 'FreeBSD' },
  '0xa6': { name: 'OpenBSD' },
  '0xa8': { name: 'Apple UFS' },
  '0xa9': { name: 'NetBSD' },
  '0xab': { name: 'Apple boot' },
  '0xaf': { name: 'Apple HFS+' },
  '0xbf': { name: 'Solaris' },
  '0xd7': { name: 'Windows Storage Spaces data', role: 'storage-spaces' },
  '0xda': { name: 'data without a file system' },
  '0xe7': { name: 'Windows Storage Spaces', role: 'storage-spaces' },
  '0xee': { name: 'GPT protective' },
  '0xef': { name: 'EFI system', role: 'efi-system' },
  '0xfb': { name: 'VMware VMFS' },
  '0xfd': { name: 'Linux RAID' },
}

const typeOf = (typeId: string): PartitionType | undefined => GPT_TYPES[typeId] ?? MBR_TYPES[typeId]

/** What `typeId`, a GUID or an MBR type such as `0x07`, is called; 'unknown type' where it is not known here. */
export const partitionTypeName = (typeId: string): string => typeOf(typeId)?.name ?? 'unknown type'

/** What `typeId` means to an imager; undefined where it means nothing in particular. */
export const partitionRole = (typeId: string): PartitionRole | undefined => typeOf(typeId)?.role

/** An MBR type byte as an id: `0x07`. */
export const mbrTypeId = (type: number): string => `0x${type.toString(16).padStart(2, '0')}`

/** Whether an MBR type byte marks an extended partition: a container of logical ones. */
export const isExtendedType = (type: number): boolean => type === 0x05 || type === 0x0f || type === 0x85
