/** An exFAT volume. spec-notes/exfat.md. */
import type { BlockDevice } from '../device/block-device.ts'
import { type Range, streamOf, totalLength } from '../device/ranges.ts'
import { unionRanges } from '../device/union-ranges.ts'
import { formatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { ClusterLinks } from '../volume/cluster-links.ts'
import type { Files } from '../volume/files.ts'
import type { UsedSpace, UsedSpaceOptions, Volume } from '../volume/volume.ts'
import { AllocationBitmap } from './allocation-bitmap.ts'
import { AllocationTable } from './allocation-table.ts'
import { activeFat, readBootRegion } from './boot-region.ts'
import { ExfatFiles } from './exfat-files.ts'
import { clusterOffset, type ExfatLayout, heapEnd } from './layout.ts'
import { type RootDirectory, readRootDirectory, type StoredEntry } from './root-directory.ts'
import { findUnmarked } from './unmarked-clusters.ts'

/** 3.1.13, "VolumeFlags Field". */
const VOLUME_DIRTY = 0x2
const MEDIA_FAILURE = 0x4

/** An exFAT volume. Open one with `ExfatVolume.open`. */
export class ExfatVolume implements Volume {
  readonly fileSystem = 'exFAT'
  readonly label: string | undefined
  readonly clusterSize: number
  readonly size: number
  readonly sectorSize: number
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
  readonly #device: BlockDevice
  readonly #layout: ExfatLayout
  readonly #bitmap: AllocationBitmap
  readonly #links: ClusterLinks
  readonly #upcase: StoredEntry | undefined

  private constructor(
    device: BlockDevice,
    layout: ExfatLayout,
    bitmap: AllocationBitmap,
    links: ClusterLinks,
    { label, upcase }: RootDirectory,
    hazards: readonly Finding[],
    findings: readonly Finding[],
  ) {
    this.#device = device
    this.#layout = layout
    this.#bitmap = bitmap
    this.#links = links
    this.#upcase = upcase
    this.label = label
    this.clusterSize = layout.clusterSize
    this.size = layout.volumeSize
    this.sectorSize = layout.sectorSize
    this.hazards = hazards
    this.findings = findings
  }

  /**
   * Opens the exFAT volume on `device`. Throws FormatError: EXFAT_BOOT_SECTOR_BAD, EXFAT_BOOT_CHECKSUM and
   * EXFAT_TRUNCATED when both boot regions are damaged, EXFAT_NO_BITMAP, EXFAT_BITMAP_BAD.
   */
  static async open(device: BlockDevice): Promise<ExfatVolume> {
    const { layout, flags, findings } = await readBootRegion(device)
    const live = activeFat(flags)
    const links = new ClusterLinks(new AllocationTable(device, layout, live))
    const root = await readRootDirectory(device, layout, links)
    const { bitmaps, problem } = root
    const entry = bitmaps[live]
    if (entry === undefined) throw noBitmap(layout, problem)
    const bitmap = await AllocationBitmap.open(device, layout, links, entry)
    return new ExfatVolume(device, layout, bitmap, links, root, flags & VOLUME_DIRTY ? [dirty] : [], [
      ...findings,
      ...(flags & MEDIA_FAILURE ? [mediaFailure] : []),
      ...(problem === undefined ? [] : [brokenRoot(problem)]),
    ])
  }

  /** Takes what the bitmap marks and what is found to hold something, for bits of a bitmap get lost. */
  async usedSpace({ signal }: UsedSpaceOptions = {}): Promise<UsedSpace> {
    const { clusterSize, clusterCount, heapOffset } = this.#layout
    const [end, size] = [heapEnd(this.#layout), this.#device.size]
    const used = await this.#bitmap.count(signal)
    const { ranges, findings } = await findUnmarked(await this.#openFiles(), this.#bitmap, this.#layout, signal)
    // They are not marked, unless they are all there are.
    const needed = Math.min(clusterCount, used + totalLength(ranges) / clusterSize)
    const around = [
      { offset: 0, length: heapOffset },
      { offset: end, length: size - end },
    ]
    const extent = { offset: 0, length: size }
    return {
      usedBytes: size - (clusterCount - needed) * clusterSize,
      clusters: { size: clusterSize, total: clusterCount, used },
      leftOut: [],
      patches: [],
      findings,
      ranges: () =>
        unionRanges([
          { extent, ranges: () => this.#markedRanges() },
          { extent, ranges: () => streamOf(ranges) },
          { extent, ranges: () => streamOf(around) },
        ]),
    }
  }

  async *#markedRanges(): AsyncIterable<Range> {
    for await (const { first, count } of this.#bitmap.usedRuns()) {
      yield { offset: clusterOffset(this.#layout, first), length: count * this.clusterSize }
    }
  }

  openFiles(): Promise<Files> {
    return this.#openFiles()
  }

  #openFiles(): Promise<ExfatFiles> {
    return ExfatFiles.open(this.#device, this.#layout, this.#links, this.#upcase)
  }
}

const noBitmap = (layout: ExfatLayout, problem: string | undefined) =>
  formatError('EXFAT_NO_BITMAP', {
    structure: 'exFAT root directory',
    position: clusterOffset(layout, layout.rootCluster),
    expected: 'one with an entry for the allocation bitmap of the active FAT',
    actual: problem === undefined ? 'one without' : `without, as far as it can be read: its chain ${problem}`,
  })

const dirty: Finding = {
  code: 'EXFAT_DIRTY',
  message:
    'the exFAT volume is marked as in use: it was not unmounted, or is mounted now. A check of the file system (chkdsk, fsck.exfat) clears the mark',
}

const mediaFailure: Finding = {
  code: 'EXFAT_MEDIA_FAILURE',
  message: 'the volume is marked as having had read or write errors',
}

const brokenRoot = (problem: string): Finding => ({
  code: 'EXFAT_ROOT_BROKEN',
  message: `the chain of the root directory ${problem}; the label may be missing`,
})
