/** What is settled before the first byte is written: the source, what of it is copied, and the shape of the image. */
import { formatSize, roundUp } from '../binary/size.ts'
import { FileDevice } from '../device/file-device.ts'
import { OptionError, RefusedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { Partition } from '../partition/partition.ts'
import { mountedReadWrite } from '../platform/mounts.ts'
import { imageSize } from '../vhdx/builder.ts'
import { type ImagePlan, planImage } from '../vhdx/image-plan.ts'
import type { ByteSink } from '../vhdx/stream-builder.ts'
import type { LeftOutReason } from '../volume/left-out.ts'
import type { Volume } from '../volume/volume.ts'
import { type CopyPlan, type DiskSurvey, planCopy, surveyDisk } from './disk-survey.ts'
import { globMatcher } from './glob.ts'
import { type ManifestPartition, manifestPartition } from './manifest.ts'
import { physicalSectorSizeOf, sectorSizeOf } from './sector-size.ts'

/** What to capture, where to, and how. Sizes are bytes. */
export interface CaptureOptions {
  /** Path of a disk, a partition, a raw image or a VHDX. */
  readonly source: string
  /** Bytes of the source, where the system cannot tell. */
  readonly sourceSize?: number | undefined
  /** Path of the image, or what takes it in one pass. */
  readonly target: string | ByteSink
  /** Bytes, a power of two from 1 to 256 MiB. Default: 1 MiB up to 2 TiB, then doubling. */
  readonly blockSize?: number | undefined
  /** Kinds of file that are copied although they are left out by default. */
  readonly keep?: readonly LeftOutReason[] | undefined
  /** Globs, with / or \, of more files to leave out. */
  readonly exclude?: readonly string[] | undefined
  /** Go on where a capture is refused: a mounted or dirty source, a damaged file system, an existing target. */
  readonly force?: boolean | undefined
  /** What becomes of sectors that cannot be read: zeros and an entry in the manifest (default), or an error. */
  readonly onReadError?: 'zero' | 'fail' | undefined
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  readonly onFinding?: ((finding: Finding) => void) | undefined
  readonly onVolume?: ((partition: Partition, volume: Volume) => void) | undefined
  /** Stops the capture; what was written is deleted. */
  readonly signal?: AbortSignal | undefined
  /** Name and version for the manifest. */
  readonly tool: { readonly name: string; readonly version: string }
}

/** What a capture would do. Sizes are bytes. */
export interface CapturePlan {
  readonly source: string
  readonly virtualSize: number
  readonly blockSize: number
  readonly logicalSectorSize: number
  readonly physicalSectorSize: number
  readonly partitionTable: string
  readonly partitions: readonly ManifestPartition[]
  /** What will be read. */
  readonly usedBytes: number
  /** The image's size at most; blocks that turn out to hold only zeros make it smaller. */
  readonly expectedSize: number
  readonly leftOut: DiskSurvey['leftOut']
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
}

/** A source that may be copied, and all that is known of it. */
export interface PreparedCapture {
  readonly survey: DiskSurvey
  readonly plan: CopyPlan
  /** The image to write. */
  readonly image: ImagePlan
  /** Why it would have been refused without `force`. */
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
}

/** What a capture would copy, and how large the image would be at most. Writes nothing, and refuses nothing. */
export async function planCapture(options: CaptureOptions): Promise<CapturePlan> {
  await using source = await openSource(options)
  const { survey, plan, image, hazards, findings } = await prepareCapture(source, { ...options, force: true })
  const { virtualSize, blockSize, logicalSectorSize, physicalSectorSize } = image
  return {
    source: options.source,
    virtualSize,
    blockSize,
    logicalSectorSize,
    physicalSectorSize,
    partitionTable: survey.table.type,
    partitions: survey.volumes.map(manifestPartition),
    usedBytes: plan.bytes,
    expectedSize: imageSize(image, plan.blocks),
    leftOut: survey.leftOut,
    hazards,
    findings,
  }
}

/** Opens the disk to be captured. Throws OptionError (BAD_SOURCE_SIZE) when a size is given for what has one. */
export async function openSource({ source, sourceSize }: CaptureOptions): Promise<OpenedDisk> {
  if (sourceSize === undefined) return openDisk(source)
  await using file = await FileDevice.open(source, { size: sourceSize })
  if (file.raw) return openDisk(source, { size: sourceSize })
  throw new OptionError(
    'BAD_SOURCE_SIZE',
    `${source} is a file, whose size the system knows. Give a size for raw devices only`,
    { source },
  )
}

/**
 * Surveys the source and decides what the image will be. Throws RefusedError for a source that should not be copied now,
 * unless `force`, and what surveying a damaged disk throws.
 */
export async function prepareCapture(source: OpenedDisk, options: CaptureOptions): Promise<PreparedCapture> {
  const { force = false, exclude = [], signal, onVolume } = options
  // An option that no image can have is said now, not after the survey.
  planImage(imageOptions(source, 512, options))
  const mounted = await mountedReadWrite(options.source)
  refuseHazards(mounted, force)
  options.onProgress?.({ phase: 'surveying', done: 0, total: 0 })
  const survey = await surveyDisk(source.disk, {
    keep: new Set(options.keep),
    ...(exclude.length > 0 && { exclude: globMatcher(exclude) }),
    ...(signal !== undefined && { signal }),
    ...(onVolume !== undefined && { onVolume }),
    copyDamagedWhole: force,
  })
  refuseHazards(survey.hazards, force)
  const sectorSize = sectorSizeOf(survey.table, survey.volumes[0]?.volume, source.disk)
  const image = planImage(imageOptions(source, sectorSize, options))
  const plan = await planCopy(survey, image, signal)
  const findings = [...source.findings, ...survey.findings, ...image.findings, ...unmatchedExclusion(survey, exclude)]
  return { survey, plan, image, hazards: [...mounted, ...survey.hazards], findings }
}

function refuseHazards(hazards: readonly Finding[], force: boolean): void {
  const [first] = hazards
  if (first === undefined || force) return
  throw new RefusedError(
    first.code,
    `${hazards.map(hazard => hazard.message).join('; ')}. --force copies it all the same, and the image's manifest says so`,
    { hazards },
  )
}

function imageOptions(source: OpenedDisk, logicalSectorSize: number, options: CaptureOptions) {
  return {
    virtualSize: roundUp(source.disk.size, logicalSectorSize),
    logicalSectorSize,
    physicalSectorSize: physicalSectorSizeOf(source, logicalSectorSize),
    creator: `${options.tool.name} ${options.tool.version}`,
    ...(options.blockSize !== undefined && { blockSize: options.blockSize }),
  }
}

function unmatchedExclusion({ leftOut }: DiskSurvey, exclude: readonly string[]): Finding[] {
  if (exclude.length === 0 || leftOut.some(({ reason }) => reason === 'excluded')) return []
  return [{ code: 'EXCLUDE_UNMATCHED', message: `no file was left out for ${exclude.join(', ')}` }]
}

/** What to say when the image fits only if many blocks turn out to be zeros; undefined when there is room for all. */
export function tightTarget({ image, plan }: PreparedCapture, free: number): Finding | undefined {
  const most = imageSize(image, plan.blocks)
  if (free >= most) return undefined
  const message = `the image may grow to ${formatSize(most)}, but only ${formatSize(free)} are free on the target: it fits only if much of what is copied whole is zeros`
  return { code: 'MAY_NOT_FIT', message, details: { needed: most, free } }
}
