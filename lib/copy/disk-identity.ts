/**
 * The identity of the disk in an image, which a machine sees: Page 83 of a VHDX, the unique id of a VHD. Both are 16 bytes,
 * and the same bytes have different texts, spec-notes/vhd.md, "Hard disk footer".
 */
import { guidFromText, guidToText, NIL_GUID, uuidFromText, uuidToText } from '../binary/guid.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { VhdDevice } from '../vhd/vhd-device.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'

/** The 16 bytes; undefined for a disk that has none. */
export function identityOf(disk: BlockDevice): Buffer | undefined {
  const id =
    disk instanceof VhdxDevice ? disk.metadata.virtualDiskId : disk instanceof VhdDevice ? disk.uniqueId : NIL_GUID
  if (id === NIL_GUID) return undefined
  return disk instanceof VhdxDevice ? guidFromText(id) : uuidFromText(id)
}

export const asVirtualDiskId = guidToText
export const asUniqueId = uuidToText
