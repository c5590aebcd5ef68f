/** FAT12, FAT16 and FAT32 with long names, as mkfs.fat and mtools leave them. */
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { directoryEntry, extension16, extension32, infoSector, parameterBlock } from '../../../lib/fat/format.ts'
import { exerciseCopy } from '../exercise/copy.ts'
import { exerciseVolume } from '../exercise/volume.ts'
import { bytesPlace, structurePlace, tablePlace } from '../places.ts'
import { unpackSeed } from '../seeds/packed.ts'
import type { Place, Seed, Target } from '../target.ts'

const ENTRY = directoryEntry.size
const LONG_NAME = 0x0f
/** Entries of the table that seeds have in use. */
const LINKS = 120

export const fat: Target = {
  name: 'fat',
  load: async () => ([12, 16, 32] as const).map(seedOf),
  seal: sealLongNames,

  async exercise(content, observer) {
    await exerciseVolume(new MemoryDevice(content, { readOnly: true }), observer)
    await exerciseCopy(content, observer)
  },
}

function seedOf(width: 12 | 16 | 32): Seed {
  const content = unpackSeed(`fat${width}`)
  const { reservedSectors, fatSize16, fatCount, rootEntryCount } = parameterBlock.decode(content)
  const fatSize = fatSize16 || extension32.decode(content, 36).fatSize32
  const fats = Array.from({ length: fatCount }, (_, copy) => (reservedSectors + copy * fatSize) * 512)
  const root = (reservedSectors + fatCount * fatSize) * 512
  const places = [
    structurePlace(parameterBlock, 0),
    structurePlace(width === 32 ? extension32 : extension16, 36),
    ...fats.map(offset =>
      width === 12 ? bytesPlace('FAT', { offset, length: LINKS }) : tablePlace('FAT', offset, LINKS, width / 8),
    ),
    ...entryPlaces(content, root, width === 32 ? undefined : rootEntryCount),
  ]
  if (width === 32) places.push(structurePlace(infoSector, 512), structurePlace(parameterBlock, 6 * 512))
  return { name: `FAT${width}`, content, places }
}

/** Directory entries, in the root and in whatever clusters look like a directory. */
function entryPlaces(content: Buffer, root: number, rootEntries = 0): Place[] {
  const places: Place[] = []
  const isDirectory = (at: number) =>
    at < root + Math.max(rootEntries * ENTRY, 512) || content.toString('latin1', at, at + 2) === '. '
  for (let sector = root; sector < content.length; sector += 512) {
    if (!isDirectory(sector)) continue
    for (let at = sector; at < sector + 512; at += ENTRY) {
      if (content[at] === 0) continue
      const isLong = content[at + 11] === LONG_NAME
      places.push(isLong ? bytesPlace('long name', { offset: at, length: ENTRY }) : structurePlace(directoryEntry, at))
    }
  }
  return places
}

/** The checksum of the short name that each part of a long one holds. */
function sealLongNames(content: Buffer, seed: Seed): void {
  for (const { kind, offset } of seed.places) {
    if (kind !== 'long name' || offset + ENTRY > content.length) continue
    let short = offset
    while (short + ENTRY <= content.length && content[short + 11] === LONG_NAME) short += ENTRY
    if (short + ENTRY > content.length) continue
    let sum = 0
    for (const byte of content.subarray(short, short + 11)) sum = (((sum & 1) << 7) + (sum >>> 1) + byte) & 0xff
    content[offset + 13] = sum
  }
}
