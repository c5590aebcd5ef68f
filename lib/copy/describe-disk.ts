/** What a disk or an image is and holds, for `vhdx info`. */
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { openDisk } from '../image/open-disk.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { surveyDisk } from './disk-survey.ts'
import { type Manifest, type ManifestPartition, manifestPartition } from './manifest.ts'
import { readManifest } from './read-manifest.ts'

/** All sizes are bytes; null where the format has no such thing. */
export interface DiskDescription {
  readonly path: string
  readonly format: 'vhdx' | 'raw'
  /** 'dynamic' or 'fixed'; a raw disk is fixed. */
  readonly type: 'dynamic' | 'fixed'
  readonly virtualSize: number
  readonly blockSize: number | null
  readonly logicalSectorSize: number
  readonly physicalSectorSize: number
  readonly fileSize: number
  readonly allocatedBlocks: number | null
  readonly virtualDiskId: string | null
  readonly dataWriteGuid: string | null
  readonly creator: string | null
  /** 'clean': nothing to replay. */
  readonly log: 'clean' | null
  readonly partitionTable: { readonly type: string; readonly diskId: string | null }
  readonly partitions: readonly ManifestPartition[]
  readonly findings: readonly Finding[]
  readonly manifest: Manifest | null
}

/** Opens the image or disk at `path` and looks at all it holds. Damaged file systems and manifests are findings. Throws what opening throws. */
export async function describeDisk(path: string): Promise<DiskDescription> {
  await using opened = await openDisk(path)
  const { disk, file, format } = opened
  const survey = await surveyDisk(disk, { copyDamagedWhole: true })
  const findings = [...(disk instanceof VhdxDevice ? disk.findings : []), ...survey.hazards, ...survey.findings]
  const manifest = await readManifest(disk).catch(error => {
    // An image is worth describing whatever somebody wrote into its manifest.
    if (!(error instanceof FormatError)) throw error
    findings.push({ code: error.code, message: error.message })
    return undefined
  })
  return {
    path,
    format,
    ...(disk instanceof VhdxDevice ? await vhdxFacts(disk) : RAW_FACTS),
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
  creator: null,
  log: null,
} as const

async function vhdxFacts(image: VhdxDevice) {
  const { blockSize, virtualDiskId, leaveBlocksAllocated } = image.metadata
  return {
    type: leaveBlocksAllocated ? ('fixed' as const) : ('dynamic' as const),
    blockSize,
    allocatedBlocks: await image.allocatedBlocks(),
    virtualDiskId,
    dataWriteGuid: image.header.dataWriteGuid,
    creator: image.creator,
    log: 'clean' as const,
  }
}
