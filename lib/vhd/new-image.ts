/** The bytes of a new image's structures. What order they are written in is the builder's business. */
import { NIL_GUID } from '../binary/guid.ts'
import { checksumWithout } from './checksum.ts'
import {
  DYNAMIC,
  dynamicHeader,
  EPOCH,
  FIXED,
  footer,
  NOWHERE,
  RESERVED_FEATURE,
  SECTOR_SIZE,
  VERSION,
} from './format.ts'
import { type DiskGeometry, geometryOf, LARGEST_GEOMETRY, sectorsOf } from './geometry.ts'
import type { VhdPlan } from './image-plan.ts'
import { TABLE_OFFSET } from './layout.ts'

/** The footer, and the copy of it that a dynamic image begins with. */
export function newFooter({ virtualSize, fixed, uniqueId }: VhdPlan, created: Date): Buffer {
  return sealed(footer, {
    features: RESERVED_FEATURE,
    version: VERSION,
    dataOffset: fixed ? NOWHERE : BigInt(footer.size),
    timestamp: Math.floor((created.getTime() - EPOCH) / 1000),
    creatorApplication: Buffer.from('vhdx'),
    creatorVersion: 0x1_0000,
    creatorHostOs: Buffer.from('Wi2k'),
    originalSize: BigInt(virtualSize),
    currentSize: virtualSize,
    ...tellableGeometry(virtualSize / SECTOR_SIZE),
    diskType: fixed ? FIXED : DYNAMIC,
    checksum: 0,
    uniqueId,
    savedState: 0,
  })
}

/** The header of a dynamic image. */
export function newDynamicHeader({ blockCount, blockSize }: { blockCount: number; blockSize: number }): Buffer {
  const none = { platformCode: 0, dataSpace: 0, dataLength: 0, dataOffset: 0n }
  return sealed(dynamicHeader, {
    dataOffset: NOWHERE,
    tableOffset: TABLE_OFFSET,
    version: VERSION,
    maxTableEntries: blockCount,
    blockSize,
    checksum: 0,
    parentUniqueId: NIL_GUID,
    parentTimestamp: 0,
    parentName: Buffer.alloc(512),
    parentLocators: Array.from({ length: 8 }, () => none),
  })
}

/** A geometry that leaves nothing out: qemu and others take its product for the size, but for the largest one. */
function tellableGeometry(sectorCount: number): DiskGeometry {
  const geometry = geometryOf(sectorCount)
  return sectorsOf(geometry) === sectorCount ? geometry : LARGEST_GEOMETRY
}

/** The bytes of a structure, with its checksum. */
function sealed<S extends { readonly checksum: number }>(
  structure: { toBuffer(value: S): Buffer; offsetOf(field: 'checksum'): number },
  value: S,
): Buffer {
  const bytes = structure.toBuffer(value)
  const at = structure.offsetOf('checksum')
  bytes.writeUInt32BE(checksumWithout(bytes, at), at)
  return bytes
}
