/** The bytes of a new image's structures. What order they are written in is the builders' business. */
import { crc32c } from '../binary/crc32c.ts'
import { isGuid, NIL_GUID } from '../binary/guid.ts'
import { KiB, MiB } from '../binary/size.ts'
import type { Range } from '../device/ranges.ts'
import { OptionError } from '../errors.ts'
import {
  BAT_REGION,
  FILE_PARAMETERS,
  fileIdentifier,
  fileParameters,
  HAS_PARENT,
  HEADER_POSITIONS,
  IS_REQUIRED,
  IS_USER,
  IS_VIRTUAL_DISK,
  LEAVE_BLOCKS_ALLOCATED,
  LOGICAL_SECTOR_SIZE,
  logicalSectorSize,
  MAX_USER_METADATA_ENTRIES,
  METADATA_REGION,
  METADATA_TABLE_SIZE,
  metadataEntry,
  metadataTableHeader,
  PARENT_LOCATOR,
  PHYSICAL_SECTOR_SIZE,
  physicalSectorSize,
  REGION_REQUIRED,
  REGION_TABLE_POSITIONS,
  REGION_TABLE_SIZE,
  regionEntry,
  regionTableHeader,
  VIRTUAL_DISK_ID,
  VIRTUAL_DISK_SIZE,
  virtualDiskId,
  virtualDiskSize,
} from './format.ts'
import { headerBytes } from './header.ts'
import type { ImagePlan, NewParent } from './image-plan.ts'
import { newLocator, parentLocatorBytes } from './parent-locator.ts'
import type { ItemContent } from './virtual-disk-items.ts'

/** The log of a new image: never used, so no larger than it must be. */
export const NEW_LOG: Range = { offset: MiB, length: MiB }

/** Windows gives every image a metadata region of 1 MiB, and no larger one has been seen in a file it made. */
export const METADATA_REGION_LENGTH = MiB

/** An item of the user's own in the metadata region, which readers keep and need not understand. */
export interface UserMetadata {
  /** A lower-case GUID. */
  readonly itemId: string
  readonly data: Buffer
  /** Whether it belongs to the disk, so that children of the image are given it too. */
  readonly isVirtualDisk?: boolean
}

/** Bytes of the five items every image has. */
const SYSTEM_ITEMS_SIZE = 40

/** Bytes of user metadata that an image without a parent has room for, all items together. */
export const USER_METADATA_CAPACITY = METADATA_REGION_LENGTH - METADATA_TABLE_SIZE - SYSTEM_ITEMS_SIZE

/** Bytes 0 to 64 KiB. */
export function newFileIdentifier(creator: string): Buffer {
  const target = Buffer.alloc(64 * KiB)
  const text = Buffer.alloc(512)
  text.write(creator, 'utf16le')
  fileIdentifier.encode({ creator: text }, target)
  return target
}

/**
 * The two headers with their positions: sequence numbers 1 and 2, else alike, as Windows leaves a cleanly detached
 * image. The log is clean.
 */
export function newHeaders(
  dataWriteGuid: string = crypto.randomUUID(),
): readonly { position: number; bytes: Buffer }[] {
  const fileWriteGuid = crypto.randomUUID()
  return HEADER_POSITIONS.map((position, slot) => {
    const bytes = headerBytes({
      sequenceNumber: BigInt(slot + 1),
      fileWriteGuid,
      dataWriteGuid,
      logGuid: NIL_GUID,
      logVersion: 0,
      version: 1,
      logLength: NEW_LOG.length,
      logOffset: NEW_LOG.offset,
    })
    return { position, bytes }
  })
}

/** Both copies of the region table with their positions: the BAT, then the metadata, both required, as Windows writes them. */
export function newRegionTables(bat: Range, metadata: Range): readonly { position: number; bytes: Buffer }[] {
  const bytes = Buffer.alloc(REGION_TABLE_SIZE)
  const regions = [
    { guid: BAT_REGION, ...bat },
    { guid: METADATA_REGION, ...metadata },
  ]
  regionTableHeader.encode({ checksum: 0, entryCount: regions.length }, bytes)
  regions.forEach(({ guid, offset, length }, index) => {
    const entry = { guid, fileOffset: offset, length, flags: REGION_REQUIRED }
    regionEntry.encode(entry, bytes, regionTableHeader.size + index * regionEntry.size)
  })
  bytes.writeUInt32LE(crc32c(bytes), regionTableHeader.offsetOf('checksum'))
  return REGION_TABLE_POSITIONS.map(position => ({ position, bytes }))
}

