/** The largest image there is, as a file with holes: 64 TiB in blocks of 1 MiB, a BAT of 513 MiB. */
import { MiB, TiB } from '../../lib/binary/size.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { writeEntry } from '../../lib/vhdx/bat-entry.ts'
import { FULLY_PRESENT } from '../../lib/vhdx/format.ts'
import { planImage } from '../../lib/vhdx/image-plan.ts'
import { batRegionLength, payloadEntryIndex } from '../../lib/vhdx/layout.ts'
import { newFileIdentifier, newHeaders, newMetadataRegion, newRegionTables } from '../../lib/vhdx/new-image.ts'
import { pattern } from '../helpers/pattern.ts'

export const VAST_SIZE = 64 * TiB

/** Writes it to `path`, with `blocks` present, each holding 4 KiB of a pattern of their place at its start. */
export async function makeVastImage(path: string, blocks: readonly number[]): Promise<void> {
  const plan = planImage({ virtualSize: VAST_SIZE, blockSize: MiB })
  const bat = { offset: 3 * MiB, length: batRegionLength(plan.batEntryCount) }
  const payload = bat.offset + bat.length
  await using file = await FileDevice.open(path, { mode: 'create' })
  await file.write(0, newFileIdentifier(plan.creator))
  const tables = newRegionTables(bat, { offset: 2 * MiB, length: MiB })
  for (const { position, bytes } of [...newHeaders(), ...tables]) await file.write(position, bytes)
  await file.write(2 * MiB, newMetadataRegion(plan))
  for (const [n, block] of blocks.entries()) {
    const entry = Buffer.alloc(8)
    writeEntry(entry, 0, FULLY_PRESENT, payload + n * MiB)
    await file.write(bat.offset + payloadEntryIndex(block, plan.chunkRatio) * 8, entry)
    await file.write(payload + n * MiB, pattern(4096, block * MiB))
  }
  await file.resize(payload + blocks.length * MiB)
}
