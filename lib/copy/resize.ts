/**
 * The disk in an image gets another size, and its partition table follows. A disk that grows gets its size first, one that
 * shrinks its table: so at every moment the table is one for this disk, and doing it again finishes what was interrupted.
 */
import { formatSize, roundUp, TiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { RefusedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import type { PartitionTable } from '../partition/partition.ts'
import { readPartitionTable } from '../partition/partition-table.ts'
import { readTableSize } from '../partition/table-size.ts'
import { type TableStep, writeTable } from '../partition/table-writes.ts'
import { checkVhdx } from '../vhdx/check.ts'
import { planResize, type ResizePlan, resizeVhdx } from '../vhdx/resize.ts'
import { errorOf } from '../vhdx/rules.ts'
import { readSoundStructures } from '../vhdx/structures.ts'
import { type DiskNeed, readDiskNeed } from './disk-need.ts'
import { type ChangeableImage, openVhdx, refuseChildrenOf, writeDisk } from './open-vhdx.ts'
import { refuseFullTarget } from './output-file.ts'

/** The size that a disk is to have, or by how much it is to grow, in bytes; or as little as it can have. */
export type NewSize = { readonly to: number } | { readonly by: number } | 'smallest'

/** How `resizeImage` works. */
export interface ResizeImageOptions extends ParentOptions {
  /** Finds out what would be done, and changes nothing. */
  readonly dryRun?: boolean
  /** Although the image has children, which do not fit it any more then. */
  readonly force?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (report: { phase: string; done: number; total: number }) => void
}

/** What was done, or with `dryRun` would be. Sizes are bytes. */
export interface ResizeReport {
  readonly path: string
  readonly sizeBefore: number
  readonly size: number
  /** What the disk has to have at least. */
  readonly smallestSize: number
  /** Where the last partition ends, or the volume of a disk without a table; 0 when there is none. */
  readonly usedEnd: number
  readonly partitionTable: PartitionTable['type']
  /** Whether the partition table is rewritten: the backup of a GPT goes to the end of the disk. */
  readonly tableMoves: boolean
  /** Whether the block table gets another place in the file. */
  readonly batMoves: boolean
  /** Bytes of zeros that are written to a fixed image. */
  readonly writtenBytes: number
  readonly fileSizeBefore: number
  /** With `dryRun` the same as before. */
  readonly fileSize: number
  readonly dryRun: boolean
  readonly findings: readonly Finding[]
}

/**
 * Gives the disk in the VHDX at `path` another size. It shrinks no further than its last partition or its volume reaches,
 * with room for the backup of a GPT; the backup moves to the new end. File systems keep the size they have.
 *
 * The image is whole at every moment. Throws what `openDisk` throws, UnsupportedError (NOT_VHDX), OptionError
 * (BAD_VIRTUAL_SIZE), RefusedError (BELOW_SMALLEST_SIZE, PARENT_IS_LARGER, HAS_CHILDREN, GPT_DOES_NOT_FIT, GPT_NO_ROOM),
 * StorageError (NO_SPACE), FormatError for a broken BAT or partition table, and the signal's reason: then the disk has the
 * size it had.
 */
export async function resizeImage(
  path: string,
  newSize: NewSize,
  options: ResizeImageOptions = {},
): Promise<ResizeReport> {
  const { dryRun = false, force = false } = options
  await using image = await openVhdx(path, !dryRun, options)
  const job = await planDiskSize(image, newSize)
  const findings = [...image.findings, ...job.findings]
  if (!force) findings.push(...(await refuseChildrenOf(image)))
  const fileSizeBefore = image.file.size
  await refuseFullTarget(path, job.plan.addedBytes)
  if (!dryRun) await changeDiskSize(image, job, options)
  const { size, need, table, plan } = job
  return {
    path,
    sizeBefore: image.disk.size,
    size,
    smallestSize: smallestSize(need, image.disk),
    usedEnd: need.usedEnd,
    partitionTable: table.type,
    tableMoves: job.steps.length > 0,
    batMoves: plan.movesBat,
    writtenBytes: plan.addedBytes,
    fileSizeBefore,
    fileSize: image.file.size,
    dryRun,
    findings,
  }
}

/** Another size for a disk, and what it takes. */
export interface DiskSizePlan {
  readonly size: number
  readonly plan: ResizePlan
  readonly table: PartitionTable
  readonly need: DiskNeed
  /** What has to be written so that the table is right for that size. */
  readonly steps: readonly TableStep[]
  readonly findings: readonly Finding[]
}

/** Finds out whether the disk can have that size, and reads the whole BAT. Throws as `resizeImage`. */
export async function planDiskSize(
  { path, file, disk, parent }: ChangeableImage,
  newSize: NewSize,
): Promise<DiskSizePlan> {
  const { problems } = await checkVhdx(file)
  const broken = problems.find(({ severity }) => severity === 'error')
  if (broken !== undefined) throw errorOf(broken)
  const isGrowing = newSize !== 'smallest' && ('by' in newSize ? newSize.by > 0 : newSize.to > disk.size)
  // A disk that was cut off is made whole by what it has lost.
  const table = await readPartitionTable(disk, { truncated: isGrowing ? 'cut' : 'refuse' })
  const need = await readDiskNeed(disk, table)
  const size = sizeOf(newSize, disk, need)
  const plan = planResize(await readSoundStructures(file), size)
  if (size < disk.size && size < need.smallest) throw tooSmall(path, size, need, disk)
  if (size > disk.size && parent !== undefined && parent.size > disk.size)
    throw parentShows(path, disk.size, parent.size)
  const findings = [...table.findings, ...(table.type === 'mbr' ? beyondMbr(table, size) : [])]
  return { size, plan, table, need, steps: need.stepsTo(size), findings }
}

/** The least size that every reader takes: 7-Zip opens no disk with an odd number of sectors. */
const smallestSize = ({ smallest }: DiskNeed, { sectorSize }: BlockDevice) =>
  roundUp(Math.max(smallest, 1), 2 * sectorSize)

function sizeOf(newSize: NewSize, disk: BlockDevice, need: DiskNeed): number {
  if (newSize === 'smallest') return Math.min(disk.size, smallestSize(need, disk))
  return 'by' in newSize ? disk.size + newSize.by : newSize.to
}

/** Does what was planned. */
export async function changeDiskSize(
  image: ChangeableImage,
  { size, need, steps }: DiskSizePlan,
  options: Pick<ResizeImageOptions, 'signal' | 'onProgress'> = {},
): Promise<void> {
  const { signal, onProgress } = options
  const { disk, file } = image
  const isGrowing = size > disk.size
  // A first GPT that is damaged loses sight of its backup when the disk grows.
  const first = !isGrowing ? steps : need.smallest <= disk.size ? need.stepsTo(disk.size) : []
  await writeSteps(image, first)
  await resizeVhdx(file, size, {
    signal,
    onProgress: (done, total) => onProgress?.({ phase: 'writing', done, total }),
  })
  if (isGrowing && steps.length > 0) {
    await writeDisk(image, async grown => {
      const table = await readPartitionTable(grown, { truncated: 'cut' })
      await writeTable(grown, (await readTableSize(grown, table)).stepsTo(size))
    })
  }
}

async function writeSteps(image: ChangeableImage, steps: readonly TableStep[]): Promise<void> {
  if (steps.length > 0) await writeDisk(image, disk => writeTable(disk, steps))
}

function tooSmall(path: string, size: number, need: DiskNeed, disk: BlockDevice): RefusedError {
  const { usedEnd, last } = need
  const smallest = smallestSize(need, disk)
  const backup = need.smallest > usedEnd ? ', and behind it the backup of the GPT needs room' : ''
  return new RefusedError(
    'BELOW_SMALLEST_SIZE',
    `the disk in ${path} cannot have ${size} bytes (${formatSize(size)}): ${last} ends at byte ${usedEnd}${backup}. It can have ${smallest} bytes (${formatSize(smallest, 3)}) or more; to get below, make that smaller first, with the system on the disk or in a machine that has the disk attached`,
    { path, size, smallest, usedEnd },
  )
}

function parentShows(path: string, size: number, parentSize: number): RefusedError {
  const message = `${path} cuts off its parent, which has ${parentSize} bytes, at ${size}: if it grew, what the parent has there would show. Merge it into its parent first, or convert it to an image of its own`
  return new RefusedError('PARENT_IS_LARGER', message, { path, size, parentSize })
}

/** Sectors that the entries of an MBR have numbers for. */
const MBR_SECTORS = 2 ** 32

function beyondMbr({ sectorSize }: PartitionTable, size: number): Finding[] {
  if (size <= MBR_SECTORS * sectorSize) return []
  const reach = `${(MBR_SECTORS * sectorSize) / TiB} TiB`
  const message = `the disk has an MBR, which reaches to ${reach}: what lies behind cannot be used before it has a GPT`
  return [{ code: 'BEYOND_MBR', message, details: { size } }]
}
