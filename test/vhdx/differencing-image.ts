/** Differencing images and their bases, made by hand: any state for any block, any bits in the bitmaps. */
import { KiB, MiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import {
  BAT_ENTRY_SIZE,
  BITMAP_BLOCK_SIZE,
  BITMAP_PRESENT,
  FULLY_PRESENT,
  HAS_PARENT,
  IS_REQUIRED,
  METADATA_TABLE_SIZE,
  metadataEntry,
  metadataTableHeader,
  NOT_PRESENT,
  PARENT_LOCATOR,
  PARTIALLY_PRESENT,
} from '../../lib/vhdx/format.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { type ImagePlan, planImage, type VhdxOptions } from '../../lib/vhdx/image-plan.ts'
import { batRegionLength, bitmapEntryIndex, geometryOf, payloadEntryIndex } from '../../lib/vhdx/layout.ts'
import { newFileIdentifier, newHeaders, newMetadataRegion, newRegionTables } from '../../lib/vhdx/new-image.ts'
import { pattern } from '../helpers/pattern.ts'
import { parentLocator } from './test-image.ts'

/** A block of such an image. */
export interface LayerBlock {
  /** As in the BAT: 0 to 3, 6 or 7. */
  readonly state: number
  /** Bytes of the disk, in the block, that were written to this image: whole sectors. For states 6 and 7. */
  readonly written?: readonly Range[]
}

/** An image of a chain. Its file starts as one of an image by `VhdxOptions`. */
export interface Layer extends VhdxOptions {
  readonly blocks: ReadonlyMap<number, LayerBlock>
  /** Keys and values of the parent locator: `locatorOf`. An image without has no parent. */
  readonly locator?: Readonly<Record<string, string>>
  /** Tells what the images of a chain wrote apart. */
  readonly seed?: number
}

const METADATA_AT = 2 * MiB
const BAT_AT = 3 * MiB

/** The locator for the image in `parent`. `paths`: relative_path and the like. */
export async function locatorOf(
  parent: BlockDevice,
  paths: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, string>>> {
  return { parent_linkage: `{${(await readVhdxIdentity(parent)).header.dataWriteGuid}}`, ...paths }
}

/** Writes the image to `file`, which is empty and grows. Parts of blocks that were not written stay holes. */
export async function makeLayer(file: BlockDevice, layer: Layer): Promise<void> {
  const plan = planImage(layer)
  const geometry = geometryOf({ ...plan, hasParent: layer.locator !== undefined })
  const { blockSize, chunkRatio, logicalSectorSize, batEntryCount } = geometry
  const bat = Buffer.alloc(batRegionLength(batEntryCount))
  const bitmaps = new Map<number, { readonly place: number; readonly bits: Buffer }>()
  let end = BAT_AT + bat.length
  const take = (index: number, state: number, length: number) => {
    bat.writeBigUInt64LE(BigInt(end) + BigInt(state), index * BAT_ENTRY_SIZE)
    end += length
    return end - length
  }

  await file.write(0, newFileIdentifier(plan.creator))
  for (const [block, { state, written = [] }] of layer.blocks) {
    const index = payloadEntryIndex(block, chunkRatio)
    if (state < FULLY_PRESENT) {
      bat.writeUInt32LE(state, index * BAT_ENTRY_SIZE)
      continue
    }
    const place = take(index, state, blockSize)
    for (const { offset, length } of written) {
      await file.write(place + offset - block * blockSize, layerBytes(layer, { offset, length }))
    }
    if (state !== PARTIALLY_PRESENT) continue
    const chunk = Math.floor(block / chunkRatio)
    const bitmap = bitmaps.get(chunk) ?? {
      place: take(bitmapEntryIndex(chunk, chunkRatio), BITMAP_PRESENT, BITMAP_BLOCK_SIZE),
      bits: Buffer.alloc(BITMAP_BLOCK_SIZE),
    }
    bitmaps.set(chunk, bitmap)
    const chunkStart = chunk * chunkRatio * blockSize
    for (const { offset, length } of written)
      setBits(bitmap.bits, (offset - chunkStart) / logicalSectorSize, length / logicalSectorSize)
  }
  for (const { place, bits } of bitmaps.values()) await file.write(place, bits)
  await file.write(BAT_AT, bat)
  await file.write(METADATA_AT, metadataOf(plan, layer.locator))
  const tables = newRegionTables({ offset: BAT_AT, length: bat.length }, { offset: METADATA_AT, length: MiB })
  for (const { position, bytes } of [...tables, ...newHeaders()]) await file.write(position, bytes)
  // The file ends where its last block does.
  if (file.size < end) await file.write(end - 1, Buffer.alloc(1))
}

/** What `layer` makes of the disk of its parent, or of a disk of zeros. */
export function diskOf(layer: Layer, parent: Buffer = Buffer.alloc(0)): Buffer {
  const disk = Buffer.alloc(layer.virtualSize)
  if (layer.locator !== undefined) parent.copy(disk)
  const { blockSize } = planImage(layer)
  for (const [block, { state, written = [] }] of layer.blocks) {
    if (state !== NOT_PRESENT && state !== PARTIALLY_PRESENT)
      disk.fill(0, block * blockSize, Math.min((block + 1) * blockSize, disk.length))
    if (state < FULLY_PRESENT) continue
    for (const range of written) layerBytes(layer, range).copy(disk, range.offset)
  }
  return disk
}

/** What was written to the disk at `offset`. */
export const layerBytes = ({ seed = 0 }: Pick<Layer, 'seed'>, { offset, length }: Range) =>
  pattern(length, offset + seed)

/** The lowest bit of the first byte is bit 0. */
function setBits(bits: Buffer, first: number, count: number): void {
  for (let bit = first; bit < first + count; bit++) bits[Math.floor(bit / 8)]! += 2 ** (bit % 8)
}

/** The metadata region of `plan`, with HasParent and the locator where there is one. */
function metadataOf(plan: ImagePlan, entries: Layer['locator']): Buffer {
  const region = newMetadataRegion(plan)
  if (entries === undefined) return region
  region.writeUInt32LE(HAS_PARENT, METADATA_TABLE_SIZE + 4)
  const locator = parentLocator(entries)
  const offset = METADATA_TABLE_SIZE + 4 * KiB
  locator.copy(region, offset)
  const { entryCount } = metadataTableHeader.decode(region)
  metadataTableHeader.encode({ entryCount: entryCount + 1 }, region)
  const entry = { itemId: PARENT_LOCATOR, offset, length: locator.length, flags: IS_REQUIRED }
  metadataEntry.encode(entry, region, metadataTableHeader.size + entryCount * metadataEntry.size)
  return region
}
