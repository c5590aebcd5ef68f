/**
 * Size and sectors of a raw disk or volume on Windows. Node reaches no device control there, and `stat` fails, so both
 * are found by reading: what the device answers to reads of single sectors decides, what the disk says of itself only
 * says where to begin.
 */
import { StorageError } from '../errors.ts'
import { gptHeaderStart, mbr, ntfsBootSectorStart } from './format.ts'
import { type Medium, SectorMedium } from './medium.ts'
import { attemptFailed } from './storage-error.ts'
import type { WindowsName } from './windows-path.ts'

/** 512 TiB of the smallest sectors: eight times what a VHDX can hold, and offsets still exact with the largest. */
const SECTOR_LIMIT = 2 ** 40

interface RawDevice {
  readonly medium: Medium
  readonly size: number
  readonly sectorSize: number
}

/**
 * How to use the open `device`, which takes whole sectors. `known` is what the caller knows better.
 *
 * The sector size is that of the smallest read the device takes. The size of a disk is found by `probeSize`, which
 * starts from the end of the partition table. So is the size of a volume, unless it is NTFS: then its boot sector
 * counts, because Windows ends a volume where the file system ends, one sector before the backup boot sector. When that
 * last sector cannot be read it reads as what it is, a copy of the first.
 */
export async function openWindowsRaw(
  device: Medium,
  kind: WindowsName['kind'],
  path: string,
  known: { readonly size?: number | undefined; readonly sectorSize?: number | undefined },
): Promise<RawDevice> {
  const sectorSize = known.sectorSize ?? (await probeSectorSize(device))
  const sectors = new SectorMedium(device, sectorSize)
  const canRead = async (sector: number) => readable(device, sector * sectorSize, sectorSize)
  const found = (medium: Medium, size: number) => ({ medium, size: known.size ?? size, sectorSize })

  // A bad first sector leaves the rest of the disk worth reading.
  const first = await tryRead(device, 0, sectorSize)
  if (kind === 'volume' && first !== undefined && ntfsBootSectorStart.matches(first)) {
    const { bytesPerSector, totalSectors } = ntfsBootSectorStart.decode(first)
    const count = Number(totalSectors)
    if (bytesPerSector === sectorSize && count > 0 && count < SECTOR_LIMIT && (await canRead(count - 1))) {
      const end = count * sectorSize
      const shown = (await canRead(count)) ? device : new BackupBootSector(device, end, sectorSize, path)
      return found(new SectorMedium(shown, sectorSize), end + sectorSize)
    }
  }
  if (known.size !== undefined) return found(sectors, known.size)
  const hint = partitionTableEnd(first, await tryRead(device, sectorSize, sectorSize))
  return found(sectors, (await probeSize(canRead, hint, path)) * sectorSize)
}

/** 512 when the device takes a read of 512 bytes that is not aligned to 4096, else 4096. */
async function probeSectorSize(device: Medium): Promise<number> {
  return (await readable(device, 512, 512)) ? 512 : 4096
}

/** Whether there is a sector at `offset`: one that is there but bad counts. */
async function readable(device: Medium, offset: number, length: number): Promise<boolean> {
  try {
    await device.read(offset, Buffer.alloc(length))
    return true
  } catch (error) {
    if (error instanceof StorageError) return error.code === 'READ_ERROR'
    throw error
  }
}

async function tryRead(device: Medium, offset: number, length: number): Promise<Buffer | undefined> {
  const target = Buffer.alloc(length)
  try {
    await device.read(offset, target)
    return target
  } catch (error) {
    if (error instanceof StorageError) return undefined
    throw error
  }
}

/**
 * The sector after the last that the partition table in the first two sectors knows of, 0 when there is none.
 * No more than a hint: tables can be wrong.
 */
function partitionTableEnd(first: Buffer | undefined, second: Buffer | undefined): number {
  if (second !== undefined && gptHeaderStart.matches(second)) {
    return Number(gptHeaderStart.decode(second).alternateLba) + 1
  }
  if (first === undefined || !mbr.matches(first)) return 0
  return Math.max(...mbr.decode(first).partitions.map(({ startingLba, sizeInLba }) => startingLba + sizeInLba))
}

/**
 * How many sectors there are, by a binary search for the last that `canRead`. Two reads when `hint` is right, some
 * eighty for the largest disk when it is not. Throws StorageError (NO_SIZE) when not even the first can be read, or
 * when there is no end.
 */
export async function probeSize(
  canRead: (sector: number) => Promise<boolean>,
  hint: number,
  path: string,
): Promise<number> {
  let [present, absent] = [0, SECTOR_LIMIT]
  const probe = async (sector: number) => {
    if (await canRead(sector)) present = sector + 1
    else absent = sector
  }
  if (hint > 0 && hint < SECTOR_LIMIT) await probe(hint - 1)
  for (let step = 1; absent === SECTOR_LIMIT && present < SECTOR_LIMIT; step *= 2)
    await probe(Math.min(present + step, SECTOR_LIMIT) - 1)
  while (present < absent) await probe(Math.floor((present + absent) / 2))
  if (present > 0 && present < SECTOR_LIMIT) return present
  throw attemptFailed(
    'NO_SIZE',
    { verb: 'examine', path },
    'its size could not be found by reading it. Give the size in bytes',
  )
}

/** A volume whose last sector, at `position`, Windows does not let out. Behind that there is nothing. */
class BackupBootSector implements Medium {
  readonly #base: Medium
  readonly #position: number
  readonly #sectorSize: number
  readonly #path: string

  constructor(base: Medium, position: number, sectorSize: number, path: string) {
    this.#base = base
    this.#position = position
    this.#sectorSize = sectorSize
    this.#path = path
  }

  async read(offset: number, target: Buffer): Promise<void> {
    const { length } = target
    const end = this.#position + this.#sectorSize
    if (offset + length > end) {
      const attempt = { verb: 'read', path: this.#path, position: offset, length } as const
      throw attemptFailed('SHORT_READ', attempt, `the volume ends at byte ${end}. Give its size as that, or none`)
    }
    const before = Math.min(Math.max(this.#position - offset, 0), length)
    if (before > 0) await this.#base.read(offset, target.subarray(0, before))
    if (before < length) await this.#base.read(offset + before - this.#position, target.subarray(before))
  }

  write(offset: number, source: Buffer): Promise<void> {
    return this.#base.write(offset, source)
  }
}
