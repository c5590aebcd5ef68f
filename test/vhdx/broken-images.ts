/** Images that break one rule each: what is changed, which rules `check` must find broken, what opening must say. */
import { MiB } from '../../lib/binary/size.ts'
import {
  FILE_PARAMETERS,
  fileParameters,
  INCOMPLETE_FILE,
  IS_REQUIRED,
  IS_USER,
  LEAVE_BLOCKS_ALLOCATED,
  logicalSectorSize,
  METADATA_REGION,
  physicalSectorSize,
  REGION_TABLE_POSITIONS,
  virtualDiskSize,
} from '../../lib/vhdx/format.ts'
import type { RuleCode } from '../../lib/vhdx/rules.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { ITEMS_AT, METADATA_AT, type TestImage } from './test-image.ts'

const GUID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'
const PARENT = { parent_linkage: `{${GUID}}`, relative_path: '..\\base.vhdx' }
/** The first of the BAT's bitmap entries: blocks of 1 MiB and sectors of 512 bytes make 4096 blocks to a chunk. */
const BITMAP = 4096

/** A change, the rules `check` must then find broken and no others, and what opening says: 'opens' or an error's code. */
export type Case = readonly [name: string, change: (image: TestImage) => void, rules: readonly RuleCode[], open: string]

const HEADERS: readonly Case[] = [
  ['no VHDX', image => image.content.fill(0), ['IDENTIFIER_SIGNATURE'], 'IDENTIFIER_SIGNATURE'],
  ['first header bad', image => image.flip(0x10010), ['HEADER_COPY_BAD'], 'opens'],
  ['second without signature', image => image.content.fill(0, 0x20000, 0x20004), ['HEADER_COPY_BAD'], 'opens'],
  [
    'both bad',
    image => image.flip(0x10010, 0x20010),
    ['HEADER_COPY_BAD', 'HEADER_COPY_BAD', 'HEADER_NONE'],
    'HEADER_NONE',
  ],
  ['equal sequence, alike', image => image.editHeaders({ sequenceNumber: 7n }), ['HEADER_TWINS'], 'opens'],
  [
    'equal sequence, different',
    image => {
      image.editHeaders({ sequenceNumber: 7n })
      image.editHeader(1, { fileWriteGuid: GUID })
    },
    ['HEADER_TIE'],
    'HEADER_TIE',
  ],
  ['version 2', image => image.editHeaders({ version: 2 }), ['HEADER_VERSION'], 'HEADER_VERSION'],
  ['log version 1, log clean', image => image.editHeaders({ logVersion: 1 }), [], 'opens'],
  [
    'log version 1, log dirty',
    image => image.editHeaders({ logVersion: 1, logGuid: LOG_GUID }),
    ['HEADER_LOG_VERSION'],
    'HEADER_LOG_VERSION',
  ],
  [
    'log not at a MiB',
    image => image.editHeaders({ logOffset: MiB + 4096 }),
    ['HEADER_LOG_PLACE', 'REGION_OVERLAP'],
    'HEADER_LOG_PLACE',
  ],
  ['log of 4 KiB', image => image.editHeaders({ logLength: 4096 }), ['HEADER_LOG_PLACE'], 'HEADER_LOG_PLACE'],
  ['log beyond the end', image => image.editHeaders({ logOffset: 64 * MiB }), ['HEADER_LOG_PLACE'], 'HEADER_LOG_PLACE'],
  [
    'log place above 2^53',
    image => {
      for (const position of [0x10000, 0x20000]) image.content.writeBigUInt64LE(2n ** 63n, position + 72)
      image.repair()
    },
    ['NUMBER_TOO_LARGE', 'NUMBER_TOO_LARGE', 'HEADER_NONE'],
    'NUMBER_TOO_LARGE',
  ],
]

const LOGS: readonly Case[] = [
  [
    'dirty and valid',
    image => {
      image.editHeaders({ logGuid: LOG_GUID })
      putInLog(image, 0, logEntry({ sequenceNumber: 5n }))
    },
    ['LOG_DIRTY'],
    'opens',
  ],
  ['dirty and empty', image => image.editHeaders({ logGuid: LOG_GUID }), ['LOG_NO_SEQUENCE'], 'LOG_NO_SEQUENCE'],
  [
    'of a larger file',
    image => {
      image.editHeaders({ logGuid: LOG_GUID })
      putInLog(image, 0, logEntry({ sequenceNumber: 5n, flushedFileOffset: 64 * MiB }))
    },
    ['LOG_FILE_TRUNCATED'],
    'LOG_FILE_TRUNCATED',
  ],
  ...[0, 128 * 1024, MiB, 2 * MiB - 4096, 3 * MiB + 512, 2 ** 48].map(
    fileOffset =>
      [
        `a logged write at ${fileOffset}`,
        image => {
          image.editHeaders({ logGuid: LOG_GUID })
          putInLog(image, 0, logEntry({ sequenceNumber: 5n, data: [{ fileOffset, bytes: Buffer.alloc(4096) }] }))
        },
        ['LOG_TARGET'],
        'LOG_TARGET',
      ] satisfies Case,
  ),
  ['leftovers in a clean log', image => putInLog(image, 0, logEntry({ sequenceNumber: 5n })), [], 'opens'],
]