/**
 * The whole metadata region: the table, the five items packed in Windows' order, those that a child has besides, then
 * the user's. Throws OptionError: BAD_USER_METADATA for items that do not fit or share an id, PARENT_PATH_TOO_LONG.
 */
export function newMetadataRegion(plan: ImagePlan, userMetadata: readonly UserMetadata[] = []): Buffer {
  const given = [...systemItems(plan), ...(plan.parent?.image.diskItems ?? [])]
  checkUserMetadata(userMetadata, given)
  const flagsOf = ({ isVirtualDisk }: UserMetadata) => IS_USER + (isVirtualDisk ? IS_VIRTUAL_DISK : 0)
  const items = [...given, ...userMetadata.map(item => ({ ...item, flags: flagsOf(item) }))]
  const region = Buffer.alloc(METADATA_REGION_LENGTH)
  metadataTableHeader.encode({ entryCount: items.length }, region)
  let offset = METADATA_TABLE_SIZE
  items.forEach(({ itemId, data, flags }, index) => {
    // An empty item has offset 0, [MS-VHDX] 2.6.1.2.
    const entry = { itemId, offset: data.length === 0 ? 0 : offset, length: data.length, flags }
    metadataEntry.encode(entry, region, metadataTableHeader.size + index * metadataEntry.size)
    offset += data.copy(region, offset)
  })
  return region
}

function systemItems(plan: ImagePlan): ItemContent[] {
  const disk = IS_VIRTUAL_DISK + IS_REQUIRED
  const ownType = plan.fixed ? LEAVE_BLOCKS_ALLOCATED : 0
  const parameters = { blockSize: plan.blockSize, flags: plan.parent === undefined ? ownType : HAS_PARENT }
  return [
    { itemId: FILE_PARAMETERS, flags: IS_REQUIRED, data: fileParameters.toBuffer(parameters) },
    {
      itemId: VIRTUAL_DISK_SIZE,
      flags: disk,
      data: virtualDiskSize.toBuffer({ virtualDiskSize: plan.virtualSize }),
    },
    { itemId: LOGICAL_SECTOR_SIZE, flags: disk, data: logicalSectorSize.toBuffer(plan) },
    { itemId: PHYSICAL_SECTOR_SIZE, flags: disk, data: physicalSectorSize.toBuffer(plan) },
    { itemId: VIRTUAL_DISK_ID, flags: disk, data: virtualDiskId.toBuffer(plan) },
    ...(plan.parent === undefined ? [] : [locatorItem(plan.parent)]),
  ]
}

const locatorItem = ({ image, paths }: NewParent): ItemContent => ({
  itemId: PARENT_LOCATOR,
  flags: IS_REQUIRED,
  data: parentLocatorBytes(newLocator(image.dataWriteGuid, paths)),
})

/** `given`: the items that the image has besides. */
function checkUserMetadata(items: readonly UserMetadata[], given: readonly ItemContent[]): void {
  const wrong = (why: string) => new OptionError('BAD_USER_METADATA', `the user metadata cannot be written: ${why}`)
  const bad = items.find(item => !isGuid(item.itemId))
  if (bad !== undefined) throw wrong(`'${bad.itemId}' is not a lower-case GUID`)
  const ids = [...items, ...given.filter(({ flags }) => flags % 2 === IS_USER)].map(({ itemId }) => itemId)
  if (new Set(ids).size < ids.length) throw wrong('two items have the same id')
  if (ids.length > MAX_USER_METADATA_ENTRIES) throw wrong(`${ids.length} items, 1024 are the most`)
  const size = sizeOf(items)
  const capacity = METADATA_REGION_LENGTH - METADATA_TABLE_SIZE - sizeOf(given)
  if (size > capacity) throw wrong(`it has ${size} bytes, and the image has room for ${capacity}`)
}

const sizeOf = (items: readonly { readonly data: Buffer }[]) => items.reduce((sum, { data }) => sum + data.length, 0)
