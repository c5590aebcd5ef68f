/** Images in memory that tests take apart: every structure can be changed, with its checksum made good again. */
import { crc32cWithout } from '../../lib/binary/crc32c.ts'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { VhdxBuilder } from '../../lib/vhdx/builder.ts'
import {
  HAS_PARENT,
  HEADER_POSITIONS,
  HEADER_SIZE,
  type Header,
  header,
  IS_REQUIRED,
  type MetadataEntry,
  metadataEntry,
  metadataTableHeader,
  PARENT_LOCATOR,
  parentLocatorEntry,
  parentLocatorHeader,
  REGION_TABLE_POSITIONS,
  REGION_TABLE_SIZE,
  type RegionEntry,
  regionEntry,
  regionTableHeader,
  VHDX_PARENT_LOCATOR,
} from '../../lib/vhdx/format.ts'
import type { VhdxOptions } from '../../lib/vhdx/image-plan.ts'
import type { UserMetadata } from '../../lib/vhdx/new-image.ts'
import { pattern } from '../helpers/pattern.ts'

/** Where the builder puts things. */
export const LOG_AT = MiB
export const METADATA_AT = 2 * MiB
export const ITEMS_AT = METADATA_AT + 64 * 1024
export const BAT_AT = 3 * MiB

/** What of a `Struct` is needed to change one. */
interface Editable<T extends object> {
  readonly size: number
  decode(bytes: Buffer, at: number): T
  encode(value: T, bytes: Buffer, at: number): number
}

/** The whole file of an image. */
export class TestImage {
  content: Buffer

  constructor(content: Buffer) {
    this.content = content
  }

  /** A dynamic or fixed image whose present blocks hold a pattern of their place on the disk. */
  static async make(
    options: VhdxOptions,
    blocks: readonly number[] = [],
    userMetadata: readonly UserMetadata[] = [],
  ): Promise<TestImage> {
    const file = new MemoryDevice(0, { growable: true })
    const builder = await VhdxBuilder.create(file, options)
    for (const block of blocks) {
      await file.write(await builder.place(block), pattern(builder.blockSize, block * builder.blockSize))
    }
    await builder.finish(userMetadata)
    return new TestImage(file.content)
  }

  get device(): MemoryDevice {
    return new MemoryDevice(this.content, { readOnly: true })
  }

  copy(): TestImage {
    return new TestImage(Buffer.from(this.content))
  }

  /** Makes the bytes at `positions` others than they are, and leaves the checksums as they are. */
  flip(...positions: readonly number[]): void {
    for (const position of positions) this.content[position]! ^= 0xff
  }

  edit<T extends object>(structure: Editable<T>, at: number, change: Partial<T>): void {
    structure.encode({ ...structure.decode(this.content, at), ...change }, this.content, at)
  }

  editHeader(slot: 0 | 1, change: Partial<Header>): void {
    this.edit(header, HEADER_POSITIONS[slot], change)
    this.repair()
  }

  editHeaders(change: Partial<Header>): void {
    this.editHeader(0, change)
    this.editHeader(1, change)
  }

  /** Region 0 is the BAT, region 1 the metadata, region 2 a new one. Both copies of the table get it. */
  editRegion(index: number, change: Partial<RegionEntry>): void {
    for (const position of REGION_TABLE_POSITIONS) {
      this.edit(regionEntry, position + regionTableHeader.size + index * regionEntry.size, change)
    }
    this.repair()
  }

  setRegionCount(entryCount: number): void {
    for (const position of REGION_TABLE_POSITIONS) this.edit(regionTableHeader, position, { entryCount })
    this.repair()
  }

  /** Items 0 to 4: file parameters, disk size, logical and physical sector size, disk id. */
  editItemEntry(index: number, change: Partial<MetadataEntry>): void {
    this.edit(metadataEntry, METADATA_AT + metadataTableHeader.size + index * metadataEntry.size, change)
  }

  setItemCount(entryCount: number): void {
    this.edit(metadataTableHeader, METADATA_AT, { entryCount })
  }

  /** Appends an item behind those that are there. */
  addItem(itemId: string, data: Buffer, flags: number): void {
    const { entryCount } = metadataTableHeader.decode(this.content, METADATA_AT)
    const offset = 0x20000 + entryCount * 0x1000
    this.setItemCount(entryCount + 1)
    this.editItemEntry(entryCount, { itemId, offset: data.length === 0 ? 0 : offset, length: data.length, flags })
    data.copy(this.content, METADATA_AT + offset)
  }

  /** Turns it into a child of the parent that `entries` tell of. */
  makeChild(entries: Readonly<Record<string, string>>, locatorType = VHDX_PARENT_LOCATOR): void {
    this.content.writeUInt32LE(HAS_PARENT, ITEMS_AT + 4)
    this.addItem(PARENT_LOCATOR, parentLocator(entries, locatorType), IS_REQUIRED)
  }

  /** Entry `index` of the BAT; `mebibyte` is the block's place in the file. */
  setBat(index: number, state: number, mebibyte = 0, reserved = 0): void {
    const value = BigInt(state) + BigInt(reserved) * 8n + BigInt(mebibyte) * 2n ** 20n
    this.content.writeBigUInt64LE(value, BAT_AT + index * 8)
  }

  /** Makes the checksums of headers and region tables good. */
  repair(): void {
    for (const position of HEADER_POSITIONS) this.#repair(position, HEADER_SIZE)
    for (const position of REGION_TABLE_POSITIONS) this.#repair(position, REGION_TABLE_SIZE)
  }

  #repair(position: number, size: number): void {
    const bytes = this.content.subarray(position, position + size)
    bytes.writeUInt32LE(crc32cWithout(bytes, 4), 4)
  }
}

export function parentLocator(entries: Readonly<Record<string, string>>, locatorType = VHDX_PARENT_LOCATOR): Buffer {
  const pairs = Object.entries(entries).map(pair => pair.map(text => Buffer.from(text, 'utf16le')) as [Buffer, Buffer])
  const head = Buffer.alloc(parentLocatorHeader.size + pairs.length * parentLocatorEntry.size)
  parentLocatorHeader.encode({ locatorType, keyValueCount: pairs.length }, head)
  let offset = head.length
  pairs.forEach(([key, value], index) => {
    const entry = {
      keyOffset: offset,
      valueOffset: offset + key.length,
      keyLength: key.length,
      valueLength: value.length,
    }
    parentLocatorEntry.encode(entry, head, parentLocatorHeader.size + index * parentLocatorEntry.size)
    offset += key.length + value.length
  })
  return Buffer.concat([head, ...pairs.flat()])
}