const REGIONS: readonly Case[] = [
  ['first table bad', image => image.content.fill(1, 0x30018, 0x30019), ['REGION_TABLE_COPY_BAD'], 'opens'],
  ['second table bad', image => image.content.fill(0, 0x40000, 0x40001), ['REGION_TABLE_COPY_BAD'], 'opens'],
  [
    'both bad',
    image => image.content.fill(1, 0x30018, 0x30019).fill(1, 0x40018, 0x40019),
    ['REGION_TABLE_COPY_BAD', 'REGION_TABLE_COPY_BAD', 'REGION_TABLE_NONE'],
    'REGION_TABLE_NONE',
  ],
  [
    'copies differ',
    image => {
      image.content.fill(1, REGION_TABLE_POSITIONS[1] + 60_000, REGION_TABLE_POSITIONS[1] + 60_001)
      image.repair()
    },
    ['REGION_TABLE_COPIES_DIFFER'],
    'opens',
  ],
  [
    '2048 entries',
    image => image.setRegionCount(2048),
    ['REGION_COUNT', 'REGION_MISSING', 'REGION_MISSING'],
    'REGION_COUNT',
  ],
  [
    'a region twice',
    image => {
      image.setRegionCount(3)
      image.editRegion(2, { guid: METADATA_REGION, fileOffset: 4 * MiB, length: MiB, flags: 1 })
      image.setBat(0, 0)
    },
    ['REGION_DUPLICATE'],
    'REGION_DUPLICATE',
  ],
  ['not at a MiB', image => image.editRegion(0, { fileOffset: 3 * MiB + 4096 }), ['REGION_PLACE'], 'REGION_PLACE'],
  ['of no length', image => image.editRegion(0, { length: 0 }), ['REGION_PLACE', 'BAT_TOO_SMALL'], 'REGION_PLACE'],
  ['overlapping', image => image.editRegion(0, { fileOffset: 2 * MiB }), ['REGION_OVERLAP'], 'REGION_OVERLAP'],
  [
    'beyond the end',
    image => image.editRegion(0, { fileOffset: 64 * MiB }),
    ['REGION_BEYOND_END'],
    'REGION_BEYOND_END',
  ],
  [
    'unknown and not required',
    image => {
      image.setRegionCount(3)
      image.editRegion(2, { guid: GUID, fileOffset: 7 * MiB, length: MiB, flags: 0 })
      image.content = Buffer.concat([image.content, Buffer.alloc(MiB)])
    },
    [],
    'opens',
  ],
  [
    'unknown and required',
    image => {
      image.setRegionCount(3)
      image.editRegion(2, { guid: GUID, fileOffset: 7 * MiB, length: MiB, flags: 1 })
      image.content = Buffer.concat([image.content, Buffer.alloc(MiB)])
    },
    ['REGION_UNKNOWN_REQUIRED'],
    'REGION_UNKNOWN_REQUIRED',
  ],
  [
    'known and not required',
    image => {
      image.editRegion(0, { flags: 0 })
      image.editRegion(1, { flags: 0 })
    },
    ['REGION_NOT_REQUIRED', 'REGION_NOT_REQUIRED'],
    'opens',
  ],
  ['only the BAT', image => image.setRegionCount(1), ['REGION_MISSING'], 'REGION_MISSING'],
  ['only an unknown one', image => image.editRegion(0, { guid: GUID, flags: 0 }), ['REGION_MISSING'], 'REGION_MISSING'],
  [
    'too small a BAT',
    image => image.edit(virtualDiskSize, ITEMS_AT + 8, { virtualDiskSize: 2 ** 40 }),
    ['BAT_TOO_SMALL'],
    'BAT_TOO_SMALL',
  ],
]

