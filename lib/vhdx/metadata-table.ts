/** The table of the metadata region, [MS-VHDX] 2.6.1: which items there are, and where. */
import { endOf, type Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import {
  IS_REQUIRED,
  IS_USER,
  IS_VIRTUAL_DISK,
  MAX_METADATA_ENTRIES,
  MAX_METADATA_ITEM_LENGTH,
  MAX_USER_METADATA_ENTRIES,
  METADATA_TABLE_SIZE,
  type MetadataEntry,
  metadataEntry,
  metadataTableHeader,
} from './format.ts'
import type { Breach } from './rules.ts'
import type { StructureReader } from './structure-reader.ts'

/** An item of the metadata region. Its range is absolute in the file. */
export interface MetadataItem extends Range {
  readonly itemId: string
  readonly isUser: boolean
  /** It belongs to the disk, so children of the image inherit it. */
  readonly isVirtualDisk: boolean
  /** A reader that does not know it must refuse the file. */
  readonly isRequired: boolean
  /** Whether it lies where items may lie, so that it can be read. */
  readonly isPlaced: boolean
  /** Absolute byte of its entry in the table. */
  readonly position: number
}

/** Reads the table of `region` and checks all that can be said without the items' bytes. */
export async function readMetadataTable(reader: StructureReader, region: Range): Promise<MetadataItem[]> {
  const structure = metadataTableHeader.name
  const bytes = await reader.read(structure, { offset: region.offset, length: METADATA_TABLE_SIZE })
  if (bytes === undefined) return []
  if (!metadataTableHeader.matches(bytes)) {
    const actual = `0x${bytes.toString('hex', 0, 8)}`
    const breach = { structure, field: 'signature', position: region.offset, expected: "'metadata'", actual }
    reader.report('METADATA_SIGNATURE', breach)
    return []
  }
  const { entryCount } = metadataTableHeader.decode(bytes, 0, region.offset)
  if (entryCount > MAX_METADATA_ENTRIES) {
    reader.report('METADATA_COUNT', {
      structure,
      field: 'entryCount',
      position: region.offset + metadataTableHeader.offsetOf('entryCount'),
      expected: `at most ${MAX_METADATA_ENTRIES}`,
      actual: `${entryCount}`,
    })
    return []
  }
  const items: MetadataItem[] = []
  for (let index = 0; index < entryCount; index++) {
    const at = metadataTableHeader.size + index * metadataEntry.size
    items.push(itemOf(reader, metadataEntry.decode(bytes, at, region.offset), region, region.offset + at))
  }
  checkTogether(reader, items)
  return items
}

function itemOf(reader: StructureReader, entry: MetadataEntry, region: Range, position: number): MetadataItem {
  const { itemId, offset, length, flags } = entry
  const breach = (field: keyof MetadataEntry, expected: string): Breach =>
    breachOf({ itemId, position }, field, expected, hex(entry[field] as number))
  const wrong = placeFlaw(entry, region, breach)
  if (wrong !== undefined) reader.report('METADATA_ITEM_PLACE', wrong)
  return {
    itemId,
    isUser: has(flags, IS_USER),
    isVirtualDisk: has(flags, IS_VIRTUAL_DISK),
    isRequired: has(flags, IS_REQUIRED),
    isPlaced: wrong === undefined,
    offset: region.offset + offset,
    length,
    position,
  }
}

function placeFlaw(
  { offset, length }: MetadataEntry,
  region: Range,
  breach: (field: keyof MetadataEntry, expected: string) => Breach,
): Breach | undefined {
  if (length === 0) return offset === 0 ? undefined : breach('offset', '0 for an empty item')
  if (length > MAX_METADATA_ITEM_LENGTH) return breach('length', 'at most 1 MiB')
  if (offset < METADATA_TABLE_SIZE) return breach('offset', 'at least 64 KiB, behind the table')
  if (offset + length > region.length) return breach('offset', `inside the region of ${hex(region.length)} bytes`)
  return undefined
}

/** What the entries must not do to each other. */
function checkTogether(reader: StructureReader, items: readonly MetadataItem[]): void {
  const seen = new Set<string>()
  for (const item of items) {
    const key = `${item.itemId} ${item.isUser}`
    if (seen.has(key)) {
      reader.report('METADATA_DUPLICATE', breachOf(item, 'itemId', 'in the table once', 'there twice'))
    }
    seen.add(key)
  }
  const userItems = items.filter(item => item.isUser)
  const tooMany = userItems[MAX_USER_METADATA_ENTRIES]
  if (tooMany !== undefined) {
    const expected = `one of at most ${MAX_USER_METADATA_ENTRIES} user items`
    reader.report('METADATA_USER_COUNT', breachOf(tooMany, 'flags', expected, `one of ${userItems.length}`))
  }
  const placed = items.filter(item => item.isPlaced && item.length > 0).sort((a, b) => a.offset - b.offset)
  let end = 0
  for (const item of placed) {
    if (item.offset < end) {
      const actual = `${hex(item.offset)} in the file, inside the item before it`
      reader.report('METADATA_OVERLAP', breachOf(item, 'offset', 'behind other items', actual))
    }
    end = Math.max(end, endOf(item))
  }
}

/** What is wrong with a field of an item's entry. */
export const breachOf = (
  item: Pick<MetadataItem, 'itemId' | 'position'>,
  field: keyof MetadataEntry,
  expected: string,
  actual: string,
): Breach => ({
  structure: `${metadataEntry.name} (${item.itemId})`,
  field,
  position: item.position + metadataEntry.offsetOf(field),
  expected,
  actual,
})

const has = (flags: number, flag: number) => Math.floor(flags / flag) % 2 === 1
