/** Giving the disk in an image another identity, [MS-VHDX] 2.6.2.3: what it answers to SCSI's question for page 83. */
import type { ResizableDevice } from '../device/block-device.ts'
import { IS_REQUIRED, IS_VIRTUAL_DISK, VIRTUAL_DISK_ID, virtualDiskId } from './format.ts'
import { WriteSession } from './write-session.ts'

/**
 * Makes `id`, a lower-case GUID, the identity of the disk of the image in `file`, which stays the caller's. Children of
 * the image have the old one, and do not fit it any more. Throws what `WriteSession.open` throws.
 */
export async function setVirtualDiskId(file: ResizableDevice, id: string): Promise<void> {
  const session = await WriteSession.open(file)
  await session.begin(true)
  const data = virtualDiskId.toBuffer({ virtualDiskId: id })
  await session.setItems([{ itemId: VIRTUAL_DISK_ID, flags: IS_VIRTUAL_DISK + IS_REQUIRED, data }])
  await session.close()
}
