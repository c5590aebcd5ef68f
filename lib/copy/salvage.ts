/** What can be read of a damaged image is copied to a new one. The damaged one is only read. */
import type { BlockDevice } from '../device/block-device.ts'
import { FileDevice } from '../device/file-device.ts'
import { normalizeRanges, type Range } from '../device/ranges.ts'
import { ShieldedDevice } from '../device/shielded-device.ts'
import type { Finding } from '../finding.ts'
import { demandVhdx } from '../image/container.ts'
import type { ImageFile } from '../image/image-file.ts'
import { HostFolders, hostFile } from '../image/open-host-files.ts'
import { type OpenedImage, openImage } from '../image/open-image.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { imageSize, VhdxBuilder } from '../vhdx/builder.ts'
import { REPAIR_NOTE } from '../vhdx/format.ts'
import { planImage } from '../vhdx/image-plan.ts'
import type { LostRanges } from '../vhdx/lost-ranges.ts'
import type { RepairChoices } from '../vhdx/repair-headers.ts'
import { encodeRepairNote } from '../vhdx/repair-note.ts'
import { planRepair, type RepairPlan } from '../vhdx/repair-plan.ts'
import type { RepairStep } from '../vhdx/repairs.ts'
import type { Problem } from '../vhdx/rules.ts'
import { readStructures } from '../vhdx/structures.ts'
import { copyUndefinedBlocks } from '../vhdx/undefined-blocks.ts'
import type { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { FileBlockWriter } from './block-writer.ts'
import { checkWrittenVhdx } from './check-written.ts'
import { measure } from './convert-plan.ts'
import { copyWindows } from './copy-windows.ts'
import { keptMetadata } from './kept-metadata.ts'
import { OutputFile, refuseSources, refuseTarget } from './output-file.ts'
import { type ReadErrors, RescuingReader } from './rescuing-reader.ts'

/** How an image is salvaged. */
export interface SalvageOptions extends RepairChoices, ParentOptions {
  /** Path of the file to write. */
  readonly target: string
  /** Replaces what is there. */
  readonly force?: boolean | undefined
  /** Finds out what would be lost, and writes nothing. */
  readonly dryRun?: boolean | undefined
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  /** Stops it; what was written is deleted. */
  readonly signal?: AbortSignal | undefined
}

/** What came of a salvage, or would. Sizes are bytes. */
export interface SalvageReport {
  readonly path: string
  readonly target: string
  readonly outcome: 'salvaged' | 'planned'
  /** What is wrong with the image that was read, and what was made of it. */
  readonly steps: readonly RepairStep[]
  /** What of the disk is lost because the image does not say any more where it is. */
  readonly lost: LostRanges
  /** What of the disk is lost because the medium of the image cannot be read there, or it was lost in an earlier repair. */
  readonly unread: ReadErrors
  /** What check says of the new image. */
  readonly left: readonly Problem[]
  readonly bytesRead: number
  /** Size of the new file; of a dry run at most. */
  readonly bytesWritten: number
  readonly findings: readonly Finding[]
}

/** What no BAT entry can be that is right: reserved bits, and a place behind the end of any file. */
const UNREADABLE = 0xff

/**
 * Copies the disk in the VHDX at `path`, as far as it can be read, to a new dynamic image, with all that its parents hold
 * of it. What is lost is noted there. Throws FormatError and UnsupportedError with the code of the rule that keeps the image
 * from being read at all, what opening the parents throws, RefusedError (TARGET_EXISTS), OptionError (SAME_FILE),
 * StorageError (NO_SPACE, DEVICE_GONE), InterruptedError.
 */
export async function salvageImage(path: string, options: SalvageOptions): Promise<SalvageReport> {
  await using file = await FileDevice.open(path)
  await demandVhdx(file, path)
  return await salvageFile(await hostFile(file), options)
}

/** The same for an image that is open, and stays so. */
export async function salvageFile(file: ImageFile, options: SalvageOptions): Promise<SalvageReport> {
  const { path } = file
  const { target, force = false } = options
  const shield = new ShieldedDevice(file.device, UNREADABLE)
  options.onProgress?.({ phase: 'examining', done: 0, total: 0 })
  const plan = await planRepair(shield, options, { isNoted: false })
  const { areas } = await readStructures(plan.repaired)
  shield.shielded = areas
  const parents: BlockDevice[] = []
  await using image = await openRepaired(file, plan.repaired, parents, options)
  await refuseSources(target, [path, ...image.chain.slice(1).map(({ path }) => path)])
  await refuseTarget(target, force)
  const salvaged = await salvage(image, parents, plan, shield, options)
  return { path, target, ...salvaged, steps: plan.steps, lost: plan.lost }
}

/** The disk of the repaired image, and those of its `parents`. */
async function openRepaired(
  file: ImageFile,
  repaired: BlockDevice,
  parents: BlockDevice[],
  { parent, search }: ParentOptions,
): Promise<OpenedImage> {
  const asParent = async (disk: BlockDevice) => {
    parents.push(disk)
    return disk
  }
  const where = { ...(parent === undefined ? {} : { parent }), ...(search === undefined ? {} : { search }) }
  return openImage({ ...file, device: repaired }, new HostFolders(), {
    format: 'vhdx',
    ...where,
    asParent,
  })
}

async function salvage(
  image: OpenedImage,
  parents: readonly BlockDevice[],
  plan: RepairPlan,
  shield: ShieldedDevice,
  options: SalvageOptions,
): Promise<Omit<SalvageReport, 'path' | 'target' | 'steps' | 'lost'>> {
  const disk = image.disk as VhdxDevice
  const { virtualSize, blockSize, logicalSectorSize, virtualDiskId } = disk.metadata
  const { physicalSectorSize } = disk
  const dataWriteGuid = crypto.randomUUID()
  const shape = { virtualSize, blockSize, logicalSectorSize, physicalSectorSize, virtualDiskId, dataWriteGuid }
  const data = await measure(disk.dataRanges(), blockSize)
  const kept = await keptMetadata(image, parents, 'vhdx')
  const findings = [
    ...plan.findings,
    ...unreadFindings(shield.unread),
    ...image.findings.filter(isNew(plan)),
    ...kept.findings,
  ]
  const needed = imageSize(planImage(shape), data.blocks)
  if (options.dryRun) {
    const unread = { bytes: 0, ranges: [], truncated: false }
    return { outcome: 'planned', unread, left: [], bytesRead: 0, bytesWritten: needed, findings }
  }
  await using output = await OutputFile.create(options.target, { overwrite: options.force ?? false, needed })
  const builder = await VhdxBuilder.create(output.device, shape)
  const reader = new RescuingReader(disk, 'zero', options.signal)
  await copy(reader, disk, new FileBlockWriter(output.device, builder), data.bytes, options)
  const unread = reader.errors
  const notes = noteOf(plan, unread, dataWriteGuid)
  await builder.finish([...kept.items.filter(({ itemId }) => itemId !== REPAIR_NOTE), ...notes])
  await copyUndefinedBlocks(plan.repaired, output.device)
  const left = await checkWrittenVhdx(output.device)
  options.signal?.throwIfAborted()
  const bytesWritten = output.device.size
  await output.complete()
  return {
    outcome: 'salvaged',
    unread,
    left: [],
    bytesRead: reader.bytesRead,
    bytesWritten,
    findings: [...findings, ...left],
  }
}

async function copy(
  reader: RescuingReader,
  disk: VhdxDevice,
  writer: FileBlockWriter,
  total: number,
  { onProgress, signal }: SalvageOptions,
): Promise<void> {
  let done = 0
  onProgress?.({ phase: 'salvaging', done, total })
  await copyWindows({
    reader,
    writer,
    ranges: disk.dataRanges(),
    size: disk.size,
    patches: [],
    signal,
    onProgress: bytes => {
      done += bytes
      onProgress?.({ phase: 'salvaging', done, total })
    },
  })
  onProgress?.({ phase: 'flushing', done: 0, total: 0 })
}

/** What the new image says of itself, where anything is lost. */
function noteOf({ lost, findings }: RepairPlan, unread: ReadErrors, dataWriteGuid: string) {
  const isLogDiscarded = findings.some(({ code }) => code === 'LOG_DISCARDED')
  if (lost.bytes + unread.bytes === 0 && !isLogDiscarded) return []
  const data = encodeRepairNote({
    dataWriteGuid,
    repairedAt: new Date(),
    lostBytes: lost.bytes + unread.bytes,
    ranges: normalizeRanges([...lost.ranges, ...unread.ranges]),
    isTruncated: lost.truncated || unread.truncated,
    isLogDiscarded,
  })
  return [{ itemId: REPAIR_NOTE, data }]
}

/** What of the image's findings is not told by the plan already. */
const isNew =
  ({ after, before }: RepairPlan) =>
  ({ code }: Finding) =>
    ![...before.problems, ...after.problems].some(problem => problem.code === code)

function unreadFindings(unread: readonly Range[]): Finding[] {
  if (unread.length === 0) return []
  const bytes = unread.reduce((sum, { length }) => sum + length, 0)
  const message = `${bytes} bytes that say where things are in the image cannot be read, the first at byte ${unread[0]!.offset} of the file: what only they say is lost`
  return [{ code: 'UNREADABLE_STRUCTURES', message, details: { bytes, ranges: unread.slice(0, 100) } }]
}
