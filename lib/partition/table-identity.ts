/** The ids by which systems know a disk and its partitions, and giving it others. */
import type { BlockDevice } from '../device/block-device.ts'
import { bootRecord } from './format.ts'
import { goodCopy, readGptCopies } from './gpt-copy.ts'
import { type GptChange, planGpt } from './gpt-writer.ts'
import { withSignature } from './mbr-writer.ts'
import type { PartitionTable } from './partition.ts'
import type { TableStep } from './table-writes.ts'

/** The ids to give; those not told stay. */
export interface NewTableIds extends Pick<GptChange, 'partitionGuids'> {
  /** GPT disk GUID, or MBR disk signature as 8 hex digits. */
  readonly diskId?: string
}

/**
 * What has to be written to give `table`, which `readPartitionTable` found on `disk`, other ids. The partitions of an MBR
 * have none of their own. Throws RefusedError as `planGpt`, and what reading `disk` throws.
 */
export async function planTableIds(
  disk: BlockDevice,
  { type, sectorSize }: PartitionTable,
  { diskId, partitionGuids }: NewTableIds,
): Promise<readonly TableStep[]> {
  if (type === 'none') return []
  if (type === 'mbr') {
    if (diskId === undefined) return []
    const sector = Buffer.alloc(bootRecord.size)
    await disk.read(0, sector)
    return [[withSignature(sector, Number.parseInt(diskId, 16))]]
  }
  const copies = await readGptCopies(disk, sectorSize)
  // There is a good copy: the table was read from it.
  return planGpt(copies, goodCopy(copies)!, {
    ...(diskId === undefined ? {} : { diskGuid: diskId }),
    ...(partitionGuids === undefined ? {} : { partitionGuids }),
  })
}
