/** What a disk or an image is and holds, for `vhdx info`. */
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { ChainImage } from '../image/chain-image.ts'
import { type OpenDiskOptions, type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { ImageFormat } from '../image/open-image.ts'
import { VhdDevice } from '../vhd/vhd-device.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { surveyDisk } from './disk-survey.ts'
import { type Manifest, type ManifestPartition, manifestPartition } from './manifest.ts'
import { readManifest } from './read-manifest.ts'

/** All sizes are bytes; null where the format has no such thing. */
export interface DiskDescription {
  readonly path: string
  readonly format: ImageFormat
  /** A raw disk is fixed. */
  readonly type: ChainImage['type']
  readonly virtualSize: number
  readonly blockSize: number | null
  readonly logicalSectorSize: number
  readonly physicalSectorSize: number
  readonly fileSize: number
  readonly allocatedBlocks: number | null
  /** VHDX only. */
  readonly virtualDiskId: string | null
  /** VHDX only. */
  readonly dataWriteGuid: string | null
  /** VHD only. */
  readonly uniqueId: string | null
  readonly creator: string | null
  /** 'clean': nothing to replay. 'replayed': shown as it is after the replay, done in memory. VHDX only. */
  readonly log: 'clean' | 'replayed' | null
  /** The image and its parents, down to the one that has none; empty for a raw disk. */
  readonly chain: readonly DescribedImage[]
  readonly partitionTable: { readonly type: string; readonly diskId: string | null }
  readonly partitions: readonly ManifestPartition[]
  readonly findings: readonly Finding[]
  readonly manifest: Manifest | null
}

/** An image of a chain. */
export type DescribedImage = Pick<ChainImage, 'path' | 'format' | 'type' | 'id' | 'fileSize'>

/** Opens the image or disk at `path` and looks at all it holds. Damaged file systems and manifests are findings. Throws what opening throws. */
export async function describeDisk(path: string, options: OpenDiskOptions = {}): Promise<DiskDescription> {
  await using opened = await openDisk(path, options)
  const { disk, file, format, chain } = opened
  const survey = await surveyDisk(disk, { copyDamagedWhole: true })
  const findings = [...opened.findings, ...survey.hazards, ...survey.findings]
  const manifest = await readManifest(disk).catch(error => {
    // An image is worth describing whatever somebody wrote into its manifest.
    if (!(error instanceof FormatError)) throw error
    findings.push({ code: error.code, message: error.message })
    return undefined
  })
  return {
    path,
    format,
    ...RAW_FACTS,
    ...(await imageFacts(opened)),
    chain: chain.map(({ path, format, type, id, fileSize }) => ({ path, format, type, id, fileSize })),
    virtualSize: disk.size,
    logicalSectorSize: disk.sectorSize,
    physicalSectorSize: disk.physicalSectorSize,
    fileSize: file.size,
    partitionTable: { type: survey.table.type, diskId: survey.table.diskId ?? null },
    partitions: survey.volumes.map(manifestPartition),
    findings,
    manifest: manifest ?? null,
  }
}

const RAW_FACTS = {
  type: 'fixed',
  blockSize: null,
  allocatedBlocks: null,
  virtualDiskId: null,
  dataWriteGuid: null,
  uniqueId: null,
  creator: null,
  log: null,
} as const

/** What there is to say of an image beside the disk in it. */
async function imageFacts({ disk, chain }: OpenedDisk): Promise<Partial<DiskDescription>> {
  const [image] = chain
  if (image === undefined) return {}
  if (disk instanceof VhdDevice) {
    const { blockSize = null, uniqueId, creator } = disk
    return { type: image.type, blockSize, allocatedBlocks: (await disk.allocatedBlocks()) ?? null, uniqueId, creator }
  }
  return disk instanceof VhdxDevice ? { type: image.type, ...(await vhdxFacts(disk)) } : {}
}

async function vhdxFacts(image: VhdxDevice) {
  const { blockSize, virtualDiskId } = image.metadata
  return {
    blockSize,
    allocatedBlocks: await image.allocatedBlocks(),
    virtualDiskId,
    dataWriteGuid: image.header.dataWriteGuid,
    creator: image.creator,
    log: image.log,
  }
}
