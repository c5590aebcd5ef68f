/** The boot sector of a FAT volume and what follows from it. spec-notes/fat.md, "Boot sector". */
import { isPowerOfTwo } from '../binary/size.ts'
import { formatError } from '../errors.ts'
import { extension16, extension32, type ParameterBlock, parameterBlock } from './format.ts'
import { type FatLayout, fatBytesNeeded, layoutOf } from './layout.ts'

/** A boot sector whose values have been checked against each other and against the volume's size. */
export interface FatBootSector {
  readonly layout: FatLayout
  readonly media: number
  /** 11 bytes as they stand; undefined where the boot sector has none. Few programs keep it up to date. */
  readonly label: Buffer | undefined
  /** The flag by which Linux says that the volume is mounted, or was not unmounted. */
  readonly isMounted: boolean
  /** What only FAT32 has. */
  readonly fat32: Fat32Places | undefined
}

interface Fat32Places {
  readonly rootCluster: number
  /** Bytes from the start of the volume; undefined where the boot sector names no sector for it. */
  readonly infoOffset: number | undefined
  readonly backupOffset: number | undefined
}

const HAS_LABEL = 0x29
/** Four copies is twice what anybody makes; the specification sets no limit. */
const MAX_FATS = 4
/** FAT16 ends here, "FAT Type Determination". */
const MAX_CLUSTERS_16 = 65_524
const MAX_CLUSTERS_32 = 0x0ffffff5

/** Whether `sector` begins a FAT volume: 55 AA at its end and parameters that only FAT has. */
export function isFat(sector: Buffer): boolean {
  if (sector.length < 512 || sector.readUInt16LE(510) !== 0xaa55) return false
  const { jump, bytesPerSector, sectorsPerCluster, reservedSectors, fatCount, media } = parameterBlock.decode(sector)
  return (
    (jump[0] === 0xeb || jump[0] === 0xe9) &&
    bytesPerSector >= 512 &&
    bytesPerSector <= 4096 &&
    isPowerOfTwo(bytesPerSector) &&
    isPowerOfTwo(sectorsPerCluster) &&
    reservedSectors > 0 &&
    fatCount > 0 &&
    fatCount <= MAX_FATS &&
    (media === 0xf0 || media >= 0xf8)
  )
}

/**
 * Reads the first sector of a volume of `size` bytes, for which `isFat` holds.
 * Throws FormatError (FAT_BOOT_SECTOR_BAD) when its values contradict each other or need more than `size` bytes.
 */
export function readBootSector(sector: Buffer, size: number): FatBootSector {
  const block = parameterBlock.decode(sector)
  if (block.fatSize16 !== 0) {
    const extension = extension16.decode(sector, parameterBlock.size)
    const layout = layoutOf(block, { fatSize32: 0, flags: 0 })
    check(block, layout, size)
    return { layout, fat32: undefined, ...ofEither(block, extension) }
  }
  const extension = extension32.decode(sector, parameterBlock.size)
  const layout = layoutOf(block, extension)
  check(block, layout, size)
  const offsetOf = (sectorNumber: number) =>
    sectorNumber > 0 && sectorNumber < block.reservedSectors ? sectorNumber * block.bytesPerSector : undefined
  const { rootCluster, infoSector, backupSector } = extension
  const fat32 = { rootCluster, infoOffset: offsetOf(infoSector), backupOffset: offsetOf(backupSector) }
  return { layout, fat32, ...ofEither(block, extension) }
}

const ofEither = (block: ParameterBlock, extension: { bootSignature: number; label: Buffer; state: number }) => ({
  media: block.media,
  label: extension.bootSignature === HAS_LABEL ? extension.label : undefined,
  isMounted: (extension.state & 1) === 1,
})

function check(block: ParameterBlock, layout: FatLayout, size: number): void {
  const demand = (field: keyof ParameterBlock, holds: boolean, expected: string, actual: number) => {
    if (holds) return
    const position = parameterBlock.offsetOf(field)
    throw formatError('FAT_BOOT_SECTOR_BAD', {
      structure: parameterBlock.name,
      field,
      position,
      expected,
      actual: `${actual}`,
    })
  }
  const { width, volumeSize, dataOffset, clusterCount, fatLength, liveFats } = layout
  const sectors = `totalSectors${block.totalSectors16 === 0 ? 32 : 16}` as const
  const maxClusters = width === 32 ? MAX_CLUSTERS_32 : MAX_CLUSTERS_16
  const needed = fatBytesNeeded(layout)
  const [sectors16, sectors32] = [block.totalSectors16, block.totalSectors32]
  demand(
    'totalSectors16',
    sectors16 === 0 || sectors32 === 0 || sectors16 === sectors32,
    `0 or ${sectors32}`,
    sectors16,
  )
  demand(sectors, volumeSize <= size, `a volume of at most ${size} bytes`, volumeSize)
  demand(sectors, clusterCount > 0, `a volume of more than ${dataOffset} bytes, where its data begins`, volumeSize)
  demand('rootEntryCount', width === 32 || block.rootEntryCount > 0, 'above 0 on FAT12 and FAT16', 0)
  demand('sectorsPerCluster', clusterCount <= maxClusters, `for at most ${maxClusters} clusters`, clusterCount)
  demand('fatSize16', fatLength >= needed, `a FAT of ${needed} bytes or more for ${clusterCount} clusters`, fatLength)
  demand('fatCount', liveFats.length > 0, 'more than the number of the live FAT', block.fatCount)
}
