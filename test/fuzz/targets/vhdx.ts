/** VHDX: dynamic and fixed, with sectors of both sizes, with items of users, with a log to replay, and a child of a parent. */

import { crc32cWithout } from '../../../lib/binary/crc32c.ts'
import { KiB, MiB } from '../../../lib/binary/size.ts'
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { UnsupportedError } from '../../../lib/errors.ts'
import { mapBlocks } from '../../../lib/vhdx/block-map.ts'
import { checkVhdx } from '../../../lib/vhdx/check.ts'
import {
  BITMAP_PRESENT,
  dataSector,
  fileIdentifier,
  HEADER_POSITIONS,
  HEADER_SIZE,
  header,
  LOG_DESCRIPTOR_SIZE,
  LOG_SECTOR_SIZE,
  logEntryHeader,
  metadataEntry,
  metadataTableHeader,
  PARTIALLY_PRESENT,
  REGION_TABLE_POSITIONS,
  REGION_TABLE_SIZE,
  regionEntry,
  regionTableHeader,
  zeroDescriptor,
} from '../../../lib/vhdx/format.ts'
import type { VhdxOptions } from '../../../lib/vhdx/image-plan.ts'
import { inspectVhdx } from '../../../lib/vhdx/inspect.ts'
import type { VhdxDevice } from '../../../lib/vhdx/vhdx-device.ts'
import { pattern } from '../../helpers/pattern.ts'
import { LOG_GUID, logEntry, putInLog } from '../../vhdx/log-entries.ts'
import { BAT_AT, LOG_AT, METADATA_AT, TestImage } from '../../vhdx/test-image.ts'
import { exerciseImage, openInMemory, PARENT } from '../exercise/image.ts'
import type { Observer } from '../observer.ts'
import { bytesPlace, structurePlace, tablePlace } from '../places.ts'
import type { Place, Seed, Target } from '../target.ts'

const ITEM = '11112222-3333-4444-5555-666677778888'
const PARENT_ID = '99998888-7777-6666-5555-444433332222'
const DISK_ID = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'
const SMALL = { virtualSize: 8 * MiB, blockSize: MiB, virtualDiskId: DISK_ID, creator: 'fuzz' }
/** Blocks to a sector bitmap. */
const CHUNK_RATIO = 4096
/** Longer than any log a seed has. */
const MAX_LOG_ENTRY = 64 * KiB

export const vhdx: Target = {
  name: 'vhdx',

  load: async () => [
    await seedOf('dynamic', SMALL, [0, 3]),
    await seedOf('fixed', { ...SMALL, virtualSize: 3 * MiB, fixed: true }, [0, 1, 2]),
    await seedOf('4Kn', { ...SMALL, logicalSectorSize: 4096, physicalSectorSize: 4096 }, [1]),
    await seedOf('user metadata', SMALL, [7], image => image.addItem(ITEM, pattern(3000), 1)),
    await seedOf('dirty log', SMALL, [0, 3], writeLog),
    await seedOf('differencing', SMALL, [0, 3], makeChild),
    await seedOf('log that wraps', SMALL, [2], image => writeLog(image, MiB - 2 * LOG_SECTOR_SIZE)),
  ],

  seal(content) {
    for (const position of HEADER_POSITIONS) sealAt(content, position, HEADER_SIZE)
    for (const position of REGION_TABLE_POSITIONS) sealAt(content, position, REGION_TABLE_SIZE)
    sealLog(content)
  },

  async exercise(content, observer) {
    const file = new MemoryDevice(content, { readOnly: true })
    const inspection = await observer.attempt(() => inspectVhdx(file, { batEntries: { first: 0, count: 64 } }))
    observer.claim(inspection === undefined || inspection.structures.length > 0, 'nothing is inspected')
    const check = await observer.attempt(() => checkVhdx(file))
    observer.claim(check !== undefined, 'a file in memory cannot be checked')
    observer.findings(check!.problems)
    await observer.attempt(async () => {
      const image = await openInMemory(content, 'vhdx', await parentImage).catch(error => {
        const isTold =
          check!.summary.errors > 0 || error instanceof UnsupportedError || /^(PARENT|CHAIN)_/.test(error.code)
        observer.claim(isTold, `check finds no error, and opening says: ${error.message}`)
        throw error
      })
      await exerciseDetails(image.disk as VhdxDevice, observer)
      await exerciseImage(image, observer)
    })
  },
}

/** What children of it are based on. */
export const parentImage = TestImage.make({ ...SMALL, virtualDiskId: ITEM }, [0, 1, 5]).then(image => {
  image.editHeaders({ dataWriteGuid: PARENT_ID })
  return image.content
})

async function exerciseDetails(disk: VhdxDevice, observer: Observer): Promise<void> {
  observer.note(disk.creator, disk.metadata.virtualDiskId)
  observer.note(await observer.attempt(() => disk.userMetadata(ITEM)))
  observer.note(await observer.attempt(() => disk.allocatedBlocks()))
  const map = await observer.attempt(() => mapBlocks(disk, 64))
  observer.claim(map?.cells.every(share => share >= 0 && share <= 1) ?? true, `shares of blocks are ${map?.cells}`)
}

