/** A disk becomes an image: survey, refusals, plan, copy, check, and only then a name. */
import { roundUp } from '../binary/size.ts'
import { fileIdentity } from '../device/file-identity.ts'
import { OptionError, RefusedError, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { Partition } from '../partition/partition-table.ts'
import { hostFileSystem } from '../platform/host-file-system.ts'
import { mountedReadWrite } from '../platform/mounts.ts'
import { imageSize, VhdxBuilder } from '../vhdx/builder.ts'
import { checkVhdx } from '../vhdx/check.ts'
import { planImage } from '../vhdx/image-plan.ts'
import { automaticBlockSize, geometryOf } from '../vhdx/layout.ts'
import { type ByteSink, VhdxStreamBuilder } from '../vhdx/stream-builder.ts'
import type { LeftOutReason, Volume } from '../volume/volume.ts'
import { type BlockWriter, FileBlockWriter, StreamBlockWriter } from './block-writer.ts'
import { ContentHasher, chooseGrain } from './content-hash.ts'
import { copyWindows } from './copy-windows.ts'
import { type CopyPlan, type DiskSurvey, planCopy, surveyDisk } from './disk-survey.ts'
import { globMatcher } from './glob.ts'
import { HashThread } from './hash-thread.ts'
import { encodeManifest, MANIFEST_ITEM, type Manifest, type ManifestPartition, manifestPartition } from './manifest.ts'
import { OutputFile, partialPathOf, refuseExisting, refuseFullTarget } from './output-file.ts'
import { type ReadErrors, RescuingReader } from './rescuing-reader.ts'

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

/** What a capture did. Sizes are bytes. */
export interface CaptureSummary {
  readonly bytesRead: number
  /** Size of the image. */
  readonly bytesWritten: number
  readonly usedBytes: number
  /** Blocks allocated in the image. */
  readonly blocks: number
  readonly seconds: number
  readonly leftOut: DiskSurvey['leftOut']
  readonly readErrors: ReadErrors
  readonly findings: readonly Finding[]
}

interface PreparedCapture {
  readonly source: OpenedDisk
  readonly survey: DiskSurvey
  readonly plan: CopyPlan
  readonly geometry: Geometry
  readonly expectedSize: number
  readonly hazards: readonly Finding[]
}

interface Geometry {
  readonly virtualSize: number
  readonly blockSize: number
  readonly blockCount: number
  readonly logicalSectorSize: 512 | 4096
  readonly physicalSectorSize: 512 | 4096
}

/** What a capture would copy, and how large the image would be at most. Writes nothing, and refuses nothing. */
export async function planCapture(options: CaptureOptions): Promise<CapturePlan> {
  await using source = await openSource(options)
  const { survey, plan, geometry, expectedSize, hazards } = await prepare(source, { ...options, force: true })
  return {
    source: options.source,
    ...geometry,
    partitionTable: survey.table.type,
    partitions: survey.volumes.map(manifestPartition),
    usedBytes: plan.bytes,
    expectedSize,
    leftOut: survey.leftOut,
    hazards,
    findings: survey.findings,
  }
}

/**
 * Copies the used clusters of a disk into a dynamic VHDX. The image has its name only when it is whole and checked.
 * Throws RefusedError (source mounted read-write, volume dirty or hibernated, target there already), OptionError,
 * FormatError (a damaged table or file system), StorageError (no space, unreadable, gone), InterruptedError.
 */
export async function captureDisk(options: CaptureOptions): Promise<CaptureSummary> {
  const started = new Date()
  await using source = await openSource(options)
  if (typeof options.target === 'string') await refuseTarget(options.target, source, options.force ?? false)
  const prepared = await prepare(source, options)
  for (const finding of [...prepared.hazards, ...prepared.survey.findings]) options.onFinding?.(finding)
  const copied = await (typeof options.target === 'string'
    ? captureToFile(prepared, options, options.target, started)
    : captureToSink(prepared, options, options.target, started))
  return {
    ...copied,
    usedBytes: prepared.plan.bytes,
    seconds: (Date.now() - started.getTime()) / 1000,
    leftOut: prepared.survey.leftOut,
    findings: [...prepared.hazards, ...prepared.survey.findings, ...copied.findings],
  }
}

const openSource = ({ source, sourceSize }: CaptureOptions) =>
  openDisk(source, sourceSize === undefined ? {} : { size: sourceSize })

async function refuseTarget(target: string, source: OpenedDisk, force: boolean): Promise<void> {
  for (const path of [target, partialPathOf(target)]) {
    if ((await fileIdentity(path)) !== source.file.identity) continue
    throw new OptionError('SAME_FILE', `${path} is the source itself. Write the image to another file`, { path })
  }
  await refuseExisting(target, force)
}

async function prepare(source: OpenedDisk, options: CaptureOptions): Promise<PreparedCapture> {
  // An option that no image can have is said now, not after the survey.
  planImage({
    virtualSize: roundUp(source.disk.size, 512),
    ...(options.blockSize !== undefined && { blockSize: options.blockSize }),
  })
  const mounted = await mountedReadWrite(options.source)
  refuseHazards(mounted, options.force ?? false)
  options.onProgress?.({ phase: 'surveying', done: 0, total: 0 })
  const survey = await surveyDisk(source.disk, {
    keep: new Set(options.keep),
    ...(options.exclude?.length ? { exclude: globMatcher(options.exclude) } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.onVolume ? { onVolume: options.onVolume } : {}),
    copyDamagedWhole: options.force ?? false,
  })
  refuseHazards(survey.hazards, options.force ?? false)
  const geometry = chooseGeometry(source, survey, options)
  const plan = await planCopy(survey, geometry.blockSize, geometry.blockCount)
  const expectedSize = sizeWith(geometry, plan.blocks)
  return { source, survey, plan, geometry, expectedSize, hazards: [...mounted, ...survey.hazards] }
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

function chooseGeometry({ disk, file }: OpenedDisk, { table, volumes }: DiskSurvey, options: CaptureOptions): Geometry {
  const sectorSize = table.type === 'none' ? (volumes[0]?.volume.sectorSize ?? disk.sectorSize) : table.sectorSize
  const logicalSectorSize = sectorSize === 4096 ? 4096 : 512
  // What Windows gives a new disk when nothing is known of the medium: 512 bytes emulated over 4096.
  const physicalSectorSize = logicalSectorSize === 512 && file.raw && disk.physicalSectorSize === 512 ? 512 : 4096
  const virtualSize = roundUp(disk.size, logicalSectorSize)
  const blockSize = options.blockSize ?? automaticBlockSize(virtualSize)
  return {
    virtualSize,
    blockSize,
    blockCount: Math.ceil(virtualSize / blockSize),
    logicalSectorSize,
    physicalSectorSize,
  }
}

/** Bytes of an image with `blocks` blocks. */
const sizeWith = (geometry: Geometry, blocks: number) =>
  imageSize(geometryOf({ ...geometry, hasParent: false }), blocks)

type Copied = Pick<CaptureSummary, 'bytesRead' | 'bytesWritten' | 'blocks' | 'readErrors' | 'findings'>

async function captureToFile(
  prepared: PreparedCapture,
  options: CaptureOptions,
  target: string,
  started: Date,
): Promise<Copied> {
  const { geometry, plan } = prepared
  // Blocks that a file system says are used are needed for certain; the others may turn out to be zeros.
  await refuseFullTarget(target, sizeWith(geometry, plan.exactBlocks))
  await using output = await OutputFile.create(target, { overwrite: options.force ?? false })
  const builder = await VhdxBuilder.create(output.device, { ...geometry, creator: creatorOf(options) })
  const writer = new FileBlockWriter(output.device, builder)
  const { manifest, reader } = await copy(prepared, options, writer, started)
  options.onProgress?.({ phase: 'flushing', done: 0, total: 0 })
  await builder.finish([{ itemId: MANIFEST_ITEM, data: manifest }])
  const findings = [...(await hostFileSystem(target)).findings, ...(await checkWritten(output))]
  options.signal?.throwIfAborted()
  await output.complete()
  for (const finding of findings) options.onFinding?.(finding)
  return {
    bytesRead: reader.bytesRead,
    bytesWritten: output.device.size,
    blocks: writer.blocks,
    readErrors: reader.errors,
    findings,
  }
}

async function captureToSink(
  prepared: PreparedCapture,
  options: CaptureOptions,
  sink: ByteSink,
  started: Date,
): Promise<Copied> {
  const { geometry, plan } = prepared
  let bytesWritten = 0
  const counted: ByteSink = {
    async write(bytes) {
      await sink.write(bytes)
      bytesWritten += bytes.length
    },
  }
  const { isTouched: isPresent } = plan
  const builder = await VhdxStreamBuilder.create(counted, {
    ...geometry,
    creator: creatorOf(options),
    isPresent,
    presentCount: plan.blocks,
  })
  const { manifest, reader } = await copy(prepared, options, new StreamBlockWriter(builder, isPresent), started)
  await builder.finish([{ itemId: MANIFEST_ITEM, data: manifest }])
  return { bytesRead: reader.bytesRead, bytesWritten, blocks: plan.blocks, readErrors: reader.errors, findings: [] }
}

const creatorOf = ({ tool }: CaptureOptions) => `${tool.name} ${tool.version}`

async function copy(prepared: PreparedCapture, options: CaptureOptions, writer: BlockWriter, started: Date) {
  const { source, survey, plan, geometry } = prepared
  const reader = new RescuingReader(source.disk, options.onReadError)
  await using thread = new HashThread()
  const hasher = new ContentHasher(thread, chooseGrain(plan.grains), geometry.virtualSize)
  let done = 0
  options.onProgress?.({ phase: 'copying', done, total: plan.bytes })
  await copyWindows({
    reader,
    writer,
    hasher,
    ranges: survey.ranges(),
    size: geometry.virtualSize,
    patches: survey.patches,
    signal: options.signal,
    onProgress: bytes => {
      done += bytes
      options.onProgress?.({ phase: 'copying', done, total: plan.bytes })
    },
  })
  const manifest = encodeManifest({
    format: 'vhdx-capture',
    formatVersion: 1,
    tool: options.tool,
    source: { path: options.source, format: source.format, size: source.disk.size },
    started: started.toISOString(),
    finished: new Date().toISOString(),
    forced: (options.force ?? false) && prepared.hazards.length > 0,
    partitionTable: { type: survey.table.type, diskId: survey.table.diskId ?? null },
    partitions: survey.volumes.map(manifestPartition),
    keep: options.keep ?? [],
    exclude: options.exclude ?? [],
    leftOut: survey.leftOut,
    changed: survey.patches.map(({ offset, bytes, reason }) => ({ offset, length: bytes.length, reason })),
    readErrors: reader.errors,
    findings: [...prepared.hazards, ...survey.findings],
    hashes: await hasher.finish(),
  } satisfies Omit<Manifest, 'leftOutCount' | 'findingsCount'>)
  return { manifest, reader }
}

/** The image as a reader finds it, before it gets its name. */
async function checkWritten({ device, path }: OutputFile): Promise<Finding[]> {
  const { problems } = await checkVhdx(device, { allocatedBytes: await device.allocatedBytes() })
  const error = problems.find(problem => problem.severity === 'error')
  if (error !== undefined) {
    throw new StorageError('BAD_IMAGE_WRITTEN', `${path} did not come out right: ${error.message}. It was deleted`, {
      error,
    })
  }
  return problems.map(({ code, message }) => ({ code, message }))
}
