/** exFAT: contiguous and chained files, a folder, an up-case table, one FAT or two. */
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import {
  bitmapEntry,
  bootSector,
  fileEntry,
  labelEntry,
  nameEntry,
  streamEntry,
  upcaseEntry,
} from '../../../lib/exfat/format.ts'
import { clusterOffset, clusterSize, fatEntry, makeExfat, putChecksum } from '../../exfat/make-exfat.ts'
import { pattern } from '../../helpers/pattern.ts'
import { exerciseCopy } from '../exercise/copy.ts'
import { exerciseVolume } from '../exercise/volume.ts'
import { bytesPlace, structurePlace, tablePlace } from '../places.ts'
import type { Place, Seed, Target } from '../target.ts'

const ENTRY = 32
const END = 0xffff_ffff
const REGION = 12 * 512
const ROOT = 4
const UPCASE = 5
const FOLDER = 6
const FIRST_FREE = 7
const FILE = 0x85
const STREAM = 0xc0

/** What a file or a folder is made of. */
interface MadeFile {
  readonly name: string
  readonly attributes?: number
  readonly clusters: readonly number[]
  readonly size: number
  readonly validSize?: number
  /** Its clusters follow each other and the FAT says nothing of them. */
  readonly contiguous?: boolean
}

export const exfat: Target = {
  name: 'exfat',
  load: async () => [seedOf('one FAT', 1), seedOf('two FATs', 2)],

  seal(content, { places }) {
    for (const offset of [0, REGION]) {
      if (offset + REGION <= content.length) putChecksum(content.subarray(offset, offset + REGION))
    }
    for (const { kind, offset } of places) if (kind === fileEntry.name) sealSet(content, offset)
    sealUpcase(content)
  },

  async exercise(content, observer) {
    await exerciseVolume(new MemoryDevice(content, { readOnly: true }), observer)
    await exerciseCopy(content, observer)
  },
}

function seedOf(name: string, fatCount: 1 | 2): Seed {
  const files: MadeFile[] = [
    { name: 'contiguous file.bin', clusters: [7, 8, 9], size: 2900, contiguous: true },
    { name: 'chained', clusters: [10, 12, 11], size: 3000, validSize: 1500 },
    { name: 'empty', clusters: [], size: 0 },
    { name: 'Folder', attributes: 0x10, clusters: [FOLDER], size: clusterSize },
    { name: 'a name that takes more than a single entry for it', clusters: [13], size: 10 },
  ]
  const inFolder: MadeFile[] = [
    { name: 'inside.txt', clusters: [14], size: 700, contiguous: true },
    { name: 'Größe', clusters: [15, 16], size: 2048 },
  ]
  const used = [2, 3, ROOT, UPCASE, ...files.flatMap(file => file.clusters), ...inFolder.flatMap(file => file.clusters)]
  const volume = makeExfat({ fatCount, used, label: 'Fuzz' })
  const { content } = volume
  const places: Place[] = [
    structurePlace(bootSector, 0),
    structurePlace(bootSector, REGION),
    ...Array.from({ length: fatCount }, (_, copy) => tablePlace('FAT', fatEntry(0, copy), FIRST_FREE + 12, 4)),
    bytesPlace('bitmap', { offset: clusterOffset(2), length: 16 }),
    structurePlace(labelEntry, clusterOffset(ROOT)),
    structurePlace(bitmapEntry, clusterOffset(ROOT) + ENTRY),
  ]
  const rootFiles = clusterOffset(ROOT) + (fatCount + 2) * ENTRY
  places.push(...putUpcase(volume, rootFiles - ENTRY))
  putFiles(volume, fatCount, rootFiles, files, places)
  putFiles(volume, fatCount, clusterOffset(FOLDER), inFolder, places)
  const guarded = [0, REGION].map(offset => ({ offset, length: 11 * 512 }))
  return { name, content, places, guarded }
}

