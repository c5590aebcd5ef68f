/** Which manifest an image has when others were merged into it, spec-notes/manifest.md, "After a merge". */
import { normalizeRanges, type Range, streamOf, totalLength } from '../device/ranges.ts'
import { subtractStream } from '../device/subtract-stream.ts'
import { unionRanges } from '../device/union-ranges.ts'
import { FormatError } from '../errors.ts'
import { IS_USER } from '../vhdx/format.ts'
import type { VhdxDevice } from '../vhdx/vhdx-device.ts'
import type { ItemContent } from '../vhdx/virtual-disk-items.ts'
import { MANIFEST_ITEM, type Manifest } from './manifest.ts'
import { decodeManifest, readManifestItem } from './read-manifest.ts'

/**
 * The manifest that the last of `images` gets when all others, each a child of the next, have been merged into it at `time`:
 * that of the first one that has any, and what it then says. Undefined where the last one keeps what it has.
 */
export async function mergedManifest(images: readonly VhdxDevice[], time: Date): Promise<ItemContent | undefined> {
  for (const [index, image] of images.entries()) {
    const item = await readManifestItem(image)
    if (item === undefined) continue
    const data = await changedBy(images.slice(0, index), item, time)
    const stays = image === images.at(-1) && data === item
    return stays ? undefined : { itemId: MANIFEST_ITEM, flags: IS_USER, data }
  }
  return undefined
}

/** `item` when what `images` hold has been written over what it tells of. One that is damaged stays: it says enough. */
async function changedBy(images: readonly VhdxDevice[], item: Buffer, time: Date): Promise<Buffer> {
  const held = () =>
    unionRanges(images.map(image => ({ extent: { offset: 0, length: image.size }, ranges: () => image.heldRanges() })))
  for await (const _ of held()) {
    try {
      return Buffer.from(JSON.stringify(await marked(decodeManifest(item), held(), time)))
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      return item
    }
  }
  return item
}

/** Without its hashes, so that it has room where it lies. */
async function marked(manifest: Manifest, held: AsyncIterable<Range>, time: Date): Promise<Manifest> {
  const { readErrors, hashes } = manifest
  const ranges: Range[] = []
  const unread = normalizeRanges(readErrors.ranges)
  for await (const range of subtractStream(streamOf(unread), held)) ranges.push(range)
  const bytes = readErrors.bytes - totalLength(unread) + totalLength(ranges)
  return {
    ...manifest,
    readErrors: { ...readErrors, ranges, bytes },
    hashes: { ...hashes, stretches: [], digests: '' },
    merged: time.toISOString(),
  }
}
