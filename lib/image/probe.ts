/** What is in these bytes: volumes by their first ones, image files by their first and last. Pure, and the only lists of magic numbers. */
import { isExfat } from '../exfat/boot-region.ts'
import { isFat } from '../fat/boot-sector.ts'
import { isNtfs } from '../ntfs/boot-sector.ts'

/** Bytes of a volume that `probeVolume` may want: up to the superblock of btrfs and the last page size of a swap header. */
export const VOLUME_HEAD_LENGTH = 68 * 1024

interface Signature {
  readonly name: string
  readonly offset: number
  readonly magic: Buffer
}

const text = (name: string, offset: number, magic: string): Signature => ({
  name,
  offset,
  magic: Buffer.from(magic, 'latin1'),
})
const bytes = (name: string, offset: number, magic: string): Signature => ({
  name,
  offset,
  magic: Buffer.from(magic, 'hex'),
})

/** Linux puts the swap signature at the end of the first memory page, whatever a page is on that machine. */
const PAGE_SIZES = [4096, 8192, 16384, 65536]

/** spec-notes/partition-tables.md, "Other volumes". */
const VOLUMES: readonly Signature[] = [
  text('BitLocker', 3, '-FVE-FS-'),
  // BitLocker To Go keeps a FAT boot sector in front, with Microsoft's GUID 4967d63b-2e29-4ad8-8399-f6a339e3d001 in it.
  bytes('BitLocker', 0x1a8, '3bd66749292ed84a8399f6a339e3d001'),
  text('ReFS', 3, 'ReFS\0\0\0\0'),
  text('LUKS', 0, 'LUKS\xba\xbe'),
  text('XFS', 0, 'XFSB'),
  text('squashfs', 0, 'hsqs'),
  text('APFS', 32, 'NXSB'),
  bytes('Linux RAID', 0, 'fc4e2ba901000000'),
  bytes('Linux RAID', 4096, 'fc4e2ba901000000'),
  ...[0, 512, 1024, 1536].map(sector => text('LVM2', sector + 24, 'LVM2 001')),
  ...PAGE_SIZES.flatMap(size =>
    ['SWAPSPACE2', 'SWAP-SPACE', 'S1SUSPEND\0'].map(magic => text('Linux swap', size - magic.length, magic)),
  ),
  bytes('HFS+', 1024, '482b0004'),
  bytes('HFS+', 1024, '48580005'),
  bytes('F2FS', 1024, '1020f5f2'),
  text('JFS', 0x8000, 'JFS1'),
  text('ISO 9660', 0x8001, 'CD001'),
  text('UDF', 0x8001, 'BEA01'),
  text('ReiserFS', 0x10034, 'ReIsEr'),
  text('btrfs', 0x10040, '_BHRfS_M'),
]

const isAt = ({ offset, magic }: Signature, source: Buffer) =>
  source.subarray(offset, offset + magic.length).equals(magic)

/** The name of the file system, or of whatever else the volume that begins with `head` is; undefined for one not known here. */
export function probeVolume(head: Buffer): string | undefined {
  if (isNtfs(head)) return 'NTFS'
  if (isExfat(head)) return 'exFAT'
  const found = VOLUMES.find(signature => isAt(signature, head))
  // BitLocker To Go looks like FAT, and the two bytes of ext's magic may stand in a FAT by chance: FAT comes between.
  return found?.name ?? (isFat(head) ? 'FAT' : probeExt(head))
}

const EXT_SUPERBLOCK = 1024
const EXT_MAGIC = 0xef53
const EXT_HAS_JOURNAL = 0x4
/** Features only ext4 has: extents, 64-bit block numbers, flexible block groups. */
const EXT4_FEATURES = 0x40 | 0x80 | 0x200

function probeExt(head: Buffer): string | undefined {
  if (head.length < EXT_SUPERBLOCK + 1024) return undefined
  const superblock = head.subarray(EXT_SUPERBLOCK)
  if (superblock.readUInt16LE(0x38) !== EXT_MAGIC) return undefined
  if (superblock.readUInt32LE(0x60) & EXT4_FEATURES) return 'ext4'
  return superblock.readUInt32LE(0x5c) & EXT_HAS_JOURNAL ? 'ext3' : 'ext2'
}

/** Bytes at the start and at the end of a file that `probeContainer` wants. */
export const CONTAINER_HEAD_LENGTH = 4096
export const CONTAINER_TAIL_LENGTH = 512

/** Files that hold a disk in a form of their own, or compressed. To copy one as if it were the disk helps nobody. */
const CONTAINERS: readonly Signature[] = [
  text('VHDX', 0, 'vhdxfile'),
  text('VHD', 0, 'conectix'),
  text('QCOW', 0, 'QFI\xfb'),
  text('QED', 0, 'QED\0'),
  text('VMDK', 0, 'KDMV'),
  text('VMDK', 0, 'COWD'),
  text('VMDK', 0, '# Disk DescriptorFile'),
  bytes('VDI', 64, '7f10dabe'),
  text('Parallels HDD', 0, 'WithoutFreeSpace'),
  text('Parallels HDD', 0, 'WithouFreSpacExt'),
  text('Bochs image', 0, 'Bochs Virtual HD Image'),
  text('EnCase E01', 0, 'EVF\x09\x0d\x0a\xff\x00'),
  text('EnCase Ex01', 0, 'EVF2\x0d\x0a\x81\x00'),
  text('EnCase L01', 0, 'LVF\x09\x0d\x0a\xff\x00'),
  text('AFF', 0, 'AFF10'),
  text('WIM', 0, 'MSWIM\0\0\0'),
  text('ntfsclone image', 0, '\0ntfsclone-image'),
  text('partclone image', 0, 'partclone-image'),
  bytes('Android sparse image', 0, '3aff26ed'),
  bytes('gzip', 0, '1f8b08'),
  text('bzip2', 0, 'BZh'),
  text('xz', 0, '\xfd7zXZ\0'),
  bytes('zstd', 0, '28b52ffd'),
  bytes('LZ4', 0, '04224d18'),
  text('7z', 0, "7z\xbc\xaf'\x1c"),
  text('zip', 0, 'PK\x03\x04'),
  text('tar', 257, 'ustar'),
]

/** What an image file ends with that need not show at its start. */
const TRAILERS: readonly Signature[] = [
  // A fixed VHD is the raw disk with this behind it; Virtual PC before 2004 wrote it one byte short.
  text('VHD', 0, 'conectix'),
  text('VHD', 1, 'conectix'),
  text('DMG', 0, 'koly'),
]

/** The image format of a file that begins with `head` and ends with `tail`; undefined for one that may be a raw disk. */
export function probeContainer(head: Buffer, tail: Buffer): string | undefined {
  const found = CONTAINERS.find(signature => isAt(signature, head)) ?? TRAILERS.find(signature => isAt(signature, tail))
  return found?.name
}
