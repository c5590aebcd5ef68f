/** The manifest of an image, with every field checked: whoever made the image decides what is in there. */
import { isPowerOfTwo } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { LEFT_OUT_REASONS } from '../volume/left-out.ts'
import { type ContentHashes, chooseGrain, UNIT } from './content-hash.ts'
import {
  count,
  flag,
  listOf,
  nullable,
  object,
  oneOf,
  optional,
  pairOf,
  ShapeError,
  shallowRecord,
  text,
} from './json-shape.ts'
import { MANIFEST_ITEM, type Manifest, type ManifestChange, type ManifestPartition } from './manifest.ts'
import type { ReadErrors } from './rescuing-reader.ts'

/** A file that was left out, as `leftOut` lists it. */
export const leftOutFile = object<Manifest['leftOut'][number]>({
  partition: count,
  path: text,
  reason: oneOf(...LEFT_OUT_REASONS),
  bytes: count,
  clusters: count,
  record: optional(count),
})

/** Bytes of the disk, as `readErrors` lists them. */
export const diskRange = object<Range>({ offset: count, length: count })

const manifest = object<Manifest>({
  format: oneOf('vhdx-capture'),
  formatVersion: oneOf(1),
  tool: object<Manifest['tool']>({ name: text, version: text }),
  source: object<Manifest['source']>({ path: text, format: text, size: count }),
  started: text,
  finished: text,
  forced: flag,
  partitionTable: object<Manifest['partitionTable']>({ type: text, diskId: nullable(text) }),
  partitions: listOf(
    object<ManifestPartition>({
      number: count,
      type: text,
      name: nullable(text),
      offset: count,
      size: count,
      fileSystem: text,
      label: nullable(text),
      clusterSize: nullable(count),
      usedClusters: nullable(count),
      usedBytes: count,
    }),
  ),
  partitionsCount: count,
  keep: listOf(oneOf(...LEFT_OUT_REASONS)),
  exclude: listOf(text),
  leftOut: listOf(leftOutFile),
  leftOutCount: count,
  changed: listOf(object<ManifestChange>({ offset: count, length: count, reason: text })),
  changedCount: count,
  readErrors: object<ReadErrors>({
    bytes: count,
    ranges: listOf(diskRange),
    truncated: flag,
  }),
  findings: listOf(object<Finding>({ code: text, message: text, details: optional(shallowRecord) })),
  findingsCount: count,
  hashes: object<ContentHashes>({
    algorithm: oneOf('sha256'),
    unit: oneOf(UNIT),
    grain: count,
    stretches: listOf(pairOf(count)),
    digests: text,
  }),
  merged: optional(text),
})

/** The manifest of a captured image; undefined where there is none. Throws FormatError (BAD_MANIFEST). */
export async function readManifest(disk: BlockDevice): Promise<Manifest | undefined> {
  const item = await readManifestItem(disk)
  return item === undefined ? undefined : decodeManifest(item)
}

/** The bytes of the manifest, whatever they are; undefined where there is none. */
export async function readManifestItem(disk: BlockDevice): Promise<Buffer | undefined> {
  return disk instanceof VhdxDevice ? await disk.userMetadata(MANIFEST_ITEM) : undefined
}

/** Throws FormatError (BAD_MANIFEST) when `bytes` are no manifest, a damaged one, or one of a later version. */
export function decodeManifest(bytes: Buffer): Manifest {
  try {
    const decoded = manifest(JSON.parse(bytes.toString('utf8')), '')
    checkHashes(decoded)
    return decoded
  } catch (error) {
    if (error instanceof ShapeError) throw badManifest(error.message)
    // What JSON.parse throws: RangeError for what is nested too deeply.
    if (error instanceof SyntaxError || error instanceof RangeError)
      throw badManifest(`it is no JSON, ${error.message}`)
    throw error
  }
}

/** `problem` as a clause, such as 'its grain is 5, expected a power of two'. */
export const badManifest = (problem: string) =>
  new FormatError(
    'BAD_MANIFEST',
    `the capture manifest in the image cannot be used: ${problem}. The disk in the image can be read all the same; vhdx check says whether the rest of the file is sound`,
    { problem },
  )

/** The hashes are looped over, so grains are no larger than a capture of that disk chooses, and lie on it, in order. */
function checkHashes({ source, hashes }: Manifest): void {
  const { grain, stretches, digests } = hashes
  const largest = chooseGrain(size => Math.ceil(source.size / size))
  if (!isPowerOfTwo(grain) || grain < UNIT || grain > largest) {
    throw new ShapeError(`its grain is ${grain} bytes, expected a power of two from ${UNIT} to ${largest}`)
  }
  const end = Math.ceil(source.size / grain)
  let [next, listed] = [0, 0]
  for (const [first, length] of stretches) {
    if (first < next || length === 0 || length > end - first) {
      throw new ShapeError(
        `it lists ${length} grains from grain ${first}, expected some from ${next} on and before ${end}`,
      )
    }
    next = first + length
    listed += length
  }
  const bytes = Buffer.from(digests, 'base64').length
  if (bytes !== 32 * listed) throw new ShapeError(`it lists ${listed} grains, but has ${bytes} bytes of hashes`)
}
