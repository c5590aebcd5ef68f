/** What a capture says of itself, kept as JSON in the image: a user metadata item, which every reader leaves alone. */
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import type { LeftOut } from '../volume/volume.ts'
import { type ContentHashes, UNIT } from './content-hash.ts'
import type { SurveyedVolume } from './disk-survey.ts'
import type { ReadErrors } from './rescuing-reader.ts'

/** The metadata item that holds the manifest. */
export const MANIFEST_ITEM = '5c0a0d34-3e5e-4d7b-9a6f-2b1f6f0c8e11'

/** Entries of each list that are kept; `…Count` has how many there were. */
const MAX_ENTRIES = 500

export interface ManifestPartition {
  readonly number: number
  readonly type: string
  readonly name: string | null
  readonly offset: number
  readonly size: number
  readonly fileSystem: string
  readonly label: string | null
  readonly clusterSize: number | null
  readonly usedClusters: number | null
  readonly usedBytes: number
}

/** What a capture says of itself: spec-notes/manifest.md has each field. */
export interface Manifest {
  readonly format: 'vhdx-capture'
  readonly formatVersion: 1
  readonly tool: { readonly name: string; readonly version: string }
  readonly source: { readonly path: string; readonly format: string; readonly size: number }
  readonly started: string
  readonly finished: string
  /** Whether --force overrode a refusal; the findings say which. */
  readonly forced: boolean
  readonly partitionTable: { readonly type: string; readonly diskId: string | null }
  readonly partitions: readonly ManifestPartition[]
  readonly keep: readonly string[]
  readonly exclude: readonly string[]
  readonly leftOut: readonly (LeftOut & { readonly partition: number })[]
  readonly leftOutCount: number
  /** Bytes the image holds instead of the source's own. */
  readonly changed: readonly { readonly offset: number; readonly length: number; readonly reason: string }[]
  readonly readErrors: ReadErrors
  readonly findings: readonly Finding[]
  readonly findingsCount: number
  readonly hashes: ContentHashes
}

/** What a manifest says of a volume. */
export function manifestPartition({ partition, volume, usedSpace }: SurveyedVolume): ManifestPartition {
  const { number, typeName, name, offset, size } = partition
  const { clusters } = usedSpace
  return {
    number,
    type: typeName,
    name: name ?? null,
    offset,
    size,
    fileSystem: volume.fileSystem,
    label: volume.label ?? null,
    clusterSize: volume.clusterSize ?? null,
    usedClusters: clusters?.used ?? null,
    usedBytes: clusters === undefined ? usedSpace.usedBytes : clusters.used * clusters.size,
  }
}

/** The bytes of `manifest`, with its lists cut so that it fits. */
export function encodeManifest(manifest: Omit<Manifest, 'leftOutCount' | 'findingsCount'>): Buffer {
  const { leftOut, findings, readErrors } = manifest
  const complete: Manifest = {
    ...manifest,
    leftOut: leftOut.slice(0, MAX_ENTRIES),
    leftOutCount: leftOut.length,
    findings: findings.slice(0, MAX_ENTRIES),
    findingsCount: findings.length,
    readErrors: { ...readErrors, ranges: readErrors.ranges.slice(0, MAX_ENTRIES) },
  }
  return Buffer.from(JSON.stringify(complete, (_, value) => (typeof value === 'bigint' ? value.toString() : value)))
}

/** The manifest of a captured image; undefined where there is none. Throws FormatError (BAD_MANIFEST). */
export async function readManifest(disk: BlockDevice): Promise<Manifest | undefined> {
  if (!(disk instanceof VhdxDevice)) return undefined
  const item = await disk.userMetadata(MANIFEST_ITEM)
  return item === undefined ? undefined : decodeManifest(item)
}

/** Throws FormatError (BAD_MANIFEST) when `bytes` are no manifest, or one of a later version of the format. */
export function decodeManifest(bytes: Buffer): Manifest {
  const problem = (actual: string) =>
    new FormatError('BAD_MANIFEST', `the capture manifest in the image is ${actual}`, { actual })
  let value: Manifest
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw problem(`not JSON (${(error as Error).message})`)
  }
  if (value?.format !== 'vhdx-capture') throw problem('not one of ours: its format is not vhdx-capture')
  if (value.formatVersion !== 1) throw problem(`of version ${value.formatVersion}; this program reads version 1`)
  checkHashes(value.hashes, problem)
  return value
}

/** The hashes are used to loop and to allocate, so their numbers are checked here, once. */
function checkHashes(hashes: ContentHashes, problem: (actual: string) => FormatError): void {
  const { algorithm, unit, grain, stretches, digests } = hashes ?? {}
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0
  if (algorithm !== 'sha256' || unit !== UNIT || typeof digests !== 'string' || !Array.isArray(stretches)) {
    throw problem('without hashes this program can read')
  }
  if (!isCount(grain) || grain < unit || grain % unit !== 0) throw problem(`damaged: its grain is ${grain} bytes`)
  let [next, count] = [0, 0]
  for (const stretch of stretches) {
    const [first, length] = Array.isArray(stretch) ? stretch : []
    if (!isCount(first) || !isCount(length) || first! < next) throw problem('damaged: its grains are not in order')
    next = first! + length!
    count += length!
  }
  const bytes = Buffer.from(digests, 'base64').length
  if (bytes !== 32 * count) throw problem(`damaged: ${count} grains but ${bytes} bytes of hashes`)
}
