/** The first bytes of a volume, by which it is recognised, also where some of their sectors cannot be read. */
import type { BlockDevice } from '../device/block-device.ts'
import { normalizeRanges, type Range, totalLength } from '../device/ranges.ts'
import { tryRead } from '../device/try-read.ts'
import { hex } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { VOLUME_HEAD_LENGTH } from './probe.ts'

export interface VolumeHead {
  /** Zeros where they cannot be read. */
  readonly bytes: Buffer
  /** In order, merged. */
  readonly unreadable: readonly Range[]
}

/** Reads the head by one request or, when that fails, sector by sector. Throws StorageError (DEVICE_GONE). */
export async function readVolumeHead(device: BlockDevice): Promise<VolumeHead> {
  const bytes = Buffer.alloc(Math.min(VOLUME_HEAD_LENGTH, device.size))
  if ((await tryRead(device, 0, bytes)) === undefined) return { bytes, unreadable: [] }
  const unreadable: Range[] = []
  for (let offset = 0; offset < bytes.length; offset += device.sectorSize) {
    const sector = bytes.subarray(offset, offset + device.sectorSize)
    if (await tryRead(device, offset, sector)) unreadable.push({ offset, length: sector.length })
  }
  return { bytes, unreadable: normalizeRanges(unreadable) }
}

/** What a user should know of a head with unreadable sectors. */
export function headFindings({ bytes, unreadable }: VolumeHead): Finding[] {
  const [first] = unreadable
  if (first === undefined) return []
  const length = totalLength(unreadable)
  const message = `${length} of the volume's first ${bytes.length} bytes cannot be read, from byte ${hex(first.offset)} on: what it is was found out without them`
  return [{ code: 'UNREADABLE_VOLUME_START', message, details: { position: first.offset, length, ranges: unreadable } }]
}
