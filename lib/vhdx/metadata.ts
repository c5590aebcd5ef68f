/** The metadata region and the items this library knows, [MS-VHDX] 2.6. */
import { isPowerOfTwo } from '../binary/size.ts'
import type { Range } from '../device/ranges.ts'
import {
  FILE_PARAMETERS,
  fileParameters,
  HAS_PARENT,
  INCOMPLETE_FILE,
  IS_REQUIRED,
  IS_VIRTUAL_DISK,
  LEAVE_BLOCKS_ALLOCATED,
  LOGICAL_SECTOR_SIZE,
  logicalSectorSize,
  MAX_BLOCK_SIZE,
  MAX_VIRTUAL_SIZE,
  MIN_BLOCK_SIZE,
  metadataTableHeader,
  PARENT_LOCATOR,
  PHYSICAL_SECTOR_SIZE,
  parentLocatorHeader,
  physicalSectorSize,
  SECTOR_SIZES,
  VIRTUAL_DISK_ID,
  VIRTUAL_DISK_SIZE,
  virtualDiskId,
  virtualDiskSize,
} from './format.ts'
import type { DiskShape } from './layout.ts'
import { breachOf, type MetadataItem, readMetadataTable } from './metadata-table.ts'
import { type ParentLocator, readParentLocator } from './parent-locator.ts'
import { type Problem, problem, type RuleCode } from './rules.ts'
import type { Decodable, StructureReader } from './structure-reader.ts'

/** What the metadata says of the disk, checked. */
export interface Metadata extends DiskShape {
  /** A fixed image: every block has its place in the file from the start. */
  readonly leaveBlocksAllocated: boolean
  readonly virtualDiskId: string
  /** Where a differencing image says its parent is; undefined for others. */
  readonly parentLocator: ParentLocator | undefined
}

export interface MetadataRegion {
  readonly items: readonly MetadataItem[]
  /** Undefined where an item it needs is missing or says what cannot be. */
  readonly metadata: Metadata | undefined
}

const DISK_ITEM = IS_VIRTUAL_DISK + IS_REQUIRED

/** The items the specification knows, and the flags it gives them. */
const KNOWN_ITEMS: Readonly<Record<string, { readonly name: string; readonly flags: number }>> = {
  [FILE_PARAMETERS]: { name: 'file parameters', flags: IS_REQUIRED },
  [VIRTUAL_DISK_SIZE]: { name: 'virtual disk size', flags: DISK_ITEM },
  [VIRTUAL_DISK_ID]: { name: 'virtual disk id', flags: DISK_ITEM },
  [LOGICAL_SECTOR_SIZE]: { name: 'logical sector size', flags: DISK_ITEM },
  [PHYSICAL_SECTOR_SIZE]: { name: 'physical sector size', flags: DISK_ITEM },
  [PARENT_LOCATOR]: { name: 'parent locator', flags: IS_REQUIRED },
  [INCOMPLETE_FILE]: { name: 'incomplete file marker', flags: IS_REQUIRED },
}

/** The item's name; undefined for one the specification does not know. A user's item is never known. */
export const metadataItemName = (item: Pick<MetadataItem, 'itemId' | 'isUser'>) =>
  item.isUser ? undefined : KNOWN_ITEMS[item.itemId]?.name

/** The flags that the specification gives to an item it knows. */
export const knownFlags = (itemId: string) => KNOWN_ITEMS[itemId]!.flags

/** Reads and checks the table and the known items of `region`. User items stay unread. */
export async function readMetadataRegion(reader: StructureReader, region: Range): Promise<MetadataRegion> {
  const items = await readMetadataTable(reader, region)
  for (const item of items) checkItem(reader, item)
  return { items, metadata: await readKnownItems(reader, region, items) }
}

function checkItem(reader: StructureReader, item: MetadataItem): void {
  const known = item.isUser ? undefined : KNOWN_ITEMS[item.itemId]
  if (known === undefined) {
    if (!item.isRequired) return
    reader.report('METADATA_UNKNOWN_REQUIRED', breachOf(item, 'itemId', 'a known one, if it is required', item.itemId))
    return
  }
  const flags = (item.isVirtualDisk ? IS_VIRTUAL_DISK : 0) + (item.isRequired ? IS_REQUIRED : 0)
  if (flags !== known.flags) {
    reader.report('METADATA_FLAGS', breachOf(item, 'flags', `${known.flags} for the ${known.name}`, `${flags}`))
  }
  if (item.itemId === INCOMPLETE_FILE) {
    reader.report('FILE_INCOMPLETE', breachOf(item, 'itemId', 'not the mark of an unfinished file', item.itemId))
  }
}