const METADATA: readonly Case[] = [
  [
    'signature',
    image => image.content.fill(0, METADATA_AT, METADATA_AT + 1),
    ['METADATA_SIGNATURE', ...five()],
    'METADATA_SIGNATURE',
  ],
  ['2048 entries', image => image.setItemCount(2048), ['METADATA_COUNT', ...five()], 'METADATA_COUNT'],
  [
    '1025 user items',
    image => {
      for (let n = 0; n < 1025; n++) {
        image.setItemCount(6 + n)
        image.editItemEntry(5 + n, { itemId: GUID.slice(0, -4) + String(n).padStart(4, '0'), flags: IS_USER })
      }
    },
    ['METADATA_USER_COUNT'],
    'METADATA_USER_COUNT',
  ],
  [
    'item in the table',
    image => image.editItemEntry(4, { offset: 0x1000 }),
    ['METADATA_ITEM_PLACE'],
    'METADATA_ITEM_PLACE',
  ],
  [
    'item outside',
    image => image.editItemEntry(4, { offset: 0xfffff }),
    ['METADATA_ITEM_PLACE'],
    'METADATA_ITEM_PLACE',
  ],
  [
    'item too long',
    image => image.editItemEntry(4, { length: 0x100001 }),
    ['METADATA_ITEM_PLACE'],
    'METADATA_ITEM_PLACE',
  ],
  [
    'empty item with a place',
    image => {
      image.addItem(GUID, Buffer.alloc(0), IS_USER)
      image.editItemEntry(5, { offset: 0x20000 })
    },
    ['METADATA_ITEM_PLACE'],
    'METADATA_ITEM_PLACE',
  ],
  ['empty item', image => image.addItem(GUID, Buffer.alloc(0), IS_USER), [], 'opens'],
  ['overlap', image => image.editItemEntry(3, { offset: 0x10010 }), ['METADATA_OVERLAP'], 'METADATA_OVERLAP'],
  [
    'an item twice',
    image => image.addItem(FILE_PARAMETERS, Buffer.alloc(8), 4),
    ['METADATA_DUPLICATE'],
    'METADATA_DUPLICATE',
  ],
  ['known id as a user item', image => image.addItem(FILE_PARAMETERS, Buffer.alloc(8), IS_USER), [], 'opens'],
  ['unknown and not required', image => image.addItem(GUID, Buffer.alloc(8), 0), [], 'opens'],
  [
    'unknown and required',
    image => image.addItem(GUID, Buffer.alloc(8), IS_REQUIRED),
    ['METADATA_UNKNOWN_REQUIRED'],
    'METADATA_UNKNOWN_REQUIRED',
  ],
  [
    'user item, required',
    image => image.addItem(GUID, Buffer.alloc(8), IS_USER + IS_REQUIRED),
    ['METADATA_UNKNOWN_REQUIRED'],
    'METADATA_UNKNOWN_REQUIRED',
  ],
  [
    'disk id missing',
    image => image.editItemEntry(4, { itemId: GUID, flags: 0 }),
    ['METADATA_MISSING'],
    'METADATA_MISSING',
  ],
  ['disk id of 8 bytes', image => image.editItemEntry(4, { length: 8 }), ['METADATA_ITEM_SIZE'], 'METADATA_ITEM_SIZE'],
  ['physical sector size not required', image => image.editItemEntry(3, { flags: 2 }), ['METADATA_FLAGS'], 'opens'],
  [
    'unfinished',
    image => image.addItem(INCOMPLETE_FILE, Buffer.alloc(0), IS_REQUIRED),
    ['FILE_INCOMPLETE'],
    'FILE_INCOMPLETE',
  ],
  ...[0, 1, 3 * MiB, 2 ** 19, 512 * MiB].map(
    blockSize =>
      [
        `block size ${blockSize}`,
        image => image.edit(fileParameters, ITEMS_AT, { blockSize }),
        ['BLOCK_SIZE'],
        'BLOCK_SIZE',
      ] satisfies Case,
  ),
  ...[0, 513, 2 ** 46 + 512].map(
    size =>
      [
        `disk of ${size} bytes`,
        image => image.edit(virtualDiskSize, ITEMS_AT + 8, { virtualDiskSize: size }),
        ['VIRTUAL_SIZE'],
        'VIRTUAL_SIZE',
      ] satisfies Case,
  ),
  [
    'disk above 2^53',
    image => image.content.fill(255, ITEMS_AT + 8, ITEMS_AT + 16),
    ['NUMBER_TOO_LARGE'],
    'NUMBER_TOO_LARGE',
  ],
  [
    'sectors of 520',
    image => image.edit(logicalSectorSize, ITEMS_AT + 16, { logicalSectorSize: 520 }),
    ['SECTOR_SIZE'],
    'SECTOR_SIZE',
  ],
  [
    'physical sectors of 520',
    image => image.edit(physicalSectorSize, ITEMS_AT + 20, { physicalSectorSize: 520 }),
    ['SECTOR_SIZE'],
    'SECTOR_SIZE',
  ],
  [
    'sectors of 4096 on 512',
    image => {
      image.edit(logicalSectorSize, ITEMS_AT + 16, { logicalSectorSize: 4096 })
      image.edit(physicalSectorSize, ITEMS_AT + 20, { physicalSectorSize: 512 })
    },
    ['SECTOR_SIZE_MIX'],
    'opens',
  ],
]

