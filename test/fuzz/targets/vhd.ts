/** VHD: fixed, dynamic, and a child with the parent it has. */
import { KiB } from '../../../lib/binary/size.ts'
import { checksumWithout } from '../../../lib/vhd/checksum.ts'
import {
  BAT_ENTRY_SIZE,
  DIFFERENCING,
  DYNAMIC,
  dynamicHeader,
  FIXED,
  footer,
  parentLocator,
  SECTOR_SIZE,
} from '../../../lib/vhd/format.ts'
import type { VhdDevice } from '../../../lib/vhd/vhd-device.ts'
import { pattern } from '../../helpers/pattern.ts'
import { exerciseImage, openInMemory, PARENT } from '../exercise/image.ts'
import { bytesPlace, structurePlace, tablePlace } from '../places.ts'
import type { Place, Seed, Target } from '../target.ts'

const BLOCK_SIZE = 16 * KiB
const BLOCKS = 8
const SIZE = BLOCK_SIZE * BLOCKS
const HEADER_AT = SECTOR_SIZE
const BAT_AT = HEADER_AT + dynamicHeader.size
const LOCATOR_AT = BAT_AT + SECTOR_SIZE
const DATA_AT = LOCATOR_AT + SECTOR_SIZE
const NOWHERE = 2n ** 64n - 1n
const W2RU = 0x57327275
const ID = '01234567-89ab-cdef-0123-456789abcdef'
const PARENT_ID = 'fedcba98-7654-3210-fedc-ba9876543210'

/** The parent of the child, and the only image with that id. */
const parentSeed = dynamicSeed('parent', undefined, PARENT_ID)

export const vhd: Target = {
  name: 'vhd',
  bigEndian: true,
  load: async () => [fixedSeed(), dynamicSeed('dynamic'), dynamicSeed('differencing', `.\\${PARENT}`)],

  seal(content, { places }) {
    for (const { kind, offset, length } of places) {
      if (offset + length > content.length) continue
      if (kind === footer.name) sealStructure(content.subarray(offset, offset + length), footer.offsetOf('checksum'))
      if (kind === dynamicHeader.name)
        sealStructure(content.subarray(offset, offset + length), dynamicHeader.offsetOf('checksum'))
    }
  },

  async exercise(content, observer) {
    await observer.attempt(async () => {
      const image = await openInMemory(content, 'vhd', parentSeed.content)
      const disk = image.disk as VhdDevice
      observer.note(disk.type, disk.creator, disk.blockSize, disk.parentLink?.paths.join())
      observer.note(await observer.attempt(() => disk.allocatedBlocks()))
      await exerciseImage(image, observer)
    })
  },
}

function fixedSeed(): Seed {
  const size = 64 * KiB
  const content = Buffer.concat([pattern(size), footerOf(FIXED, size, NOWHERE)])
  return { name: 'fixed', content, places: [structurePlace(footer, size)] }
}

/** With `parentPath` a child, of which every other sector is the parent's. Blocks 0, 2 and 7 are in the file. */
function dynamicSeed(name: string, parentPath?: string, id = ID): Seed {
  const foot = footerOf(parentPath === undefined ? DYNAMIC : DIFFERENCING, SIZE, BigInt(HEADER_AT), id)
  const table = Buffer.alloc(SECTOR_SIZE, 0xff)
  const blocks = [0, 2, 7].map((block, i) => {
    table.writeUInt32BE((DATA_AT + i * (SECTOR_SIZE + BLOCK_SIZE)) / SECTOR_SIZE, block * BAT_ENTRY_SIZE)
    const bitmap = Buffer.alloc(SECTOR_SIZE, parentPath === undefined ? 0xff : 0xaa)
    return Buffer.concat([bitmap, pattern(BLOCK_SIZE, block * BLOCK_SIZE)])
  })
  const path = Buffer.from(parentPath ?? '', 'utf16le')
  const locator = Buffer.concat([path], SECTOR_SIZE)
  const content = Buffer.concat([foot, headerOf(path.length), table, locator, ...blocks, foot])
  const places: Place[] = [
    structurePlace(footer, 0),
    structurePlace(footer, content.length - SECTOR_SIZE),
    structurePlace(dynamicHeader, HEADER_AT),
    structurePlace(parentLocator, HEADER_AT + dynamicHeader.offsetOf('parentLocators')),
    bytesPlace('parent path', { offset: LOCATOR_AT, length: 64 }),
    tablePlace('BAT', BAT_AT, BLOCKS, BAT_ENTRY_SIZE),
    tablePlace('sector bitmap', DATA_AT, 4, 1),
  ]
  return { name, content, places }
}

function footerOf(diskType: number, size: number, dataOffset: bigint, id = ID): Buffer {
  const sector = footer.toBuffer({
    features: 2,
    version: 0x10000,
    dataOffset,
    timestamp: 500_000_000,
    creatorApplication: Buffer.from('fuzz'),
    creatorVersion: 0x10000,
    creatorHostOs: Buffer.from('Wi2k'),
    originalSize: BigInt(size),
    currentSize: size,
    cylinders: 1,
    heads: 4,
    sectorsPerTrack: 17,
    diskType,
    checksum: 0,
    uniqueId: id,
    savedState: 0,
  } as Parameters<typeof footer.toBuffer>[0])
  sealStructure(sector, footer.offsetOf('checksum'))
  return sector
}

function headerOf(pathLength: number): Buffer {
  const none = { platformCode: 0, dataSpace: 0, dataLength: 0, dataOffset: 0n }
  const locator = { platformCode: W2RU, dataSpace: SECTOR_SIZE, dataLength: pathLength, dataOffset: BigInt(LOCATOR_AT) }
  const header = dynamicHeader.toBuffer({
    dataOffset: NOWHERE,
    tableOffset: BAT_AT,
    version: 0x10000,
    maxTableEntries: BLOCKS,
    blockSize: BLOCK_SIZE,
    checksum: 0,
    parentUniqueId: PARENT_ID,
    parentTimestamp: 0,
    parentName: Buffer.alloc(512),
    parentLocators: [pathLength > 0 ? locator : none, ...Array(7).fill(none)],
  } as Parameters<typeof dynamicHeader.toBuffer>[0])
  sealStructure(header, dynamicHeader.offsetOf('checksum'))
  return header
}

function sealStructure(bytes: Buffer, checksumAt: number): void {
  bytes.writeUInt32BE(checksumWithout(bytes, checksumAt), checksumAt)
}
