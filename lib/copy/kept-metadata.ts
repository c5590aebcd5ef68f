/** What an image has beside its disk: what of it a conversion takes along, and what is said of the rest. */
import type { Finding } from '../finding.ts'
import type { OpenedImage } from '../image/open-image.ts'
import { metadataItemName } from '../vhdx/metadata.ts'
import { USER_METADATA_CAPACITY, type UserMetadata } from '../vhdx/new-image.ts'
import { readSoundStructures } from '../vhdx/structures.ts'
import { MANIFEST_ITEM } from './manifest.ts'

export interface KeptMetadata {
  /** Empty where the target has no place for them. */
  readonly items: readonly UserMetadata[]
  readonly findings: readonly Finding[]
}

/**
 * The user's own items of a VHDX, for a target of `format`. What of the others this library does not know belongs to a
 * program that knows what the file was, which nobody says the new one is. Throws what reading the image throws.
 */
export async function keptMetadata(image: OpenedImage, format: OpenedImage['format']): Promise<KeptMetadata> {
  if (image.format !== 'vhdx') return { items: [], findings: [] }
  const { file, metadataRegion } = await readSoundStructures(image.file)
  const own = metadataRegion.items.filter(({ isUser }) => isUser)
  const unknown = metadataRegion.items.filter(item => !item.isUser && metadataItemName(item) === undefined)
  const size = own.reduce((sum, { length }) => sum + length, 0)
  const fits = format === 'vhdx' && size <= USER_METADATA_CAPACITY
  const items: UserMetadata[] = []
  for (const { itemId, isVirtualDisk, offset, length } of fits ? own : []) {
    const data = Buffer.alloc(length)
    await file.read(offset, data)
    items.push({ itemId, data, isVirtualDisk })
  }
  const dropped = [...unknown, ...(fits ? [] : own)].filter(({ itemId }) => itemId !== MANIFEST_ITEM)
  return {
    items,
    findings: droppedItems(
      dropped.map(({ itemId }) => itemId),
      format,
    ),
  }
}

function droppedItems(ids: readonly string[], format: string): Finding[] {
  if (ids.length === 0) return []
  const what = ids.length === 1 ? 'a metadata item' : `${ids.length} metadata items`
  const message = `${what} of the image did not get into the ${format.toUpperCase()}: ${ids.join(', ')}`
  return [{ code: 'METADATA_DROPPED', message, details: { ids } }]
}
