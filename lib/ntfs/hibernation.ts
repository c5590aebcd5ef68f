/** Whether Windows sleeps in `\hiberfil.sys`, with changes to the volume in it. spec-notes/ntfs.md, Hibernation. */
import type { BlockDevice } from '../device/block-device.ts'
import { type FileTree, ROOT } from './file-tree.ts'
import { AttributeType } from './format.ts'
import { NtfsFile } from './ntfs-file.ts'

/** What the file begins with while Windows hibernates; `wake`, or zeros, when it woke up. */
const SIGNATURES = ['hibr', 'HIBR']

/** Throws FormatError when the root directory or the file is damaged. */
export async function isHibernated(volume: BlockDevice, tree: FileTree): Promise<boolean> {
  const entry = await tree.find(ROOT, 'hiberfil.sys')
  if (entry === undefined) return false
  const file = await NtfsFile.open(tree.mft, entry.reference)
  const reader = file.reader(AttributeType.data)
  if (reader === undefined || reader.size < 4) return false
  const signature = Buffer.alloc(4)
  // From the clusters, whatever the initialized size: the boot loader reads and writes them so.
  const position = reader.positionOf(0)
  if (position !== undefined) await volume.read(position, signature)
  else if (reader.runs === undefined) await reader.read(0, signature)
  return SIGNATURES.includes(signature.toString('latin1'))
}
