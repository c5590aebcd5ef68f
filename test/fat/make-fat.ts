/** Small FAT volumes made from nothing, sound until a test breaks them. */
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import {
  directoryEntry,
  extension16,
  extension32,
  infoSector,
  longNameEntry,
  parameterBlock,
} from '../../lib/fat/format.ts'
import type { FatWidth } from '../../lib/fat/layout.ts'

const SECTOR = 512
const ROOT_ENTRIES = 512
const RESERVED = { 12: 1, 16: 1, 32: 8 } as const
const SECTORS_PER_CLUSTER = 2
const CLUSTERS = { 12: 1000, 16: 5000, 32: 5000 } as const
export const END = { 12: 0xfff, 16: 0xffff, 32: 0x0fffffff } as const

export interface MadeFat {
  readonly disk: MemoryDevice
  readonly width: FatWidth
  /** Offsets in bytes. */
  readonly fats: readonly [number, number]
  readonly dataOffset: number
  readonly rootOffset: number
  readonly clusterSize: number
  readonly clusterCount: number
  /** Puts `value` into entry `cluster`, of both copies unless told. */
  set(cluster: number, value: number, copies?: readonly number[]): void
  /** Puts an entry into slot `slot` of the root directory. */
  root(slot: number, name: string, attributes: number, cluster?: number): void
  clusterOffset(cluster: number): number
}

/** A volume with the label ROOT LABEL, folder SUB in cluster 3, a file in clusters 10 and 12; on FAT32 the root is cluster 2. */
export function makeFat(width: FatWidth): MadeFat {
  const clusterCount = CLUSTERS[width]
  const clusterSize = SECTOR * SECTORS_PER_CLUSTER
  const reservedSectors = RESERVED[width]
  const fatSize = Math.ceil(((clusterCount + 2) * width) / 8 / SECTOR)
  const fats = [reservedSectors, reservedSectors + fatSize].map(sector => sector * SECTOR) as [number, number]
  const rootSectors = width === 32 ? 0 : (ROOT_ENTRIES * 32) / SECTOR
  const dataOffset = fats[1] + (fatSize + rootSectors) * SECTOR
  const totalSectors = dataOffset / SECTOR + clusterCount * SECTORS_PER_CLUSTER
  const disk = new MemoryDevice(totalSectors * SECTOR)

  const sector = disk.content.subarray(0, SECTOR)
  parameterBlock.encode(
    {
      jump: Buffer.from([0xeb, 0x3c, 0x90]),
      oemName: Buffer.from('TEST 1.0'),
      bytesPerSector: SECTOR,
      sectorsPerCluster: SECTORS_PER_CLUSTER,
      reservedSectors,
      fatCount: 2,
      rootEntryCount: width === 32 ? 0 : ROOT_ENTRIES,
      totalSectors16: width === 12 ? totalSectors : 0,
      media: 0xf8,
      fatSize16: width === 32 ? 0 : fatSize,
      sectorsPerTrack: 63,
      heads: 255,
      hiddenSectors: 0,
      totalSectors32: width === 12 ? 0 : totalSectors,
    },
    sector,
  )
  const ofEither = {
    driveNumber: 0x80,
    state: 0,
    bootSignature: 0x29,
    volumeId: 1,
    label: Buffer.from('BOOT LABEL '),
    typeName: Buffer.from(`FAT${width}   `),
  }
  const only32 = { fatSize32: fatSize, flags: 0, version: 0, rootCluster: 2, infoSector: 1, backupSector: 6 }
  if (width === 32) extension32.encode({ ...only32, ...ofEither, reserved: undefined } as never, sector, 36)
  else extension16.encode(ofEither, sector, 36)
  sector.writeUInt16LE(0xaa55, 510)

  const clusterOffset = (cluster: number) => dataOffset + (cluster - 2) * clusterSize
  const rootOffset = width === 32 ? clusterOffset(2) : dataOffset - rootSectors * SECTOR
  const volume: MadeFat = {
    disk,
    width,
    fats,
    dataOffset,
    rootOffset,
    clusterSize,
    clusterCount,
    clusterOffset,
    set(cluster, value, copies = [0, 1]) {
      for (const copy of copies) {
        const fat = disk.content.subarray(fats[copy])
        if (width === 32) fat.writeUInt32LE(value, cluster * 4)
        else if (width === 16) fat.writeUInt16LE(value, cluster * 2)
        else {
          const at = cluster + (cluster >> 1)
          const pair = fat.readUInt16LE(at)
          fat.writeUInt16LE(cluster % 2 === 1 ? (pair & 0xf) | (value << 4) : (pair & 0xf000) | value, at)
        }
      }
    },
    root(slot, name, attributes, cluster = 0) {
      writeEntry(disk.content, rootOffset + slot * 32, name, attributes, cluster)
    },
  }
  volume.set(0, END[width] - 7)
  volume.set(1, END[width])
  if (width === 32) volume.set(2, END[32])
  volume.root(0, 'ROOT LABEL ', 0x08)
  volume.root(1, 'SUB        ', 0x10, 3)
  volume.set(3, END[width])
  writeEntry(disk.content, clusterOffset(3), '.          ', 0x10, 3)
  volume.root(2, 'FILE    BIN', 0x20, 10)
  volume.set(10, 12)
  volume.set(12, END[width])
  if (width === 32) {
    const free = { freeCount: clusterCount - 4, nextFree: 13 }
    infoSector.encode(free as never, disk.content, SECTOR)
    sector.copy(disk.content, 6 * SECTOR)
  }
  return volume
}

