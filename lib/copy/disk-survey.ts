/** What a disk holds and what of it a copy has to take: the partition table and every volume, asked in turn. */
import { isPowerOfTwo } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, normalizeRanges, type Range, shift, subtractRanges } from '../device/ranges.ts'
import { SliceDevice } from '../device/slice-device.ts'
import { type RangeStream, unionRanges } from '../device/union-ranges.ts'
import { type Damage, isDamage, retold } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { damagedVolume, openVolume } from '../image/open-volume.ts'
import { type Partition, type PartitionTable, readPartitionTable } from '../partition/partition-table.ts'
import type { LeftOut } from '../volume/left-out.ts'
import type { Patch, UsedSpace, UsedSpaceOptions, Volume } from '../volume/volume.ts'

export interface SurveyOptions extends Pick<UsedSpaceOptions, 'keep' | 'exclude' | 'signal'> {
  /** Copy a volume whole when its file system is damaged, and cut partitions that the disk ends before, instead of throwing. */
  readonly copyDamagedWhole?: boolean
  /** Called before each volume is looked at. */
  readonly onVolume?: (partition: Partition, volume: Volume) => void
}

export interface SurveyedVolume {
  readonly partition: Partition
  readonly volume: Volume
  readonly usedSpace: UsedSpace
}

/** A part of the disk and what of it is copied. `isExact`: known used; otherwise zeros are expected among it. */
export interface Segment extends RangeStream {
  readonly isExact: boolean
}

export interface DiskSurvey {
  readonly table: PartitionTable
  readonly volumes: readonly SurveyedVolume[]
  /** Reasons not to copy this disk now, or not as it is, each naming its partition. */
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
  readonly leftOut: readonly (LeftOut & { readonly partition: number })[]
  /** Offsets from the start of the disk. */
  readonly patches: readonly Patch[]
  readonly segments: readonly Segment[]
  /** Everything to copy, from the start of the disk, in order. */
  ranges(): AsyncIterable<Range>
}

/**
 * Reads `disk`'s partition table and the allocation of every volume on it. Volumes no reader here knows, and what lies
 * between partitions, count as wholly used. Throws FormatError for a damaged table or file system.
 */
export async function surveyDisk(disk: BlockDevice, options: SurveyOptions = {}): Promise<DiskSurvey> {
  const table = await readPartitionTable(disk, { truncated: options.copyDamagedWhole ? 'cut' : 'refuse' })
  const volumes: SurveyedVolume[] = []
  for (const partition of partitionsOf(table, disk)) volumes.push(await surveyVolume(disk, partition, options))

  const segments = [...volumes.map(segmentOfVolume), ...segmentsAround(disk, table, volumes)]
  const inPartition = ({ partition }: SurveyedVolume, finding: Finding): Finding => ({
    ...finding,
    message: table.type === 'none' ? finding.message : `partition ${partition.number}: ${finding.message}`,
    details: { ...finding.details, partition: partition.number },
  })
  const findings = [
    ...table.findings,
    ...volumes.flatMap(entry =>
      [...entry.volume.findings, ...entry.usedSpace.findings, ...ignoredExclusion(entry, options)].map(finding =>
        inPartition(entry, finding),
      ),
    ),
  ]
  return {
    table,
    volumes,
    segments,
    hazards: [
      ...volumes.flatMap(entry => entry.volume.hazards.map(hazard => inPartition(entry, hazard))),
      ...findings.filter(isOverridden),
    ],
    findings: findings.filter(finding => !isOverridden(finding)),
    leftOut: volumes.flatMap(({ partition, usedSpace }) =>
      usedSpace.leftOut.map(file => ({ partition: partition.number, ...file })),
    ),
    patches: volumes.flatMap(({ partition, usedSpace }) =>
      usedSpace.patches.map(patch => ({ ...patch, offset: patch.offset + partition.offset })),
    ),
    ranges: () => unionRanges(segments),
  }
}

/** What would have been refused but for `copyDamagedWhole`. */
const isOverridden = ({ code }: Finding) => code === 'DAMAGED_FILE_SYSTEM' || code === 'DISK_TRUNCATED'

/** The table's partitions, or the whole disk as one where there is no table. */
function partitionsOf(table: PartitionTable, disk: BlockDevice): readonly Partition[] {
  if (table.type !== 'none') return table.partitions
  return [{ number: 1, offset: 0, size: disk.size, typeId: '', typeName: 'no partition table' }]
}

async function surveyVolume(disk: BlockDevice, partition: Partition, options: SurveyOptions): Promise<SurveyedVolume> {
  const device = new SliceDevice(disk, { offset: partition.offset, length: partition.size })
  try {
    const volume = await openVolume(device, partition.typeId)
    options.onVolume?.(partition, volume)
    return { partition, volume, usedSpace: await volume.usedSpace(options) }
  } catch (error) {
    if (!isDamage(error)) throw error
    if (!options.copyDamagedWhole) throw inPartitionError(error, partition)
    const volume = damagedVolume(device, error)
    return { partition, volume, usedSpace: await volume.usedSpace(options) }
  }
}

