/** A FAT12, FAT16 or FAT32 volume. spec-notes/fat.md. */
import type { BlockDevice } from '../device/block-device.ts'
import { mergeTouching, type Range } from '../device/ranges.ts'
import { tryRead } from '../device/try-read.ts'
import { FormatError, formatError, hex } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { ClusterLinks } from '../volume/cluster-links.ts'
import type { Files } from '../volume/files.ts'
import type { UsedSpace, UsedSpaceOptions, Volume } from '../volume/volume.ts'
import { AllocationTable, type FatCount } from './allocation-table.ts'
import { type FatBootSector, isFat, readBootSector } from './boot-sector.ts'
import { FatFiles } from './fat-files.ts'
import { infoSector } from './format.ts'
import { clusterOffset, dataEnd, type FatLayout, isOversized } from './layout.ts'
import { hasRealFolder, labelText, type RootDirectory, readRootDirectory } from './root-directory.ts'

/** Of FAT12's state there is only the boot sector's flag. */
const CLEAN = { 12: 0, 16: 0x8000, 32: 0x08000000 } as const
const NO_ERRORS = { 12: 0, 16: 0x4000, 32: 0x04000000 } as const

const UNKNOWN_COUNT = 0xffffffff

/** A FAT volume. Open one with `FatVolume.open`. */
export class FatVolume implements Volume {
  readonly fileSystem: string
  readonly label: string | undefined
  readonly clusterSize: number
  readonly size: number
  readonly sectorSize: number
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
  readonly #device: BlockDevice
  readonly #boot: FatBootSector
  readonly #table: AllocationTable
  readonly #links: ClusterLinks
  readonly #suspicion: FormatError | undefined

  private constructor(
    device: BlockDevice,
    boot: FatBootSector,
    table: AllocationTable,
    links: ClusterLinks,
    state: number,
    root: RootDirectory,
    suspicion: FormatError | undefined,
  ) {
    const { width, clusterSize, sectorSize, volumeSize } = boot.layout
    this.#device = device
    this.#boot = boot
    this.#table = table
    this.#links = links
    this.#suspicion = suspicion
    this.fileSystem = `FAT${width}`
    this.label = labelText(root.label) ?? labelText(boot.label)
    this.clusterSize = clusterSize
    this.size = volumeSize
    this.sectorSize = sectorSize
    const isDirty = boot.isMounted || (state & CLEAN[width]) !== CLEAN[width]
    this.hazards = isDirty ? [dirty(`FAT${width}`)] : []
    this.findings = [
      ...(suspicion === undefined ? [] : [misleadingBoot(suspicion)]),
      ...((state & NO_ERRORS[width]) === NO_ERRORS[width] ? [] : [diskErrors]),
      ...(root.problem === undefined ? [] : [brokenRoot(root.problem)]),
      ...(isOversized(boot.layout) ? [oversizedFat(boot.layout)] : []),
    ]
  }

  /**
   * Opens the FAT volume on `device`. That the boot sector seems wrong about the places of things is a finding:
   * FAT_MEDIA_MISMATCH where a copy of the FAT does not begin as one, FAT_BACKUP_DIFFERS, FAT_CLUSTERS_MISPLACED. Files may
   * be right all the same, and who reads one sees what it is. Throws FormatError (NOT_FAT, FAT_BOOT_SECTOR_BAD).
   */
  static async open(device: BlockDevice): Promise<FatVolume> {
    const sector = Buffer.alloc(512)
    await device.read(0, sector.subarray(0, device.size))
    if (!isFat(sector)) throw new FormatError('NOT_FAT', 'the first sector is not the boot sector of a FAT volume')
    const boot = readBootSector(sector, device.size)
    const table = new AllocationTable(device, boot.layout)
    const links = new ClusterLinks(table)
    const root = await readRootDirectory(device, boot, links)
    const suspicion =
      (await mediaMismatch(device, boot)) ??
      (await backupDifference(device, boot, sector)) ??
      (await misplacement(device, boot, root))
    return new FatVolume(device, boot, table, links, await table.entry(1), root, suspicion)
  }

