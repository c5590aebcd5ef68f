/** A disk becomes an image: prepared, copied, checked, and only then given its name. */
import type { Finding } from '../finding.ts'
import type { OpenedDisk } from '../image/open-disk.ts'
import { freeSpace } from '../platform/free-space.ts'
import { hostFileSystem } from '../platform/host-file-system.ts'
import { imageSize, VhdxBuilder } from '../vhdx/builder.ts'
import { type ByteSink, VhdxStreamBuilder } from '../vhdx/stream-builder.ts'
import { type BlockWriter, FileBlockWriter, StreamBlockWriter } from './block-writer.ts'
import { type CaptureOptions, openSource, type PreparedCapture, prepareCapture, tightTarget } from './capture-plan.ts'
import { checkWrittenVhdx } from './check-written.ts'
import { ContentHasher, chooseGrain } from './content-hash.ts'
import { copyWindows } from './copy-windows.ts'
import type { DiskSurvey } from './disk-survey.ts'
import { HashThread } from './hash-thread.ts'
import { encodeManifest, MANIFEST_ITEM, manifestPartition } from './manifest.ts'
import { OutputFile, refuseSources, refuseTarget } from './output-file.ts'
import { type ReadErrors, RescuingReader } from './rescuing-reader.ts'

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

/**
 * Copies the used clusters of a disk into a dynamic VHDX. The image has its name only when it is whole and checked.
 * Throws RefusedError (source mounted read-write, volume dirty or hibernated, target there already), OptionError,
 * FormatError (a damaged table or file system), StorageError (no space, unreadable, gone), InterruptedError.
 */
export async function captureDisk(options: CaptureOptions): Promise<CaptureSummary> {
  const started = new Date()
  const { target, onFinding } = options
  await using source = await openSource(options)
  if (typeof target === 'string') {
    await refuseSources(target, [source.file.path, ...source.chain.slice(1).map(({ path }) => path)])
    await refuseTarget(target, options.force ?? false)
  }
  const prepared = await prepareCapture(source, options)
  const found: Finding[] = []
  const find = (finding: Finding) => {
    found.push(finding)
    onFinding?.(finding)
  }
  for (const finding of [...prepared.hazards, ...prepared.findings]) find(finding)
  const job: CaptureJob = { source, prepared, options, started, find }
  const copied = await (typeof target === 'string' ? captureToFile(job, target) : captureToSink(job, target))
  return {
    ...copied,
    usedBytes: prepared.plan.bytes,
    seconds: (Date.now() - started.getTime()) / 1000,
    leftOut: prepared.survey.leftOut,
    findings: found,
  }
}

interface CaptureJob {
  readonly source: OpenedDisk
  readonly prepared: PreparedCapture
  readonly options: CaptureOptions
  readonly started: Date
  readonly find: (finding: Finding) => void
}

type Copied = Pick<CaptureSummary, 'bytesRead' | 'bytesWritten' | 'blocks' | 'readErrors'>

async function captureToFile(job: CaptureJob, target: string): Promise<Copied> {
  const { prepared, options, find } = job
  const { image, plan } = prepared
  for (const finding of (await hostFileSystem(target)).findings) find(finding)
  // Blocks that a file system says are used are needed for certain; the others may turn out to be zeros.
  const needed = imageSize(image, plan.exactBlocks)
  await using output = await OutputFile.create(target, { overwrite: options.force ?? false, needed })
  const tight = tightTarget(prepared, await freeSpace(target))
  if (tight !== undefined) find(tight)
  const builder = await VhdxBuilder.create(output.device, image)
  const writer = new FileBlockWriter(output.device, builder)
  const { manifest, reader } = await copy(job, writer)
  options.onProgress?.({ phase: 'flushing', done: 0, total: 0 })
  await builder.finish([{ itemId: MANIFEST_ITEM, data: manifest }])
  const warnings = await checkWrittenVhdx(output.device)
  options.signal?.throwIfAborted()
  await output.complete()
  for (const finding of warnings) find(finding)
  const bytesWritten = output.device.size
  return { bytesRead: reader.bytesRead, bytesWritten, blocks: writer.blocks, readErrors: reader.errors }
}

async function captureToSink(job: CaptureJob, sink: ByteSink): Promise<Copied> {
  const { image, plan } = job.prepared
  const { isTouched: isPresent, blocks } = plan
  const builder = await VhdxStreamBuilder.create(sink, { ...image, isPresent, presentCount: blocks })
  const { manifest, reader } = await copy(job, new StreamBlockWriter(builder, isPresent))
  await builder.finish([{ itemId: MANIFEST_ITEM, data: manifest }])
  return { bytesRead: reader.bytesRead, bytesWritten: builder.fileSize, blocks, readErrors: reader.errors }
}

async function copy({ source, prepared, options, started }: CaptureJob, writer: BlockWriter) {
  const { survey, plan, image } = prepared
  const reader = new RescuingReader(source.disk, options.onReadError, options.signal)
  await using thread = new HashThread()
  const hasher = new ContentHasher(thread, chooseGrain(plan.grains), image.virtualSize)
  let done = 0
  options.onProgress?.({ phase: 'copying', done, total: plan.bytes })
  await copyWindows({
    reader,
    writer,
    hasher,
    ranges: survey.ranges(),
    size: image.virtualSize,
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
    findings: [...prepared.hazards, ...prepared.findings],
    hashes: await hasher.finish(),
  })
  return { manifest, reader }
}
