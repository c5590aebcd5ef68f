/** Small exFAT volumes made from nothing, sound until a test breaks them. */
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import {
  bitmapEntry,
  bootSector,
  fileEntry,
  labelEntry,
  nameEntry,
  streamEntry,
  upcaseEntry,
} from '../../lib/exfat/format.ts'

const SECTOR = 512
const FAT_OFFSET = 128
const FAT_SECTORS = 8
const HEAP_OFFSET = 160
const SECTORS_PER_CLUSTER = 2
const CLUSTERS = 1000
const ROOT = 4
const END = 0xffffffff

export interface ExfatPlan {
  /** 2: with a second FAT and a second bitmap. */
  readonly fatCount?: 1 | 2
  readonly flags?: number
  /** Clusters of the (first) bitmap, which needs one. */
  readonly bitmapClusters?: readonly number[]
  readonly used?: readonly number[]
  readonly label?: string
  /** What follows in the root directory, which is one cluster of 32 entries. */
  readonly root?: readonly Buffer[]
  /** What the boot sector says instead of the truth. Checksums are made for it. */
  readonly sector?: Partial<Parameters<typeof bootSector.encode>[0]>
}

export const clusterSize = SECTOR * SECTORS_PER_CLUSTER
export const heapOffset = HEAP_OFFSET * SECTOR
export const clusterCount = CLUSTERS
export const clusterOffset = (cluster: number) => heapOffset + (cluster - 2) * clusterSize

/** Entry `cluster` of FAT `copy`. */
export const fatEntry = (cluster: number, copy = 0) => (FAT_OFFSET + copy * FAT_SECTORS) * SECTOR + cluster * 4

/** A volume of 1000 clusters of 1 KiB: the bitmap in cluster 2, a second one in 3, the root in 4. */
export function makeExfat(plan: ExfatPlan = {}): MemoryDevice {
  const { fatCount = 1, flags = 0, bitmapClusters = [2], used = [2, 4], label = 'Größe' } = plan
  const disk = new MemoryDevice((HEAP_OFFSET + CLUSTERS * SECTORS_PER_CLUSTER + 3) * SECTOR)
  const boot = Buffer.alloc(12 * SECTOR)
  bootSector.encode(
    {
      jump: Buffer.from([0xeb, 0x76, 0x90]),
      partitionOffset: 0n,
      volumeLength: disk.size / SECTOR,
      fatOffset: FAT_OFFSET,
      fatLength: FAT_SECTORS,
      heapOffset: HEAP_OFFSET,
      clusterCount: CLUSTERS,
      rootCluster: ROOT,
      serialNumber: 1,
      revision: 0x100,
      flags,
      bytesPerSectorShift: 9,
      sectorsPerClusterShift: 1,
      fatCount,
      driveSelect: 0x80,
      percentInUse: 0,
      bootCode: Buffer.alloc(390),
      ...plan.sector,
    } as Parameters<typeof bootSector.encode>[0],
    boot,
  )
  for (let sector = 1; sector <= 8; sector++) boot.writeUInt32LE(0xaa550000, sector * SECTOR + 508)
  putChecksum(boot)
  boot.copy(disk.content, 0)
  boot.copy(disk.content, 12 * SECTOR)

  const setFat = (cluster: number, next: number) => {
    for (let copy = 0; copy < fatCount; copy++) disk.content.writeUInt32LE(next, fatEntry(cluster, copy))
  }
  setFat(0, 0xfffffff8)
  setFat(1, END)
  setFat(ROOT, END)
  for (const [i, cluster] of bitmapClusters.entries()) setFat(cluster, bitmapClusters[i + 1] ?? END)
  if (fatCount === 2) setFat(3, END)

  const bitmap = disk.content.subarray(clusterOffset(bitmapClusters[0]!))
  for (const cluster of used) bitmap[(cluster - 2) >> 3]! |= 1 << ((cluster - 2) & 7)
  const root = disk.content.subarray(clusterOffset(ROOT), clusterOffset(ROOT + 1))
  const text = Buffer.alloc(22)
  text.write(label, 'utf16le')
  labelEntry.encode({ type: 0x83, length: label.length, label: text } as never, root, 0)
  const bitmapOf = (index: number, firstCluster: number) =>
    ({ type: 0x81, flags: index, firstCluster, dataLength: CLUSTERS / 8 }) as never
  bitmapEntry.encode(bitmapOf(0, bitmapClusters[0]!), root, 32)
  if (fatCount === 2) bitmapEntry.encode(bitmapOf(1, 3), root, 64)
  Buffer.concat([...(plan.root ?? [])]).copy(root, fatCount === 2 ? 96 : 64)
  return disk
}