/** What follows when no item can be found. */
function five(): RuleCode[] {
  return new Array(5).fill('METADATA_MISSING')
}

const PARENTS: readonly Case[] = [
  ['a child', image => image.makeChild(PARENT), ['PARENT_NOT_OPENED'], 'PARENT_NOT_OPENED'],
  [
    'linkage in upper case',
    image => image.makeChild({ ...PARENT, parent_linkage: `{${GUID.toUpperCase()}}` }),
    ['PARENT_NOT_OPENED'],
    'PARENT_NOT_OPENED',
  ],
  [
    'no locator',
    image => image.content.writeUInt32LE(2, ITEMS_AT + 4),
    ['PARENT_LOCATOR_MISSING', 'PARENT_NOT_OPENED'],
    'PARENT_LOCATOR_MISSING',
  ],
  [
    'other type',
    image => image.makeChild(PARENT, GUID),
    ['PARENT_LOCATOR_TYPE', 'PARENT_NOT_OPENED'],
    'PARENT_LOCATOR_TYPE',
  ],
  [
    'more entries than room',
    image => {
      image.makeChild(PARENT)
      image.content.writeUInt16LE(200, METADATA_AT + 0x25000 + 18)
    },
    ['PARENT_LOCATOR_ENTRY', 'PARENT_NOT_OPENED'],
    'PARENT_LOCATOR_ENTRY',
  ],
  [
    'value outside',
    image => {
      image.makeChild({ ...PARENT, volume_path: 'x' })
      image.content.writeUInt32LE(0xfffffff0, METADATA_AT + 0x25000 + 20 + 2 * 12 + 4)
    },
    ['PARENT_LOCATOR_ENTRY', 'PARENT_NOT_OPENED'],
    'PARENT_LOCATOR_ENTRY',
  ],
  [
    'NUL in a path',
    image => image.makeChild({ ...PARENT, volume_path: 'x\0y' }),
    ['PARENT_LOCATOR_ENTRY', 'PARENT_NOT_OPENED'],
    'PARENT_LOCATOR_ENTRY',
  ],
  [
    'no linkage',
    image => image.makeChild({ relative_path: 'x' }),
    ['PARENT_LINKAGE', 'PARENT_NOT_OPENED'],
    'PARENT_LINKAGE',
  ],
  [
    'linkage without braces',
    image => image.makeChild({ ...PARENT, parent_linkage: GUID }),
    ['PARENT_LINKAGE', 'PARENT_NOT_OPENED'],
    'PARENT_LINKAGE',
  ],
  [
    'second linkage',
    image => image.makeChild({ ...PARENT, parent_linkage2: `{${GUID}}` }),
    ['PARENT_LINKAGE2', 'PARENT_NOT_OPENED'],
    'PARENT_NOT_OPENED',
  ],
  [
    'no path',
    image => image.makeChild({ parent_linkage: `{${GUID}}` }),
    ['PARENT_PATHS', 'PARENT_NOT_OPENED'],
    'PARENT_PATHS',
  ],
  [
    'partial block with bitmap',
    image => {
      image.makeChild(PARENT)
      image.setBat(0, 7, 4)
      image.setBat(BITMAP, 6, 7)
      image.content = Buffer.concat([image.content, Buffer.alloc(MiB)])
    },
    ['PARENT_NOT_OPENED'],
    'PARENT_NOT_OPENED',
  ],
  [
    'partial block without bitmap',
    image => {
      image.makeChild(PARENT)
      image.setBat(0, 7, 4)
    },
    ['PARENT_NOT_OPENED', 'BAT_PARTIAL_NO_BITMAP'],
    'PARENT_NOT_OPENED',
  ],
  [
    'bitmap on a block',
    image => {
      image.makeChild(PARENT)
      image.setBat(BITMAP, 6, 4)
    },
    ['PARENT_NOT_OPENED', 'BAT_OVERLAP'],
    'PARENT_NOT_OPENED',
  ],
  [
    'bitmap in state 3',
    image => {
      image.makeChild(PARENT)
      image.setBat(BITMAP, 3)
    },
    ['PARENT_NOT_OPENED', 'BAT_BITMAP_STATE'],
    'PARENT_NOT_OPENED',
  ],
]

