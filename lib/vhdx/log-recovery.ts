/** Replaying a log on disk, [MS-VHDX] 2.3.3: what has to be done before anything else is written to a dirty image. */
import { NIL_GUID } from '../binary/guid.ts'
import type { BlockDevice, ResizableDevice } from '../device/block-device.ts'
import { HeaderWriter } from './header-writer.ts'
import type { LogWrite } from './log.ts'
import { readLogged } from './log-writes.ts'
import { readSoundStructures } from './structures.ts'

/**
 * Replays the log of the image in `file` and marks it clean. Nothing is written, and false is the answer, when it is.
 * What the disk holds is the same before and after, so that its DataWriteGuid stays. Wherever this is interrupted, the
 * log is still there to be replayed again. The file grows as far as its log says, with a hole where the file system has
 * such. Throws as `VhdxDevice.open` does for an image that cannot be read, and FormatError (HEADER_SEQUENCE_END).
 */
export async function replayLogOnDisk(file: ResizableDevice): Promise<boolean> {
  const { headers, replay } = await readSoundStructures(file)
  if (replay === undefined) return false
  const writer = new HeaderWriter(file, headers.current)
  // The file is told apart from what it was before any of it changes.
  await writer.update({ fileWriteGuid: crypto.randomUUID() })
  if (replay.fileSize > file.size) await file.resize(replay.fileSize)
  for (const write of replay.writes) await apply(file, write)
  await file.flush()
  // Both headers, so that losing one never brings the log back to life.
  for (const _ of headers.copies) await writer.update({ logGuid: NIL_GUID })
  return true
}

async function apply(file: BlockDevice, { offset, length, descriptor, sector }: LogWrite): Promise<void> {
  if (sector !== undefined) return file.write(offset, await readLogged(file, descriptor, sector))
  // A hole reads as zeros already. To write them might take the whole of the file system: a descriptor can name 256 TiB.
  for await (const range of file.dataRanges({ offset, length })) await file.zero(range.offset, range.length)
}