/** The checksum of a boot region, in its twelfth sector. */
export function putChecksum(region: Buffer): void {
  let sum = 0n
  for (let i = 0; i < 11 * SECTOR; i++) {
    if (i !== 106 && i !== 107 && i !== 112)
      sum = ((sum & 1n) * 0x80000000n + (sum >> 1n) + BigInt(region[i]!)) & 0xffffffffn
  }
  for (let at = 11 * SECTOR; at < 12 * SECTOR; at += 4) region.writeUInt32LE(Number(sum), at)
}

/** The chain of `clusters`, in FAT `copy`. */
export function putChain(disk: MemoryDevice, clusters: readonly number[], copy = 0): void {
  for (const [i, cluster] of clusters.entries())
    disk.content.writeUInt32LE(clusters[i + 1] ?? END, fatEntry(cluster, copy))
}

/** What `entrySet` makes entries of. */
export interface MadeSet {
  readonly name: string
  readonly attributes?: number
  readonly cluster?: number
  readonly size?: number
  readonly valid?: number
  readonly contiguous?: boolean
  /** Date, time, hundredths and offset of the creation; other times have the same, but the access no hundredths. */
  readonly time?: readonly [date: number, time: number, hundredths: number, utcOffset: number]
  /** Entries that follow the name. */
  readonly others?: readonly Buffer[]
}

/** The entries of a file, 32 bytes each, with their checksum. */
export function entrySet(plan: MadeSet): Buffer {
  const { name, attributes = 0x20, cluster = 0, size = 0, valid = size, contiguous = false, others = [] } = plan
  const [date, clock, hundredths, utcOffset] = plan.time ?? [0, 0, 0, 0]
  const units = Buffer.alloc(Math.ceil(name.length / 15) * 30)
  units.write(name, 'utf16le')
  const stream = {
    type: 0xc0,
    flags: contiguous ? 3 : 1,
    nameLength: name.length,
    nameHash: nameHash(name.toUpperCase()),
    validDataLength: valid,
    firstCluster: cluster,
    dataLength: size,
  }
  const secondaries = [
    streamEntry.toBuffer(stream as never),
    ...Array.from({ length: units.length / 30 }, (_, i) =>
      nameEntry.toBuffer({ type: 0xc1, flags: 0, name: units.subarray(i * 30, i * 30 + 30) }),
    ),
    ...others,
  ]
  const file = {
    type: 0x85,
    secondaryCount: secondaries.length,
    setChecksum: 0,
    attributes,
    createdTime: clock,
    createdDate: date,
    modifiedTime: clock,
    modifiedDate: date,
    accessedTime: clock,
    accessedDate: date,
    createdHundredths: hundredths,
    modifiedHundredths: hundredths,
    createdUtcOffset: utcOffset,
    modifiedUtcOffset: utcOffset,
    accessedUtcOffset: utcOffset,
  }
  return withSetChecksum(Buffer.concat([fileEntry.toBuffer(file as never), ...secondaries]))
}

/** `set` with the checksum that is right for it. */
export function withSetChecksum(set: Buffer): Buffer {
  const sum = rotateSum(
    [...set].filter((_, i) => i !== 2 && i !== 3),
    16,
  )
  set.writeUInt16LE(sum, 2)
  return set
}

const nameHash = (upperCase: string) => rotateSum([...Buffer.from(upperCase, 'utf16le')], 16)

/** Turned right by a bit before each byte is added. */
const rotateSum = (bytes: readonly number[], bits: number) =>
  bytes.reduce((sum, byte) => ((sum % 2) * 2 ** (bits - 1) + Math.floor(sum / 2) + byte) % 2 ** bits, 0)

/** The entry of the root directory for an up-case table `table` at `cluster`. */
export const upcaseEntryOf = (table: Buffer, cluster: number, checksum = rotateSum([...table], 32)) =>
  upcaseEntry.toBuffer({ type: 0x82, checksum, firstCluster: cluster, dataLength: table.length } as never)

/** ASCII as it must be, then `pairs` of letter and capital; all else is its own capital. */
export function upcaseTable(...pairs: readonly (readonly [string, string])[]): Buffer {
  const units: number[] = []
  for (let unit = 0; unit < 0x80; unit++) units.push(String.fromCharCode(unit).toUpperCase().charCodeAt(0))
  for (const [letter, capital] of pairs)
    units.push(0xffff, letter.charCodeAt(0) - lengthOf(units), capital.charCodeAt(0))
  units.push(0xffff, 0x10000 - lengthOf(units))
  return Buffer.from(Uint16Array.from(units).buffer)
}

/** How many letters the compressed `units` are for. */
function lengthOf(units: readonly number[]): number {
  let length = 0
  for (let i = 0; i < units.length; i++) length += units[i] === 0xffff ? units[++i]! : 1
  return length
}
