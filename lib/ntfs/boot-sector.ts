/** The boot sector: what an NTFS volume's shape is. spec-notes/ntfs.md, Boot sector. */
import { isPowerOfTwo, KiB, MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { type FormatError, formatError } from '../errors.ts'
import { bootSector } from './format.ts'

/** The shape of a volume, checked. Sizes are bytes. */
export interface Geometry {
  readonly sectorSize: number
  readonly clusterSize: number
  /** Whole clusters; the sectors after them belong to no cluster. */
  readonly clusterCount: number
  /** Without the backup boot sector, which is the one after them. */
  readonly totalSectors: number
  readonly mftLcn: number
  readonly mftMirrLcn: number
  readonly recordSize: number
  readonly indexBlockSize: number
  readonly serial: bigint
}

/** Bytes of a boot sector that mean something, whatever the sector size. */
export const BOOT_SECTOR_SIZE = bootSector.size

const MAX_CLUSTER_SIZE = 2 * MiB
/** Windows keeps cluster numbers in 32 bits. */
const MAX_CLUSTERS = 2 ** 32

/** Whether `firstSector`, the first 512 bytes or more of a volume or its last sector, is an NTFS boot sector. */
export const isNtfs = (firstSector: Buffer) => bootSector.matches(firstSector)

/**
 * Reads a boot sector that lies at byte `position` of the volume.
 * Throws FormatError naming the field: NTFS_BOOT_SECTOR, TRUNCATED, BAD_CONSTANT, NUMBER_TOO_LARGE.
 */
export function readBootSector(sector: Buffer, position = 0): Geometry {
  const fields = bootSector.decode(sector, 0, position)
  const { bytesPerSector: sectorSize, totalSectors, mftLcn, mftMirrLcn, serial } = fields

  function check(holds: boolean, field: keyof typeof fields, expected: string): void {
    if (!holds) throw problem(field, expected, `${fields[field]}`)
  }
  function problem(field: keyof typeof fields, expected: string, actual: string): FormatError {
    const at = position + bootSector.offsetOf(field)
    return formatError('NTFS_BOOT_SECTOR', { structure: bootSector.name, field, position: at, expected, actual })
  }
  function recordBytes(field: 'recordSize' | 'indexBlockSize'): number {
    const coded = fields[field]
    const size = coded > 0 ? coded * clusterSize : 2 ** -coded
    check(isPowerOfTwo(size) && size >= 512 && size <= 64 * KiB, field, 'a power of two from 512 to 65536 bytes')
    return size
  }

  check(isPowerOfTwo(sectorSize) && sectorSize >= 256 && sectorSize <= 4096, 'bytesPerSector', '256 to 4096')
  const coded = fields.sectorsPerCluster
  const sectorsPerCluster = coded <= 0x80 ? coded : 2 ** (256 - coded)
  const clusterSize = sectorsPerCluster * sectorSize
  check(
    isPowerOfTwo(sectorsPerCluster) && clusterSize <= MAX_CLUSTER_SIZE,
    'sectorsPerCluster',
    'clusters of at most 2 MiB',
  )
  const clusterCount = Math.floor(totalSectors / sectorsPerCluster)
  check(clusterCount > 0 && clusterCount < MAX_CLUSTERS, 'totalSectors', 'from 1 to 2^32 - 1 clusters')
  check(mftLcn > 0 && mftLcn < clusterCount, 'mftLcn', `a cluster from 1 to ${clusterCount - 1}`)
  return {
    sectorSize,
    clusterSize,
    clusterCount,
    totalSectors,
    mftLcn,
    mftMirrLcn,
    recordSize: recordBytes('recordSize'),
    indexBlockSize: recordBytes('indexBlockSize'),
    serial,
  }
}

/**
 * Reads the boot sector at byte `offset` of `device` and sees that the volume fits.
 * Throws FormatError: what `readBootSector` does, and NTFS_VOLUME_CUT for a volume larger than the device.
 */
export async function loadBootSector(device: BlockDevice, offset: number): Promise<Geometry> {
  const sector = Buffer.alloc(Math.max(0, Math.min(BOOT_SECTOR_SIZE, device.size - offset)))
  await device.read(offset, sector)
  const geometry = readBootSector(sector, offset)
  const size = geometry.totalSectors * geometry.sectorSize
  if (size <= device.size) return geometry
  throw formatError('NTFS_VOLUME_CUT', {
    structure: bootSector.name,
    field: 'totalSectors',
    position: offset + bootSector.offsetOf('totalSectors'),
    expected: `a volume of at most the ${device.size} bytes that are there`,
    actual: `${geometry.totalSectors} sectors of ${geometry.sectorSize} bytes`,
    advice: 'The disk or the partition is cut short, or the partition table is wrong.',
  })
}
