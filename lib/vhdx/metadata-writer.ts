/** Changing items of the metadata region, [MS-VHDX] 2.6.1: what others there are stays where it is. */
import { endOf, normalizeRanges, type Range } from '../device/ranges.ts'
import { UnsupportedError } from '../errors.ts'
import {
  IS_REQUIRED,
  IS_USER,
  IS_VIRTUAL_DISK,
  MAX_METADATA_ENTRIES,
  METADATA_TABLE_SIZE,
  metadataEntry,
  metadataTableHeader,
} from './format.ts'
import type { MetadataChange } from './metadata-pages.ts'
import type { MetadataItem } from './metadata-table.ts'
import type { ItemContent } from './virtual-disk-items.ts'

/** Which item is meant. A user's item may have the id of one of the system's. */
export type ItemKey = Pick<MetadataItem, 'itemId' | 'isUser'>

/** An item where it lies, in bytes of the file. */
type PlacedItem = Range & { readonly itemId: string; readonly flags: number }

/** What a change of items is made of. */
export interface ItemChanges {
  /** Content in free space, which no entry names before `named` is made. */
  readonly unnamed: readonly MetadataChange[]
  /** Content in place of what it was before, and the table: all at once. */
  readonly named: readonly MetadataChange[]
}

export class MetadataWriter {
  readonly #region: Range
  #items: readonly PlacedItem[]

  /** For the `items` of `region`, as they are in the file. */
  constructor(region: Range, items: readonly MetadataItem[]) {
    this.#region = region
    this.#items = items.map(({ itemId, offset, length, ...item }) => ({ itemId, offset, length, flags: flagsOf(item) }))
  }

  /**
   * What gives the items in `set` their content, new ones among them, and takes away those in `removed`. Content that is
   * longer than before goes to free space of the region. Throws UnsupportedError (METADATA_FULL) when there is none.
   */
  changes(set: readonly ItemContent[], removed: readonly ItemKey[]): ItemChanges {
    const before = this.#items
    const items = before.filter(item => !removed.some(key => isOf(item, key)))
    const unnamed: MetadataChange[] = []
    const named: MetadataChange[] = []
    for (const { itemId, flags, data } of set) {
      const index = items.findIndex(item => isOf(item, { itemId, isUser: isUser(flags) }))
      const old = items[index]
      const isInPlace = old !== undefined && data.length <= old.length
      const offset = isInPlace ? old.offset : this.#freePlace(items, data.length)
      const item = { itemId, flags, offset, length: data.length }
      if (index < 0) items.push(item)
      else items[index] = item
      ;(isInPlace ? named : unnamed).push({ position: offset, bytes: data })
    }
    if (items.length > MAX_METADATA_ENTRIES) throw fullError(`${items.length} items`)
    this.#items = items
    return { unnamed, named: [...named, { position: this.#region.offset, bytes: this.#table(items, before.length) }] }
  }

  /** Header and entries of the table, with zeros over those of the `oldCount` before that are no more. */
  #table(items: readonly PlacedItem[], oldCount: number): Buffer {
    const count = Math.max(items.length, oldCount)
    const table = Buffer.alloc(metadataTableHeader.size + count * metadataEntry.size)
    metadataTableHeader.encode({ entryCount: items.length }, table)
    for (const [index, { itemId, flags, offset, length }] of items.entries()) {
      // An empty item has offset 0, [MS-VHDX] 2.6.1.2.
      const entry = { itemId, offset: length === 0 ? 0 : offset - this.#region.offset, length, flags }
      metadataEntry.encode(entry, table, metadataTableHeader.size + index * metadataEntry.size)
    }
    return table
  }

  /** Where `length` bytes touch neither an item that stays nor one that is in the file now. */
  #freePlace(items: readonly PlacedItem[], length: number): number {
    let place = this.#region.offset + METADATA_TABLE_SIZE
    for (const taken of normalizeRanges([...items, ...this.#items])) {
      if (place + length <= taken.offset) break
      place = Math.max(place, endOf(taken))
    }
    if (place + length > endOf(this.#region)) throw fullError(`${length} more bytes`)
    return place
  }
}

const isUser = (flags: number) => flags % 2 === IS_USER

const isOf = (item: { readonly itemId: string; readonly flags: number }, key: ItemKey) =>
  item.itemId === key.itemId && isUser(item.flags) === key.isUser

/** The flags of an item, as in its entry. */
export const flagsOf = (item: Pick<MetadataItem, 'isUser' | 'isVirtualDisk' | 'isRequired'>) =>
  (item.isUser ? IS_USER : 0) + (item.isVirtualDisk ? IS_VIRTUAL_DISK : 0) + (item.isRequired ? IS_REQUIRED : 0)

const fullError = (what: string) =>
  new UnsupportedError('METADATA_FULL', `the metadata of the image has no room for ${what}. Convert it to a new image`)