/** The items every image must have, each checked by itself as far as it is there. */
async function readKnownItems(
  reader: StructureReader,
  region: Range,
  items: readonly MetadataItem[],
): Promise<Metadata | undefined> {
  const read = <T>(itemId: string, structure: Decodable<T>) => readKnownItem(reader, region, items, itemId, structure)
  const parameters = await read(FILE_PARAMETERS, fileParameters)
  const size = await read(VIRTUAL_DISK_SIZE, virtualDiskSize)
  const logical = await read(LOGICAL_SECTOR_SIZE, logicalSectorSize)
  const physical = await read(PHYSICAL_SECTOR_SIZE, physicalSectorSize)
  const id = await read(VIRTUAL_DISK_ID, virtualDiskId)

  const sectorSize = logical?.value.logicalSectorSize ?? 512
  const isGood = [
    parameters?.demand('blockSize', isBlockSize, 'BLOCK_SIZE', 'a power of two from 1 MiB to 256 MiB'),
    logical?.demand('logicalSectorSize', isSectorSize, 'SECTOR_SIZE', '512 or 4096'),
    physical?.demand('physicalSectorSize', isSectorSize, 'SECTOR_SIZE', '512 or 4096'),
    size?.demand('virtualDiskSize', isVirtualSize(sectorSize), 'VIRTUAL_SIZE', `n × ${sectorSize}, up to 64 TiB`),
  ].every(good => good === true)
  if (!isGood || !parameters || !size || !logical || !physical || !id) return undefined

  physical.demand('physicalSectorSize', value => value >= sectorSize, 'SECTOR_SIZE_MIX', `at least ${sectorSize}`)
  const hasParent = has(parameters.value.flags, HAS_PARENT)
  return {
    virtualSize: size.value.virtualDiskSize,
    blockSize: parameters.value.blockSize,
    logicalSectorSize: sectorSize,
    physicalSectorSize: physical.value.physicalSectorSize,
    virtualDiskId: id.value.virtualDiskId,
    hasParent,
    leaveBlocksAllocated: !hasParent && has(parameters.value.flags, LEAVE_BLOCKS_ALLOCATED),
    parentLocator: hasParent ? await readLocator(reader, items, parameters) : undefined,
  }
}

const isBlockSize = (value: number) => isPowerOfTwo(value) && value >= MIN_BLOCK_SIZE && value <= MAX_BLOCK_SIZE

const isSectorSize = (value: number) => SECTOR_SIZES.includes(value)

const isVirtualSize = (sectorSize: number) => (value: number) =>
  value > 0 && value <= MAX_VIRTUAL_SIZE && (value % sectorSize === 0 || !isSectorSize(sectorSize))

const has = (flags: number, flag: number) => Math.floor(flags / flag) % 2 === 1

/** A decoded item that can say what is wrong with it. */
class KnownItem<T> {
  readonly value: T
  readonly #reader: StructureReader
  readonly #structure: Decodable<T>
  readonly #position: number

  constructor(reader: StructureReader, structure: Decodable<T>, position: number, value: T) {
    this.value = value
    this.#reader = reader
    this.#structure = structure
    this.#position = position
  }

  /** Whether the number in `field` is as it should be; if not, that is reported. */
  demand(field: keyof T & string, isGood: (value: number) => boolean, code: RuleCode, expected: string): boolean {
    const value = this.value[field] as number
    if (!isGood(value)) this.report(code, field, expected, `${value}`)
    return isGood(value)
  }

  report(code: RuleCode, field: keyof T & string, expected: string, actual: string): void {
    const position = this.#position + this.#structure.offsetOf(field)
    this.#reader.report(code, { structure: this.#structure.name, field, position, expected, actual })
  }
}

async function readKnownItem<T>(
  reader: StructureReader,
  region: Range,
  items: readonly MetadataItem[],
  itemId: string,
  structure: Decodable<T>,
): Promise<KnownItem<T> | undefined> {
  const item = findItem(items, itemId)
  if (item === undefined) {
    const name = metadataTableHeader.name
    const breach = { position: region.offset, expected: `listing the ${structure.name}`, actual: 'without it' }
    reader.report('METADATA_MISSING', { structure: name, ...breach })
    return undefined
  }
  if (!item.isPlaced) return undefined
  if (item.length !== structure.size) {
    reader.report('METADATA_ITEM_SIZE', breachOf(item, 'length', `${structure.size}`, `${item.length}`))
    return undefined
  }
  const bytes = await reader.read(structure.name, item)
  const value = bytes && reader.decode(structure, bytes, 0, item.offset)
  return value && new KnownItem(reader, structure, item.offset, value)
}

/** The parent locator of a differencing image. */
async function readLocator(
  reader: StructureReader,
  items: readonly MetadataItem[],
  parameters: KnownItem<{ flags: number }>,
): Promise<ParentLocator | undefined> {
  const item = findItem(items, PARENT_LOCATOR)
  if (item === undefined) {
    parameters.report('PARENT_LOCATOR_MISSING', 'flags', 'without a parent, for there is no locator', 'with a parent')
  }
  const bytes = item?.isPlaced ? await reader.read(parentLocatorHeader.name, item) : undefined
  return bytes && readParentLocator(reader, bytes, item!.offset)
}

/** What is to be said of a differencing image whose parent is not opened with it; undefined for other images. */
export function parentProblem({ items, metadata }: MetadataRegion): Problem | undefined {
  const item = findItem(items, FILE_PARAMETERS)
  if (item === undefined || !metadata?.hasParent) return undefined
  const parent = metadata.parentLocator?.paths.map(path => `'${path}'`).join(' or ') || 'unknown'
  const position = item.offset + fileParameters.offsetOf('flags')
  const [expected, actual] = ['that of an image without a parent', 'that of a differencing image']
  const note = problem('PARENT_NOT_OPENED', {
    structure: fileParameters.name,
    field: 'flags',
    position,
    expected,
    actual,
  })
  // A child is no broken rule, so the words for broken rules would only alarm.
  return { ...note, message: `this is a differencing image, and its parent, ${parent}, was not looked at` }
}

/** The system's item `itemId`. */
export const findItem = (items: readonly MetadataItem[], itemId: string) =>
  items.find(item => item.itemId === itemId && !item.isUser)