/** A table that knows the letters a to z, and its entry at `at`. */
function putUpcase({ content }: MemoryDevice, at: number): Place[] {
  const units = [0xffff, 0x61, ...Array.from({ length: 26 }, (_, i) => 0x41 + i), 0xffff, 0x10000 - 0x7b]
  const table = Buffer.alloc(units.length * 2)
  for (const [i, unit] of units.entries()) table.writeUInt16LE(unit, i * 2)
  table.copy(content, clusterOffset(UPCASE))
  const entry = { type: 0x82, checksum: 0, firstCluster: UPCASE, dataLength: table.length }
  upcaseEntry.encode(entry as Parameters<typeof upcaseEntry.encode>[0], content, at)
  content.writeUInt32LE(END, fatEntry(UPCASE))
  sealUpcase(content)
  return [structurePlace(upcaseEntry, at), tablePlace('up-case table', clusterOffset(UPCASE), units.length, 2)]
}

/** Sets of entries from byte `at` on, clusters with content, and chains. */
function putFiles(
  volume: MemoryDevice,
  fatCount: number,
  at: number,
  files: readonly MadeFile[],
  places: Place[],
): void {
  const { content } = volume
  for (const file of files) {
    for (const [i, cluster] of file.clusters.entries()) {
      if (file.attributes === undefined) pattern(clusterSize, cluster * 999).copy(content, clusterOffset(cluster))
      if (file.contiguous) continue
      for (let copy = 0; copy < fatCount; copy++)
        content.writeUInt32LE(file.clusters[i + 1] ?? END, fatEntry(cluster, copy))
    }
    const set = setOf(file)
    set.copy(content, at)
    places.push(structurePlace(fileEntry, at), structurePlace(streamEntry, at + ENTRY))
    for (let name = 2 * ENTRY; name < set.length; name += ENTRY) places.push(structurePlace(nameEntry, at + name))
    sealSet(content, at)
    at += set.length
  }
}

function setOf({ name, attributes = 0x20, clusters, size, validSize = size, contiguous = false }: MadeFile): Buffer {
  const nameEntries = Math.ceil(name.length / 15)
  const set = Buffer.alloc((2 + nameEntries) * ENTRY)
  set[0] = FILE
  set[1] = 1 + nameEntries
  set.writeUInt16LE(attributes, 4)
  const stream = {
    type: STREAM,
    flags: contiguous ? 3 : 1,
    nameLength: name.length,
    nameHash: nameHash(name),
    validDataLength: validSize,
    firstCluster: clusters[0] ?? 0,
    dataLength: size,
  }
  streamEntry.encode(stream as Parameters<typeof streamEntry.encode>[0], set, ENTRY)
  for (let i = 0; i < nameEntries; i++) {
    const at = (2 + i) * ENTRY
    set[at] = 0xc1
    set.write(name.slice(i * 15, (i + 1) * 15), at + 2, 'utf16le')
  }
  return set
}

/** 6.3.3: over all entries of the set but the checksum itself. */
function sealSet(content: Buffer, at: number): void {
  if (content[at] !== FILE || at + ENTRY > content.length) return
  const end = at + (content[at + 1]! + 1) * ENTRY
  let sum = 0
  for (let i = at; i < Math.min(end, content.length); i++)
    if (i !== at + 2 && i !== at + 3) sum = rotated16(sum, content[i]!)
  content.writeUInt16LE(sum, at + 2)
}

/** 7.6.4: over the name in upper case. */
const nameHash = (name: string) =>
  Buffer.from(
    name.replace(/[a-z]/g, letter => letter.toUpperCase()),
    'utf16le',
  ).reduce(rotated16, 0)

const rotated16 = (sum: number, byte: number) => ((sum << 15) + (sum >>> 1) + byte) & 0xffff

/** 7.2.2: over the table, of the length that its entry says where that much is there. */
function sealUpcase(content: Buffer): void {
  for (let at = clusterOffset(ROOT); at < clusterOffset(ROOT + 1) && at + ENTRY <= content.length; at += ENTRY) {
    if (content[at] !== 0x82) continue
    const length = Number(content.readBigUInt64LE(at + 24))
    if (length > clusterSize) return
    let sum = 0
    for (const byte of content.subarray(clusterOffset(UPCASE), clusterOffset(UPCASE) + length)) {
      sum = ((sum << 31) + (sum >>> 1) + byte) >>> 0
    }
    content.writeUInt32LE(sum, at + 4)
  }
}
