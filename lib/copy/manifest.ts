/** What a capture says of itself, kept as JSON in the image: a user metadata item, which every reader leaves alone. */
import type { Finding } from '../finding.ts'
import { USER_METADATA_CAPACITY } from '../vhdx/new-image.ts'
import type { LeftOut, LeftOutReason } from '../volume/left-out.ts'
import type { ContentHashes } from './content-hash.ts'
import type { SurveyedVolume } from './disk-survey.ts'
import type { ReadErrors } from './rescuing-reader.ts'

/** The metadata item that holds the manifest. */
export const MANIFEST_ITEM = '5c0a0d34-3e5e-4d7b-9a6f-2b1f6f0c8e11'

/** Entries of each list that are kept where there is room; `…Count` has how many there were. */
const MAX_ENTRIES = 500

/** Characters of a text that are kept: of a path, a label, a message. */
const MAX_TEXT = 1_000

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

/** Bytes the image holds instead of the source's own. */
export interface ManifestChange {
  readonly offset: number
  readonly length: number
  readonly reason: string
}

/** What a capture says of itself: spec-notes/manifest.md has each field. */
export interface Manifest {
  readonly format: 'vhdx-capture'
  readonly formatVersion: 1
  readonly tool: { readonly name: string; readonly version: string }
  /** The image's disk has `size` bytes rounded up to its sectors. */
  readonly source: { readonly path: string; readonly format: string; readonly size: number }
  readonly started: string
  readonly finished: string
  /** Whether --force overrode a refusal; the findings say which. */
  readonly forced: boolean
  readonly partitionTable: { readonly type: string; readonly diskId: string | null }
  readonly partitions: readonly ManifestPartition[]
  readonly partitionsCount: number
  readonly keep: readonly LeftOutReason[]
  readonly exclude: readonly string[]
  readonly leftOut: readonly (LeftOut & { readonly partition: number })[]
  readonly leftOutCount: number
  readonly changed: readonly ManifestChange[]
  readonly changedCount: number
  readonly readErrors: ReadErrors
  readonly findings: readonly Finding[]
  readonly findingsCount: number
  readonly hashes: ContentHashes
  /** When changes made since the capture were merged into the image: there only where that was done. */
  readonly merged?: string | undefined
}

/** What a manifest says, before it is cut to the room there is. */
export type ManifestContent = Omit<Manifest, `${string}Count`>

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

/**
 * The bytes of a manifest. They fit an image whatever was found: the hashes and the options, which are bounded where they
 * are made, take less than the room there is, and all other lists are cut shorter until they fit too.
 */
export function encodeManifest(content: ManifestContent): Buffer {
  for (let limit = MAX_ENTRIES; ; limit = Math.floor(limit / 2)) {
    const bytes = Buffer.from(JSON.stringify(cut(content, limit)))
    if (bytes.length <= USER_METADATA_CAPACITY || limit === 0) return bytes
  }
}

/** The manifest with at most `limit` entries in its lists, but for what verifying needs in full. */
function cut({ exclude, hashes, ...content }: ManifestContent, limit: number): Manifest {
  const { partitions, keep, leftOut, changed, readErrors, findings } = content
  const ranges = readErrors.ranges.slice(0, limit)
  const described = {
    ...content,
    partitions: partitions.slice(0, limit),
    partitionsCount: partitions.length,
    keep: [...new Set(keep)],
    leftOut: leftOut.slice(0, limit),
    leftOutCount: leftOut.length,
    changed: changed.slice(0, limit),
    changedCount: changed.length,
    readErrors: { ...readErrors, ranges, truncated: readErrors.truncated || ranges.length < readErrors.ranges.length },
    findings: findings.slice(0, limit),
    findingsCount: findings.length,
  }
  return { ...withShortTexts(described), exclude, hashes }
}

/** `value` as JSON has it, long texts cut, whatever depth they are at. */
function withShortTexts<T>(value: T): T {
  const json = JSON.stringify(value, (_, part) => {
    if (typeof part === 'bigint') return part.toString()
    return typeof part === 'string' && part.length > MAX_TEXT ? `${part.slice(0, MAX_TEXT)}…` : part
  })
  return JSON.parse(json)
}
