/** Cylinders, heads and sectors, as the footer tells them to an old BIOS, spec-notes/vhd.md, "Disk geometry". */

/** What the footer says beside the disk's size. */
export interface DiskGeometry {
  readonly cylinders: number
  readonly heads: number
  readonly sectorsPerTrack: number
}

/** The most there is, 127 GiB: readers that else go by the geometry take it to say nothing, and go by the size. */
export const LARGEST_GEOMETRY: DiskGeometry = { cylinders: 65_535, heads: 16, sectorsPerTrack: 255 }

/** Disks of this many sectors or more count in tracks of 255. */
const LARGE = 65_535 * 16 * 63

export const sectorsOf = ({ cylinders, heads, sectorsPerTrack }: DiskGeometry) => cylinders * heads * sectorsPerTrack

/** The geometry of a disk of `sectorCount` sectors, of which it leaves out the last ones that fill no cylinder. */
export function geometryOf(sectorCount: number): DiskGeometry {
  const sectors = Math.min(sectorCount, sectorsOf(LARGEST_GEOMETRY))
  if (sectors >= LARGE) return inCylinders(sectors, 16, 255)
  const tracks = Math.floor(sectors / 17)
  const heads = Math.max(4, Math.ceil(tracks / 1024))
  if (heads <= 16 && tracks < heads * 1024) return inCylinders(sectors, heads, 17)
  return Math.floor(sectors / 31) < 16 * 1024 ? inCylinders(sectors, 16, 31) : inCylinders(sectors, 16, 63)
}

const inCylinders = (sectors: number, heads: number, sectorsPerTrack: number): DiskGeometry => ({
  cylinders: Math.floor(Math.floor(sectors / sectorsPerTrack) / heads),
  heads,
  sectorsPerTrack,
})
