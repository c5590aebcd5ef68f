/** What is settled before the first byte is written: the source, what of it is read, and the image it becomes. */
import { formatSize, roundUp } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { OptionError, RefusedError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { ImageFormat } from '../image/open-image.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import { freeSpace } from '../platform/free-space.ts'
import { mountedReadWrite } from '../platform/mounts.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { asUniqueId, asVirtualDiskId, identityOf } from './disk-identity.ts'
import { keptMetadata } from './kept-metadata.ts'
import { refuseSources, refuseTarget } from './output-file.ts'
import { physicalSectorSizeOf, readSectorSize } from './sector-size.ts'
import { nameFindings, targetFormat } from './target-format.ts'
import { rawTarget, type TargetImage, vhdTarget, vhdxTarget } from './target-image.ts'

/** What to convert, into what, and how. Sizes are bytes. */
export interface ConvertOptions extends ParentOptions {
  /** Path of a disk, a raw image, a VHD or a VHDX; of a differencing image the whole disk is converted. */
  readonly source: string
  /** What the source is. Default: found from its content. */
  readonly sourceFormat?: ImageFormat | undefined
  /** Path of the file to write. */
  readonly target: string
  /** What to write. Default: as the target's name says. */
  readonly to?: ImageFormat | undefined
  /** Every byte of the disk has its place in the file from the start. A raw disk is always written so. */
  readonly fixed?: boolean | undefined
  /** Of the image that is written. Default: that of a VHDX that becomes one; else as `captureDisk` and Windows do. */
  readonly blockSize?: number | undefined
  /** Gives the disk a new identity instead of that of the source. */
  readonly newId?: boolean | undefined
  /** Go on where a conversion is refused: a mounted source, an existing target. */
  readonly force?: boolean | undefined
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  readonly onFinding?: ((finding: Finding) => void) | undefined
  /** Stops the conversion; what was written is deleted. */
  readonly signal?: AbortSignal | undefined
  /** Name and version of the program, which a VHDX says it was made by. */
  readonly tool: { readonly name: string; readonly version: string }
}

/** The image that a conversion writes. Sizes are bytes. */
export interface ConvertedImage {
  readonly format: ImageFormat
  /** A raw disk is fixed. */
  readonly type: 'fixed' | 'dynamic'
  readonly virtualSize: number
  /** Null where there are no blocks. */
  readonly blockSize: number | null
  /** What it is known by: a VHDX by its Page 83 identity, a VHD by its unique id; null for a raw disk. */
  readonly diskId: string | null
}

/** What a conversion would do. Sizes are bytes. */
export interface ConvertPlan {
  readonly source: string
  readonly sourceFormat: ImageFormat
  /** The source and its parents, down to the one that has none; empty for a raw disk. */
  readonly chain: readonly string[]
  /** Where the source has no identity, each conversion gives another one. */
  readonly image: ConvertedImage
  /** What will be read. */
  readonly dataBytes: number
  /** The file's size; of a dynamic image at most, for blocks that turn out to hold only zeros make it smaller. */
  readonly expectedSize: number
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
}

/** A source and the image it becomes. */
export interface PreparedConversion {
  readonly source: OpenedDisk
  readonly target: TargetImage
  /** What of the source may be data: how many bytes of it, and how many blocks of the target they touch. */
  readonly data: { readonly bytes: number; readonly blocks: number }
  /** Why it is refused without `force`. */
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
}

/**
 * What a conversion would write, how large the file would be at most, and whether it would fit. Writes nothing, and reads
 * no content. Throws what opening the source throws, and what `prepareConversion` says.
 */
export async function planConversion(options: ConvertOptions): Promise<ConvertPlan> {
  await using source = await openSource(options)
  const { target, data, hazards, findings } = await prepareConversion(source, options)
  const expectedSize = target.fileSize(data.blocks)
  return {
    source: options.source,
    sourceFormat: source.format,
    chain: source.chain.map(({ path }) => path),
    image: convertedImage(target),
    dataBytes: data.bytes,
    expectedSize,
    hazards,
    findings: [...findings, ...tightTarget(target, expectedSize, await freeSpace(options.target))],
  }
}

function tightTarget({ type }: TargetImage, expectedSize: number, free: number): Finding[] {
  if (expectedSize <= free) return []
  const chance = type === 'dynamic' ? ': it fits only if enough of what is read is zeros' : ''
  const message = `only ${formatSize(free)} are free on the target, and the file would take ${formatSize(expectedSize)}${chance}`
  return [{ code: 'MAY_NOT_FIT', message, details: { needed: expectedSize, free } }]
}

export function convertedImage(target: TargetImage): ConvertedImage {
  const { format, type, virtualSize, blockSize = null, diskId = null } = target
  return { format, type, virtualSize, blockSize, diskId }
}

/** A disk, and the disks of its parents, down to the one that has none. */
export interface ConvertSource extends OpenedDisk {
  readonly parents: readonly BlockDevice[]
}

/** Opens the disk to be converted. Throws what `openDisk` throws. */
export async function openSource(options: ConvertOptions): Promise<ConvertSource> {
  const { source, sourceFormat: format, parent, search } = options
  const parents: BlockDevice[] = []
  const opened = await openDisk(source, {
    ...(format && { format }),
    ...(parent !== undefined && { parent }),
    ...(search !== undefined && { search }),
    asParent: async disk => {
      parents.unshift(disk)
      return disk
    },
  })
  return { ...opened, parents }
}

/**
 * Decides what the image will be. Throws OptionError for what cannot be written, OptionError (SAME_FILE), RefusedError
 * (TARGET_EXISTS, TARGET_NOT_A_FILE), UnsupportedError (VHD_SECTOR_SIZE).
 */
export async function prepareConversion(source: ConvertSource, options: ConvertOptions): Promise<PreparedConversion> {
  await refuseSources(options.target, [source.file.path, ...source.chain.slice(1).map(({ path }) => path)])
  await refuseTarget(options.target, options.force ?? false)
  const format = targetFormat(options.target, options.to)
  const shape = await readShape(source)
  const kept = await keptMetadata(source, source.parents, format)
  const target = planTarget(source, shape, kept.items, format, options)
  return {
    source,
    target,
    data: await measure(source.disk.dataRanges(), target.blockSize),
    hazards: await mountedReadWrite(options.source),
    findings: [
      ...source.findings,
      ...nameFindings(options.target, format),
      ...shapeFindings(source, shape, target),
      ...kept.findings,
      ...target.findings,
    ],
  }
}

/** Throws RefusedError with the code of the first of `hazards`. */
export function refuseHazards(hazards: readonly Finding[]): void {
  const [first] = hazards
  if (first === undefined) return
  const message = `${hazards.map(hazard => hazard.message).join('; ')}. --force converts it all the same`
  throw new RefusedError(first.code, message, { hazards })
}

/** Sectors of the disk, in bytes. */
interface Shape {
  readonly logicalSectorSize: 512 | 4096
  readonly physicalSectorSize: 512 | 4096
}

async function readShape(source: OpenedDisk): Promise<Shape> {
  const isRawFile = source.format === 'raw' && !source.file.raw
  const known = source.disk.sectorSize === 4096 ? 4096 : 512
  const logicalSectorSize = isRawFile ? await readSectorSize(source.disk) : known
  return { logicalSectorSize, physicalSectorSize: physicalSectorSizeOf(source, logicalSectorSize) }
}

function planTarget(
  { disk }: OpenedDisk,
  shape: Shape,
  userMetadata: Parameters<typeof vhdxTarget>[1],
  format: ImageFormat,
  { fixed = false, blockSize, newId = false, tool }: ConvertOptions,
): TargetImage {
  const id = newId ? undefined : identityOf(disk)
  const virtualSize = roundUp(disk.size, shape.logicalSectorSize)
  const given = blockSize === undefined ? {} : { blockSize }
  if (format === 'vhdx') {
    const source = disk instanceof VhdxDevice ? disk : undefined
    const options = {
      ...shape,
      virtualSize,
      fixed,
      creator: `${tool.name} ${tool.version}`,
      ...(source !== undefined && { blockSize: source.metadata.blockSize }),
      ...given,
      ...(id !== undefined && { virtualDiskId: asVirtualDiskId(id) }),
      // The content is the same, so whoever is a child of the source can be a child of the target.
      ...(source !== undefined && !newId && { dataWriteGuid: source.header.dataWriteGuid }),
    }
    return vhdxTarget(options, userMetadata)
  }
  if (format === 'raw') {
    if (blockSize === undefined) return rawTarget(disk.size)
    throw new OptionError(
      'BAD_BLOCK_SIZE',
      `a block size of ${blockSize} bytes cannot be used: a raw disk has no blocks`,
    )
  }
  if (shape.logicalSectorSize !== 512) throw noSuchSectors()
  return vhdTarget({ virtualSize, fixed, ...given, ...(id !== undefined && { uniqueId: asUniqueId(id) }) })
}

/** What a reader of the target will not see as it was. */
function shapeFindings({ disk, format }: OpenedDisk, { logicalSectorSize }: Shape, target: TargetImage): Finding[] {
  const findings: Finding[] = []
  const added = target.virtualSize - disk.size
  if (added > 0) {
    const message = `the disk has ${disk.size} bytes, which are no whole sectors of ${logicalSectorSize}: ${added} zeros were added at its end`
    findings.push({ code: 'SIZE_ROUNDED', message, details: { size: disk.size, virtualSize: target.virtualSize } })
  }
  if (target.format === 'raw' && format !== 'raw' && logicalSectorSize !== 512) {
    const message = `a raw disk does not say what its sectors are: these have ${logicalSectorSize} bytes, and whoever uses it has to be told`
    findings.push({ code: 'SECTOR_SIZE_UNSAID', message, details: { sectorSize: logicalSectorSize } })
  }
  return findings
}

const noSuchSectors = () =>
  new UnsupportedError(
    'VHD_SECTOR_SIZE',
    'the disk has sectors of 4096 bytes, and a VHD has none but of 512: its partition table and file systems count in sectors, and would not be found. Convert it to VHDX',
    { sectorSize: 4096 },
  )

/** The bytes of ordered `ranges`, and how many blocks they touch. */
export async function measure(
  ranges: AsyncIterable<Range>,
  blockSize: number | undefined,
): Promise<PreparedConversion['data']> {
  let [bytes, blocks, next] = [0, 0, 0]
  for await (const range of ranges) {
    bytes += range.length
    if (blockSize === undefined) continue
    const last = Math.floor((endOf(range) - 1) / blockSize)
    blocks += last + 1 - Math.max(next, Math.floor(range.offset / blockSize))
    next = last + 1
  }
  return { bytes, blocks }
}
