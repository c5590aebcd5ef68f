/** Manifests of captures that a conversion cannot take along, and what nobody will know without them. */
import { formatSize } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { totalLength } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import type { ImageFormat } from '../image/open-image.ts'
import { type CaptureLosses, readCaptureLosses } from './capture-losses.ts'
import { readManifestItem } from './read-manifest.ts'

export interface LostManifest {
  /** Of the image it is in. */
  readonly path: string
  readonly losses: CaptureLosses
}

/** The manifest of the image at `path`, none where it was not captured. Throws what reading the image throws. */
export async function lostManifest(disk: BlockDevice, path: string): Promise<readonly LostManifest[]> {
  if ((await readManifestItem(disk)) === undefined) return []
  return [{ path, losses: await readCaptureLosses(disk) }]
}

/** What is to be said of each. */
export const manifestFindings = (manifests: readonly LostManifest[], format: ImageFormat): Finding[] =>
  manifests.map(({ path, losses: { leftOut, unread } }) => {
    const paths = leftOut.map(file => file.path)
    const zeros = [
      ...(paths.length > 0 ? [`${paths.join(', ')}, left out by the capture,`] : []),
      ...(unread.length > 0 ? [`${formatSize(totalLength(unread))} that it could not read`] : []),
    ]
    const silence =
      zeros.length > 0 ? `: nothing says any more that ${zeros.join(' and ')} may be zeros without having been` : ''
    const place = format === 'vhdx' ? 'the image of a whole chain' : format === 'vhd' ? 'a VHD' : 'a raw disk'
    const message = `the manifest in ${path}, with the hashes of its capture, has no place in ${place}${silence}`
    return { code: 'MANIFEST_DROPPED', message, details: { path, leftOut: paths, unread } }
  })