/** Files can be left out of NTFS only; whoever asked for more is told. */
function ignoredExclusion({ volume: { fileSystem } }: SurveyedVolume, { exclude }: SurveyOptions): Finding[] {
  if (exclude === undefined || fileSystem === 'NTFS' || fileSystem === 'none') return []
  const message = `nothing is excluded here: files can be left out of NTFS volumes only, and this is ${fileSystem}`
  return [{ code: 'EXCLUDE_IGNORED', message }]
}

function inPartitionError(error: Damage, { number, offset }: Partition): Damage {
  const message = `partition ${number} (at byte ${offset}): ${error.message}. Repair the file system, or copy the partition whole with --force`
  return retold(error, message, { partition: number })
}

function segmentOfVolume({ partition, usedSpace }: SurveyedVolume): Segment {
  return {
    extent: { offset: partition.offset, length: partition.size },
    isExact: usedSpace.clusters !== undefined,
    async *ranges() {
      for await (const range of usedSpace.ranges()) yield shift(range, partition.offset)
    },
  }
}

/** The tables themselves, and all that no partition covers: boot loaders and forgotten data live there. */
function segmentsAround(disk: BlockDevice, table: PartitionTable, volumes: readonly SurveyedVolume[]): Segment[] {
  const partitions = normalizeRanges(
    volumes.map(({ partition }) => ({ offset: partition.offset, length: partition.size })),
  )
  const gaps = subtractRanges([{ offset: 0, length: disk.size }], partitions)
  return [
    ...table.tables.map(extent => ({ extent, isExact: true, ranges: () => once(extent) })),
    ...gaps.map(extent => ({ extent, isExact: false, ranges: () => disk.dataRanges(extent) })),
  ]
}

async function* once(range: Range): AsyncIterable<Range> {
  yield range
}

/** What to expect of copying the ranges of a survey. */
export interface CopyPlan {
  /** Bytes that will be read at most. */
  readonly bytes: number
  /** Blocks that a range touches: as many as can be allocated. Those of zeros only are not, in the end. */
  readonly blocks: number
  /** Of these, blocks that a file system says are used. */
  readonly exactBlocks: number
  isTouched(block: number): boolean
  /** How many grains of `size` bytes (a power of two, at least a MiB) the ranges touch. */
  grains(size: number): number
}

/** Walks all ranges once and counts, without keeping them. Throws the signal's reason when it is aborted. */
export async function planCopy(
  survey: DiskSurvey,
  { blockSize, blockCount }: { readonly blockSize: number; readonly blockCount: number },
  signal?: AbortSignal,
): Promise<CopyPlan> {
  const touched = new Uint8Array(Math.ceil(blockCount / 8))
  const exact = new Uint8Array(touched.length)
  const grains = new GrainCounter()
  for (const segment of survey.segments) {
    if (!segment.isExact) continue
    for await (const range of segment.ranges()) mark(exact, range, blockSize)
  }
  let bytes = 0
  for await (const range of survey.ranges()) {
    signal?.throwIfAborted()
    bytes += range.length
    mark(touched, range, blockSize)
    grains.add(range)
  }
  return {
    bytes,
    blocks: countBits(touched),
    exactBlocks: countBits(exact),
    isTouched: block => ((touched[Math.floor(block / 8)]! >> (block % 8)) & 1) === 1,
    grains: size => grains.count(size),
  }
}

function mark(bits: Uint8Array, range: Range, blockSize: number): void {
  const last = Math.floor((endOf(range) - 1) / blockSize)
  for (let block = Math.floor(range.offset / blockSize); block <= last; block++) {
    bits[Math.floor(block / 8)]! |= 1 << (block % 8)
  }
}

function countBits(bits: Uint8Array): number {
  let count = 0
  for (const byte of bits) for (let left = byte; left !== 0; left &= left - 1) count++
  return count
}

const SMALLEST_GRAIN = 2 ** 20
const GRAIN_SIZES = 27

/** Counts, for grains of 1 MiB to 64 TiB, how many the ranges touch. The ranges come in order. */
class GrainCounter {
  readonly #counts = new Float64Array(GRAIN_SIZES)
  readonly #last = new Float64Array(GRAIN_SIZES).fill(-1)

  add(range: Range): void {
    for (let i = 0, size = SMALLEST_GRAIN; i < GRAIN_SIZES; i++, size *= 2) {
      const last = Math.floor((endOf(range) - 1) / size)
      const first = Math.max(Math.floor(range.offset / size), this.#last[i]! + 1)
      if (last >= first) this.#counts[i]! += last - first + 1
      this.#last[i] = last
    }
  }

  count(size: number): number {
    if (!isPowerOfTwo(size)) throw new RangeError(`a grain of ${size} bytes is no power of two`)
    return this.#counts[Math.log2(size / SMALLEST_GRAIN)]!
  }
}
