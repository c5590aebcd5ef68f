/** What an image lacks of the disk it was made of, by its manifest: also by one that is damaged, or newer than this. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type Shape, ShapeError } from './json-shape.ts'
import type { Manifest } from './manifest.ts'
import { decodeManifest, diskRange, leftOutFile, readManifestItem } from './read-manifest.ts'

/** What reads as zeros in an image and is none. */
export interface CaptureLosses {
  readonly leftOut: Manifest['leftOut']
  /** Bytes of the disk that could not be read. */
  readonly unread: readonly Range[]
  /** Why files may have been left out that are not among these, as a clause; undefined when there are no others. */
  readonly doubt: string | undefined
  readonly findings: readonly Finding[]
}

const NO_LOSSES: CaptureLosses = { leftOut: [], unread: [], doubt: undefined, findings: [] }

/** What the image that `disk` is in lacks. None where it was not captured. Throws what reading the image throws. */
export async function readCaptureLosses(disk: BlockDevice): Promise<CaptureLosses> {
  const item = await readManifestItem(disk)
  if (item === undefined) return NO_LOSSES
  try {
    return lossesOf(decodeManifest(item))
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    return salvage(item, error)
  }
}

function lossesOf({ leftOut, leftOutCount, readErrors, merged }: Manifest): CaptureLosses {
  const findings: Finding[] = []
  if (merged !== undefined && leftOutCount > 0) {
    const doubt = `the capture left out ${leftOutCount} files, and changes made since were merged into the image, which may have brought some back`
    return { leftOut: [], unread: readErrors.ranges, doubt, findings }
  }
  const unnamed = leftOutCount - leftOut.length
  const doubt = unnamed > 0 ? `the manifest had no room to name ${unnamed} of the files that were left out` : undefined
  if (unnamed > 0) {
    const message = `the capture left out ${unnamed} more files than its manifest has room to name: files that read as zeros are refused`
    findings.push({ code: 'LEFT_OUT_UNNAMED', message, details: { count: unnamed } })
  }
  if (readErrors.truncated) {
    const message =
      'the capture could not read more places of the disk than its manifest has room to name: they read as zeros'
    findings.push({ code: 'READ_ERRORS_UNNAMED', message, details: { bytes: readErrors.bytes } })
  }
  return { leftOut, unread: readErrors.ranges, doubt, findings }
}

/** What can still be made of a manifest that cannot be used as a whole. What else it may have named is in doubt. */
function salvage(item: Buffer, { code, message, details }: FormatError): CaptureLosses {
  const given = parse(item)
  return {
    leftOut: soundOf(given?.leftOut, leftOutFile),
    unread: soundOf(given?.readErrors?.ranges, diskRange),
    doubt: 'the manifest that names what was left out cannot be used',
    findings: [
      {
        code,
        message: `${message}. What it names as left out is refused, and so are files that read as zeros; sectors that the capture could not read may be zeros`,
        details,
      },
    ],
  }
}

/** What may be a manifest, with nothing in it checked. */
interface Unchecked {
  readonly leftOut?: unknown
  readonly readErrors?: { readonly ranges?: unknown } | null
}

function parse(item: Buffer): Unchecked | undefined {
  try {
    return JSON.parse(item.toString('utf8')) ?? undefined
  } catch {
    return undefined
  }
}

/** Those of a list that are as they should be. */
function soundOf<T>(list: unknown, shape: Shape<T>): readonly T[] {
  if (!Array.isArray(list)) return []
  return list.flatMap(item => {
    try {
      return [shape(item, '')]
    } catch (error) {
      if (error instanceof ShapeError) return []
      throw error
    }
  })
}