/** What `entries` makes an entry of. */
export interface MadeEntry {
  /** 11 characters, each one byte. */
  readonly short: string
  /** Parts of it go before the short entry. */
  readonly long?: string
  /** What the parts say of the short name, unless it is the truth. */
  readonly checksum?: number
  readonly attributes?: number
  readonly caseFlags?: number
  readonly cluster?: number
  readonly size?: number
  /** Date, time and hundredths of the creation; the two of the last change. */
  readonly created?: readonly [date: number, time: number, hundredths: number]
  readonly modified?: readonly [date: number, time: number]
}

/** The entries of a file, 32 bytes each: parts of its long name, then the short one. */
export function entries(entry: MadeEntry): Buffer {
  const { short, long, attributes = 0x20, caseFlags = 0, cluster = 0, size = 0 } = entry
  const [createdDate, createdTime, createdHundredths] = entry.created ?? [0, 0, 0]
  const [modifiedDate, modifiedTime] = entry.modified ?? [0, 0]
  const name = Buffer.from(short, 'latin1')
  const last = directoryEntry.toBuffer({
    name,
    attributes,
    caseFlags,
    createdHundredths,
    createdTime,
    createdDate,
    accessedDate: 0,
    firstClusterHigh: Math.floor(cluster / 65_536),
    modifiedTime,
    modifiedDate,
    firstClusterLow: cluster % 65_536,
    size,
  })
  return Buffer.concat([...longParts(long ?? '', entry.checksum ?? checksumOf(name)), last])
}

/** The parts of a long name, the last first. What is left of it is a zero, then 0xFF. */
export function longParts(long: string, checksum: number): Buffer[] {
  const count = Math.ceil(long.length / 13)
  const units = Buffer.alloc(count * 26, 0xff)
  units.write(`${long}${long.length % 13 === 0 ? '' : '\0'}`, 'utf16le')
  return Array.from({ length: count }, (_, part) => {
    const bytes = units.subarray(part * 26, (part + 1) * 26)
    return longNameEntry.toBuffer({
      order: part + 1 + (part === count - 1 ? 0x40 : 0),
      name1: bytes.subarray(0, 10),
      attributes: 0x0f,
      type: 0,
      checksum,
      name2: bytes.subarray(10, 22),
      firstCluster: 0,
      name3: bytes.subarray(22),
    })
  }).reverse()
}

export const checksumOf = (name: Buffer) =>
  name.reduce((sum, byte) => ((sum % 2) * 128 + Math.floor(sum / 2) + byte) % 256, 0)

function writeEntry(target: Buffer, at: number, short: string, attributes: number, cluster: number): void {
  entries({ short, attributes, cluster }).copy(target, at)
}
