/** What an image has beside its disk: what of it a conversion takes along, and what is said of the rest. */
import { formatSize } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { totalLength } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import type { ImageFormat, OpenedImage } from '../image/open-image.ts'
import { metadataItemName } from '../vhdx/metadata.ts'
import { USER_METADATA_CAPACITY, type UserMetadata } from '../vhdx/new-image.ts'
import { readSoundStructures } from '../vhdx/structures.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { readCaptureLosses } from './capture-losses.ts'
import { MANIFEST_ITEM } from './manifest.ts'
import { mergedManifest } from './merged-manifest.ts'
import { readManifestItem } from './read-manifest.ts'

interface KeptMetadata {
  /** Empty where the target has no place for them. */
  readonly items: readonly UserMetadata[]
  readonly findings: readonly Finding[]
}

/**
 * The user's own items of a VHDX, for a target of `format`, and its manifest or that of its `parents`. What of the other items
 * this library does not know belongs to a program that knows what the file was, which nobody says the new one is.
 * Throws what reading the image throws.
 */
export async function keptMetadata(
  source: OpenedImage,
  parents: readonly BlockDevice[],
  format: ImageFormat,
): Promise<KeptMetadata> {
  if (source.format !== 'vhdx') return { items: [], findings: [] }
  const { file, metadataRegion } = await readSoundStructures(source.file)
  const others = metadataRegion.items.filter(
    item => metadataItemName(item) === undefined && item.itemId !== MANIFEST_ITEM,
  )
  const own = others.filter(({ isUser }) => isUser)
  const size = own.reduce((sum, { length }) => sum + length, 0)
  const fits = format === 'vhdx' && size <= USER_METADATA_CAPACITY
  const items: UserMetadata[] = []
  for (const { itemId, isVirtualDisk, offset, length } of fits ? own : []) {
    const data = Buffer.alloc(length)
    await file.read(offset, data)
    items.push({ itemId, data, isVirtualDisk })
  }
  const dropped = fits ? others.filter(({ isUser }) => !isUser) : others
  const findings = droppedItems(
    dropped.map(({ itemId }) => itemId),
    format,
  )
  const images = [source.disk, ...parents].filter(disk => disk instanceof VhdxDevice)
  if (format !== 'vhdx') return { items, findings: [...findings, ...(await droppedManifest(images, format))] }
  const manifest = await manifestOf(images)
  return { items: manifest === undefined ? items : [...items, { itemId: MANIFEST_ITEM, data: manifest }], findings }
}

/** What an image says of itself that is made of `images`, each a child of the next. */
async function manifestOf(images: readonly VhdxDevice[]): Promise<Buffer | undefined> {
  const merged = await mergedManifest(images, new Date())
  return merged?.data ?? (await readManifestItem(images.at(-1)!))
}

function droppedItems(ids: readonly string[], format: ImageFormat): Finding[] {
  if (ids.length === 0) return []
  const what = ids.length === 1 ? 'a metadata item' : `${ids.length} metadata items`
  const message = `${what} of the image did not get into ${placeOf(format)}: ${ids.join(', ')}`
  return [{ code: 'METADATA_DROPPED', message, details: { ids } }]
}

const placeOf = (format: ImageFormat) => (format === 'raw' ? 'the raw disk' : `the ${format.toUpperCase()}`)

/** What nobody will know without the manifest. */
async function droppedManifest(images: readonly BlockDevice[], format: ImageFormat): Promise<Finding[]> {
  for (const image of images) {
    if ((await readManifestItem(image)) === undefined) continue
    const { leftOut, unread } = await readCaptureLosses(image)
    const paths = leftOut.map(file => file.path)
    const zeros = [
      ...(paths.length > 0 ? [`${paths.join(', ')}, left out by the capture,`] : []),
      ...(unread.length > 0 ? [`${formatSize(totalLength(unread))} that it could not read`] : []),
    ]
    const silence =
      zeros.length > 0 ? `: nothing says any more that ${zeros.join(' and ')} may be zeros without having been` : ''
    const message = `the manifest, with the hashes of the capture, did not get into ${placeOf(format)}${silence}`
    return [{ code: 'MANIFEST_DROPPED', message, details: { leftOut: paths, unread } }]
  }
  return []
}