  /** Throws FormatError when the boot sector seems wrong about the places of things: then it is about used space too. */
  async usedSpace(options: UsedSpaceOptions = {}): Promise<UsedSpace> {
    if (this.#suspicion !== undefined) throw this.#suspicion
    const { layout } = this.#boot
    const { clusterSize, clusterCount, dataOffset } = layout
    const count = await this.#table.count(options.signal)
    return {
      usedBytes: dataOffset + count.used * clusterSize + (this.#device.size - dataEnd(layout)),
      clusters: { size: clusterSize, total: clusterCount, used: count.used },
      leftOut: [],
      patches: [],
      findings: [...countFindings(count), ...(await this.#checkFreeCount(count))],
      ranges: () => mergeTouching(this.#usedRanges()),
    }
  }

  /** Everything before the first cluster, the used ones, and everything behind the last. */
  async *#usedRanges(): AsyncIterable<Range> {
    const { layout } = this.#boot
    yield { offset: 0, length: layout.dataOffset }
    for await (const { first, count } of this.#table.usedRuns()) {
      yield { offset: clusterOffset(layout, first), length: count * layout.clusterSize }
    }
    const end = dataEnd(layout)
    yield { offset: end, length: this.#device.size - end }
  }

  async #checkFreeCount(count: FatCount): Promise<Finding[]> {
    const offset = this.#boot.fat32?.infoOffset
    if (offset === undefined) return []
    const sector = await readSector(this.#device, offset)
    if (!infoSector.matches(sector)) return []
    const said = infoSector.decode(sector, 0, offset).freeCount
    const free = this.#boot.layout.clusterCount - count.used - count.bad
    return said === free || said === UNKNOWN_COUNT ? [] : [wrongFreeCount(said, free, offset)]
  }

  async openFiles(): Promise<Files> {
    return new FatFiles(this.#device, this.#boot, this.#links)
  }
}

/** A sector that can be done without: zeros where it cannot be read. */
async function readSector(device: BlockDevice, offset: number): Promise<Buffer> {
  const sector = Buffer.alloc(512)
  await tryRead(device, offset, sector.subarray(0, Math.min(sector.length, device.size - offset)))
  return sector
}

/**
 * Every copy of the FAT begins with the media byte of the boot sector: a proof that they lie where it says. One whose
 * first sector cannot be read is passed over.
 */
async function mediaMismatch(device: BlockDevice, { layout, media }: FatBootSector): Promise<FormatError | undefined> {
  for (const position of layout.fatOffsets) {
    const first = Buffer.alloc(1)
    if ((await tryRead(device, position, first)) !== undefined || first[0] === media) continue
    const expected = `${hex(media)} as in the boot sector`
    const actual = hex(first[0]!)
    return formatError('FAT_MEDIA_MISMATCH', { structure: 'FAT', field: 'media', position, expected, actual })
  }
  return undefined
}

/** FAT32's backup boot sector; undefined when there is none. */
async function readBackup(device: BlockDevice, boot: FatBootSector): Promise<Buffer | undefined> {
  const offset = boot.fat32?.backupOffset
  const backup = offset === undefined ? undefined : await readSector(device, offset)
  return backup !== undefined && isFat(backup) ? backup : undefined
}

/** Where the backup boot sector puts things in other places: with one of the two most clusters would be misplaced. */
async function backupDifference(
  device: BlockDevice,
  boot: FatBootSector,
  sector: Buffer,
): Promise<FormatError | undefined> {
  const backup = await readBackup(device, boot)
  const place = PLACES.find(
    ([start, end]) => backup?.subarray(start, end).equals(sector.subarray(start, end)) === false,
  )
  if (place === undefined) return undefined
  return formatError('FAT_BACKUP_DIFFERS', {
    structure: 'FAT boot sector',
    position: place[0],
    expected: `${hexBytes(backup!.subarray(...place))} as in its backup at byte ${hex(boot.fat32!.backupOffset!)}`,
    actual: hexBytes(sector.subarray(...place)),
  })
}

/** Where no backup speaks for the boot sector, at least one folder of the root directory has to be where it says. */
async function misplacement(
  device: BlockDevice,
  boot: FatBootSector,
  { folders }: RootDirectory,
): Promise<FormatError | undefined> {
  if (folders.length === 0 || (await readBackup(device, boot)) !== undefined) return undefined
  return (await hasRealFolder(device, boot.layout, folders)) ? undefined : misplacedClusters(boot.layout)
}

/** Bytes of a FAT32 boot sector on which the place of every cluster depends: sectors, clusters, FATs; FAT size and live FAT. */
const PLACES = [
  [11, 19],
  [22, 24],
  [36, 42],
] as const

const hexBytes = (bytes: Buffer) => `0x${bytes.toString('hex')}`

const misplacedClusters = ({ clusterSize, dataOffset }: FatLayout): FormatError =>
  formatError('FAT_CLUSTERS_MISPLACED', {
    structure: 'FAT boot sector',
    position: 0,
    expected: 'one by which the folders of the root directory are found',
    actual: `one by which none is (clusters of ${clusterSize} bytes from byte ${hex(dataOffset)})`,
  })

const misleadingBoot = ({ code, message, details }: FormatError): Finding => ({
  code,
  message: `${message}. Files may be read from the wrong places`,
  details,
})

const dirty = (fileSystem: string): Finding => ({
  code: 'FAT_DIRTY',
  message: `the ${fileSystem} volume is marked as in use: it was not unmounted, or is mounted now. A check of the file system (chkdsk, fsck.fat) clears the mark`,
})

const diskErrors: Finding = {
  code: 'FAT_DISK_ERRORS',
  message: 'the volume is marked as having had read or write errors (entry 1 of the FAT)',
}

const oversizedFat = ({ fatLength, clusterCount }: FatLayout): Finding => ({
  code: 'FAT_OVERSIZED',
  message: `the FAT has ${fatLength} bytes, far more than its ${clusterCount} clusters need: the boot sector may give the volume a wrong size`,
  details: { fatLength, clusterCount },
})

const brokenRoot = (problem: string): Finding => ({
  code: 'FAT_ROOT_BROKEN',
  message: `the chain of the root directory ${problem}; the label may be missing`,
})

function countFindings({ bad, disputed, stray, unreadable }: FatCount): Finding[] {
  const findings: Finding[] = []
  if (bad > 0) {
    const message = `${bad} clusters are marked as bad: they hold nothing and are not read`
    findings.push({ code: 'FAT_BAD_CLUSTERS', message, details: { clusters: bad } })
  }
  if (disputed > 0) {
    const message = `the copies of the FAT differ about ${disputed} clusters, which are copied as used`
    findings.push({ code: 'FAT_COPIES_DIFFER', message, details: { clusters: disputed } })
  }
  if (stray > 0) {
    const message = `the entries of ${stray} used clusters lead to clusters that do not exist: the FAT is damaged, or the boot sector gives the volume a wrong size`
    findings.push({ code: 'FAT_ENTRIES_STRAY', message, details: { clusters: stray } })
  }
  if (unreadable > 0) {
    const message = `the FAT's entries of ${unreadable} clusters cannot be read in any copy; these clusters are copied as used`
    findings.push({ code: 'FAT_UNREADABLE', message, details: { clusters: unreadable } })
  }
  return findings
}

const wrongFreeCount = (said: number, free: number, position: number): Finding => ({
  code: 'FAT_FREE_COUNT',
  message: `the FSInfo sector at byte ${hex(position)} counts ${said} free clusters, the FAT has ${free}; the FAT was used`,
  details: { position, expected: free, actual: said },
})