/** The base has blocks 0, 3 and 7 at MiB 4, 5 and 6. Whether reading the whole disk then fails stands behind 'opens'. */
const BATS: readonly Case[] = [
  [
    'undefined, unmapped, zero',
    image => {
      image.setBat(1, 1)
      image.setBat(2, 3)
      image.setBat(4, 2)
    },
    [],
    'opens',
  ],
  ['soft anchor', image => image.setBat(7, 3, 6), [], 'opens'],
  ['state 4', image => image.setBat(1, 4), ['BAT_STATE'], 'BAT_STATE'],
  ['state 5', image => image.setBat(1, 5), ['BAT_STATE'], 'BAT_STATE'],
  ['partial without parent', image => image.setBat(3, 7, 5), ['BAT_PARTIAL'], 'BAT_PARTIAL'],
  ['reserved bit', image => image.setBat(3, 6, 5, 1), ['BAT_RESERVED_BITS'], 'BAT_RESERVED_BITS'],
  ['reserved bit, not present', image => image.setBat(1, 0, 0, 0x10000), ['BAT_RESERVED_BITS'], 'BAT_RESERVED_BITS'],
  ['one place for two blocks', image => image.setBat(1, 6, 5), ['BAT_OVERLAP'], 'opens'],
  ['on the BAT', image => image.setBat(1, 6, 3), ['BAT_ON_STRUCTURE'], 'BAT_ON_STRUCTURE'],
  ['on the log', image => image.setBat(1, 6, 1), ['BAT_ON_STRUCTURE'], 'BAT_ON_STRUCTURE'],
  [
    'on an unknown region',
    image => {
      image.setRegionCount(3)
      image.editRegion(2, { guid: GUID, fileOffset: 7 * MiB, length: 2 * MiB, flags: 0 })
      image.setBat(1, 6, 8)
      grow(image, 2 * MiB)
    },
    ['BAT_ON_STRUCTURE'],
    'BAT_ON_STRUCTURE',
  ],
  ['present at 0', image => image.setBat(1, 6, 0), ['BAT_ON_STRUCTURE'], 'BAT_ON_STRUCTURE'],
  ['beyond the end', image => image.setBat(1, 6, 7), ['BAT_BEYOND_END'], 'BAT_BEYOND_END'],
  ['far beyond the end', image => image.setBat(1, 6, 2 ** 43), ['BAT_BEYOND_END'], 'BAT_BEYOND_END'],
  ['zero with a place', image => image.setBat(7, 2, 6), ['BAT_ZERO_WITH_PLACE', 'FILE_TRAILING_SPACE'], 'opens'],
  ['absent with a place', image => image.setBat(3, 0, 5), ['BAT_ABSENT_WITH_PLACE'], 'opens'],
  [
    'fixed with blocks missing',
    image => image.content.writeUInt32LE(LEAVE_BLOCKS_ALLOCATED, ITEMS_AT + 4),
    ['FIXED_NOT_ALLOCATED'],
    'opens',
  ],
  ['entries behind the table', image => image.setBat(8, 6, 5), [], 'opens'],
  [
    'bitmap present without parent',
    image => {
      image.edit(virtualDiskSize, ITEMS_AT + 8, { virtualDiskSize: 4097 * MiB })
      image.setBat(BITMAP, 6, 4)
    },
    ['BAT_BITMAP_PRESENT'],
    'opens',
  ],
]

const FILES: readonly Case[] = [
  ['clean', () => {}, [], 'opens'],
  [
    'last block cut by 4 KiB',
    image => cut(image, 7 * MiB - 4096),
    ['BAT_BEYOND_END', 'FILE_ODD_LENGTH'],
    'BAT_BEYOND_END',
  ],
  ['512 bytes more', image => grow(image, 512), ['FILE_ODD_LENGTH'], 'opens'],
  ['2 MiB more', image => grow(image, 2 * MiB), ['FILE_TRAILING_SPACE'], 'opens'],
]

function cut(image: TestImage, size: number): void {
  image.content = image.content.subarray(0, size)
}

function grow(image: TestImage, length: number): void {
  image.content = Buffer.concat([image.content, Buffer.alloc(length)])
}

/** Every case starts with an image of 8 MiB in blocks of 1 MiB, of which 0, 3 and 7 lie at MiB 4, 5 and 6. */
export const BROKEN_IMAGES: Readonly<Record<string, readonly Case[]>> = {
  headers: HEADERS,
  log: LOGS,
  regions: REGIONS,
  metadata: METADATA,
  parent: PARENTS,
  BAT: BATS,
  file: FILES,
}
