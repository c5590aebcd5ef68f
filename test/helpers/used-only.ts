/** What is left of a volume when only what counts as used is copied: what other tools then find must be all there was. */
import { open, truncate, writeFile } from 'node:fs/promises'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { endOf } from '../../lib/device/ranges.ts'
import type { UsedSpace } from '../../lib/volume/volume.ts'

const PIECE = 2 ** 20

/** Writes the used ranges of `device` to the new sparse file `path`, as large as the device, with zeros between them. */
export async function writeUsedOnly(device: BlockDevice, used: UsedSpace, path: string): Promise<void> {
  await writeFile(path, '', { flag: 'wx' })
  await truncate(path, device.size)
  await using file = await open(path, 'r+')
  const piece = Buffer.alloc(PIECE)
  for await (const range of used.ranges()) {
    for (let offset = range.offset; offset < endOf(range); offset += PIECE) {
      const bytes = piece.subarray(0, Math.min(PIECE, endOf(range) - offset))
      await device.read(offset, bytes)
      await file.write(bytes, 0, bytes.length, offset)
    }
  }
}