async function seedOf(
  name: string,
  options: VhdxOptions,
  blocks: readonly number[],
  change: (image: TestImage) => void = () => {},
): Promise<Seed> {
  const image = await TestImage.make(options, blocks)
  // The builder picks these by chance.
  image.editHeaders({ fileWriteGuid: ITEM, dataWriteGuid: DISK_ID })
  change(image)
  const guarded = [
    ...HEADER_POSITIONS.map(offset => ({ offset, length: HEADER_SIZE })),
    ...REGION_TABLE_POSITIONS.map(offset => ({ offset, length: REGION_TABLE_SIZE })),
  ]
  return { name, content: image.content, places: placesOf(image.content), guarded }
}

/** Block 0 is whole; of block 3, every other sector is the parent's, by the sector bitmap behind all blocks. */
function makeChild(image: TestImage): void {
  image.makeChild({
    parent_linkage: `{${PARENT_ID}}`,
    relative_path: `.\\${PARENT}`,
    absolute_win32_path: `C:\\${PARENT}`,
  })
  const end = image.content.length
  const bitmap = Buffer.alloc(MiB, 0)
  bitmap.fill(0x55, 0, (4 * MiB) / 512 / 8)
  image.content = Buffer.concat([image.content, bitmap])
  image.setBat(CHUNK_RATIO, BITMAP_PRESENT, end / MiB)
  image.setBat(3, PARTIALLY_PRESENT, 5)
}

/** Three entries from byte `start` of the log: sectors, a zeroed range, and nothing at all. */
function writeLog(image: TestImage, start = 0): void {
  const bytes = pattern(LOG_SECTOR_SIZE, 99)
  const entries = [
    { data: [{ fileOffset: BAT_AT, bytes: Buffer.from(image.content.subarray(BAT_AT, BAT_AT + LOG_SECTOR_SIZE)) }] },
    { data: [{ fileOffset: 4 * MiB, bytes }], zeros: [{ fileOffset: 4 * MiB + 64 * KiB, zeroLength: 128 * KiB }] },
    {},
  ]
  let offset = start
  for (const [i, entry] of entries.entries()) {
    const written = logEntry({
      sequenceNumber: BigInt(i + 7),
      tail: start,
      flushedFileOffset: image.content.length,
      ...entry,
    })
    putInLog(image, offset % MiB, written)
    offset += written.length
  }
  image.editHeaders({ logGuid: LOG_GUID })
}

function placesOf(content: Buffer): Place[] {
  const itemCount = metadataTableHeader.decode(content, METADATA_AT).entryCount
  const items = Array.from(
    { length: itemCount },
    (_, i) => METADATA_AT + metadataTableHeader.size + i * metadataEntry.size,
  )
  return [
    structurePlace(fileIdentifier, 0),
    ...HEADER_POSITIONS.map(position => structurePlace(header, position)),
    ...REGION_TABLE_POSITIONS.flatMap(position => [
      structurePlace(regionTableHeader, position),
      ...[0, 1, 2].map(i => structurePlace(regionEntry, position + regionTableHeader.size + i * regionEntry.size)),
    ]),
    ...logEntriesIn(content).flatMap(position => logPlaces(content, position)),
    structurePlace(metadataTableHeader, METADATA_AT),
    ...items.map(position => structurePlace(metadataEntry, position)),
    ...items.map(position => {
      const { offset, length } = metadataEntry.decode(content, position)
      return itemPlace(METADATA_AT + offset, length)
    }),
    tablePlace('BAT', BAT_AT, 10, 8),
    tablePlace('BAT', BAT_AT + CHUNK_RATIO * 8, 1, 8),
    bytesPlace('block', { offset: 4 * MiB, length: 4096 }),
    bytesPlace('last block', { offset: content.length - MiB, length: 1024 }),
  ]
}

const itemPlace = (offset: number, length: number) =>
  length % 4 === 0 && length <= 16
    ? tablePlace('metadata item', offset, length / 4, 4)
    : bytesPlace('metadata data', { offset, length })

/** Where in the file entries of the log begin. */
function logEntriesIn(content: Buffer): number[] {
  const positions: number[] = []
  for (let at = LOG_AT; at < Math.min(LOG_AT + MiB, content.length - LOG_SECTOR_SIZE); at += LOG_SECTOR_SIZE) {
    if (content.toString('latin1', at, at + 4) === 'loge') positions.push(at)
  }
  return positions
}

function logPlaces(content: Buffer, position: number): Place[] {
  const descriptors = [0, 1].map(i => position + logEntryHeader.size + i * LOG_DESCRIPTOR_SIZE)
  const sector = position + LOG_SECTOR_SIZE
  return [
    structurePlace(logEntryHeader, position),
    ...descriptors.map(at => structurePlace(zeroDescriptor, at)),
    ...(content.toString('latin1', sector, sector + 4) === 'data' ? [structurePlace(dataSector, sector)] : []),
  ]
}

function sealAt(content: Buffer, position: number, length: number): void {
  if (position + length > content.length) return
  const bytes = content.subarray(position, position + length)
  bytes.writeUInt32LE(crc32cWithout(bytes, 4), 4)
}

/** Entries of a credible length; they may go on at the start of the log. */
function sealLog(content: Buffer): void {
  for (const position of logEntriesIn(content)) {
    const length = content.readUInt32LE(position + 8)
    if (length < logEntryHeader.size || length > MAX_LOG_ENTRY || content.length < LOG_AT + MiB) continue
    const first = content.subarray(position, Math.min(position + length, LOG_AT + MiB))
    const entry = Buffer.concat([first, content.subarray(LOG_AT, LOG_AT + length - first.length)])
    content.writeUInt32LE(crc32cWithout(entry, 4), position + 4)
  }
}
