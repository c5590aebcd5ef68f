/** VHD files made by hand: every structure as the specification has it, and whatever a test wants wrong. */
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { checksumWithout } from '../../lib/vhd/checksum.ts'
import {
  DIFFERENCING,
  DYNAMIC,
  type DynamicHeader,
  dynamicHeader,
  FIXED,
  type Footer,
  footer,
  UNUSED_ENTRY,
} from '../../lib/vhd/format.ts'
import { bitmapLength } from '../../lib/vhd/layout.ts'

/** A block that has a place in the file. */
export interface MadeBlock {
  /** All of the block. */
  readonly content: Buffer
  /** The sectors whose bit is set; all unless told. */
  readonly sectors?: readonly number[]
}

export interface VhdPlan {
  readonly size: number
  readonly blockSize?: number
  readonly uniqueId?: string
  /** By number, in the order in which they lie in the file. */
  readonly blocks?: Readonly<Record<number, MadeBlock>>
  /** Makes it a differencing image. Locators: platform code → path, or the bytes of one. */
  readonly parent?: {
    readonly uniqueId: string
    readonly timestamp?: number
    readonly name?: string
    readonly locators?: Readonly<Record<string, string | Buffer>>
  }
  readonly footer?: Partial<Footer>
  readonly header?: Partial<DynamicHeader>
}

export const PARENT_ID = '5fa21a55-f394-aa4d-9958-1951a67d5540'
export const CHILD_ID = 'f84f1636-cd9e-9041-a69e-dcc2380e416a'

const HEADER_AT = 512
const TABLE_AT = 1536

/** A structure as bytes, with its checksum made good. */
function sealed<T extends object>(
  structure: { readonly size: number; encode(value: T, target: Buffer): number; offsetOf(field: 'checksum'): number },
  value: T,
): Buffer {
  const bytes = Buffer.alloc(structure.size)
  structure.encode(value, bytes)
  const at = structure.offsetOf('checksum')
  bytes.writeUInt32BE(checksumWithout(bytes, at), at)
  return bytes
}

export function makeFooter(size: number, diskType: number, changes: Partial<Footer> = {}): Buffer {
  return sealed(footer, {
    features: 2,
    version: 0x1_0000,
    dataOffset: diskType === FIXED ? 2n ** 64n - 1n : BigInt(HEADER_AT),
    timestamp: 656_000_000,
    creatorApplication: Buffer.from('test'),
    creatorVersion: 0x1_0002,
    creatorHostOs: Buffer.from('Wi2k'),
    originalSize: BigInt(size),
    currentSize: size,
    cylinders: 65_535,
    heads: 16,
    sectorsPerTrack: 255,
    diskType,
    checksum: 0,
    uniqueId: PARENT_ID,
    savedState: 0,
    ...changes,
  })
}

/** `content` with the footer of a fixed disk behind it. */
export const makeFixed = (content: Buffer, changes: Partial<Footer> = {}): Buffer =>
  Buffer.concat([content, makeFooter(content.length, FIXED, changes)])

/** A dynamic image, or a differencing one when the plan has a parent. */
export function makeDynamic(plan: VhdPlan): Buffer {
  const { size, blockSize = 2 ** 21, blocks = {}, parent, uniqueId = parent ? CHILD_ID : PARENT_ID } = plan
  const end = makeFooter(size, parent ? DIFFERENCING : DYNAMIC, { uniqueId, ...plan.footer })
  const blockCount = Math.ceil(size / blockSize)
  const table = Buffer.alloc(Math.ceil((blockCount * 4) / 512) * 512, 0xff)
  const pieces = [end, Buffer.alloc(dynamicHeader.size), table]
  let offset = TABLE_AT + table.length
  const put = (bytes: Buffer) => {
    const padded = Buffer.concat([bytes, Buffer.alloc(-bytes.length & 511)])
    pieces.push(padded)
    offset += padded.length
    return offset - padded.length
  }
  const locators = Object.entries(parent?.locators ?? {}).map(([code, path]) => {
    const data = typeof path === 'string' ? Buffer.from(path, code.startsWith('W2') ? 'utf16le' : 'utf8') : path
    return {
      platformCode: Buffer.from(code).readUInt32BE(0),
      dataSpace: 512,
      dataLength: data.length,
      dataOffset: BigInt(put(data)),
    }
  })
  const none = { platformCode: 0, dataSpace: 0, dataLength: 0, dataOffset: 0n }
  const parentName = Buffer.alloc(512)
  Buffer.from(parent?.name ?? '', 'utf16le')
    .swap16()
    .copy(parentName)
  pieces[1] = sealed(dynamicHeader, {
    dataOffset: 2n ** 64n - 1n,
    tableOffset: TABLE_AT,
    version: 0x1_0000,
    maxTableEntries: blockCount,
    blockSize,
    checksum: 0,
    parentUniqueId: parent?.uniqueId ?? '00000000-0000-0000-0000-000000000000',
    parentTimestamp: parent?.timestamp ?? 0,
    parentName,
    parentLocators: Array.from({ length: 8 }, (_, i) => locators[i] ?? none),
    ...plan.header,
  })
  for (const [block, { content, sectors }] of Object.entries(blocks)) {
    const bitmap = Buffer.alloc(bitmapLength(blockSize), sectors === undefined ? 0xff : 0)
    for (const sector of sectors ?? []) bitmap[Math.floor(sector / 8)]! += 128 / 2 ** (sector % 8)
    table.writeUInt32BE(put(Buffer.concat([bitmap, content])) / 512, Number(block) * 4)
  }
  return Buffer.concat([...pieces, end])
}

export const entryAt = (block: number) => TABLE_AT + block * 4
export const setEntry = (file: Buffer, block: number, sector = UNUSED_ENTRY) =>
  file.writeUInt32BE(sector, entryAt(block))

export const device = (file: Buffer) => new MemoryDevice(file, { readOnly: true })
