/** What $Bitmap says of a window of clusters. spec-notes/ntfs.md, $Bitmap. */
import { KiB, MiB } from '../binary/size.ts'
import { DiskImageError, FormatError, isDamage } from '../errors.ts'
import type { AttributeReader } from './attribute-reader.ts'
import type { ClusterBitmap } from './cluster-bitmap.ts'
import { AttributeType, SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'

const PIECE_SIZE = 4 * MiB
/** What is given up at once where the whole piece cannot be had. */
const RESCUE_SIZE = 4 * KiB

/** The content of $Bitmap, or why there is none. */
export type BitmapContent = AttributeReader | DiskImageError

/** Opens $Bitmap. Throws StorageError (DEVICE_GONE). */
export async function openBitmap(mft: Mft): Promise<BitmapContent> {
  try {
    const file = await NtfsFile.open(mft, { record: SystemRecord.bitmap, sequence: 0 })
    return file.reader(AttributeType.data) ?? new FormatError('NTFS_NO_BITMAP', '$Bitmap has no content')
  } catch (error) {
    if (!isDamage(error)) throw error
    return error
  }
}

/** Told the number of clusters that count as used because $Bitmap does not tell, and why. */
type OnUnknown = (clusters: number, why: string) => void

/**
 * Fills `used`, which stands at its window, from `content`. What $Bitmap is too short for, or what cannot be read of it,
 * counts as used: what is copied in vain does no harm.
 */
export async function readBitmap(
  content: BitmapContent,
  used: ClusterBitmap,
  onUnknown: OnUnknown,
  signal?: AbortSignal,
): Promise<void> {
  const { bytes } = used
  if (content instanceof DiskImageError) {
    bytes.fill(0xff)
    onUnknown(used.end - used.first, content.message)
    used.trim()
    return
  }
  const start = used.first / 8
  const there = Math.max(0, Math.min(bytes.length, content.size - start))
  for (let at = 0; at < there; at += PIECE_SIZE) {
    signal?.throwIfAborted()
    await rescue(content, start + at, bytes.subarray(at, Math.min(at + PIECE_SIZE, there)), onUnknown)
  }
  if (there < bytes.length) {
    bytes.fill(0xff, there)
    onUnknown((bytes.length - there) * 8, 'it is too short')
  }
  used.trim()
}

async function rescue(content: AttributeReader, offset: number, target: Buffer, onUnknown: OnUnknown): Promise<void> {
  try {
    await content.read(offset, target)
  } catch (error) {
    if (!isDamage(error)) throw error
    if (target.length <= RESCUE_SIZE) {
      target.fill(0xff)
      onUnknown(target.length * 8, error.message)
      return
    }
    const half = Math.ceil(target.length / 2 / RESCUE_SIZE) * RESCUE_SIZE
    await rescue(content, offset, target.subarray(0, half), onUnknown)
    await rescue(content, offset + half, target.subarray(half), onUnknown)
  }
}
