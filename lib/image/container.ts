/** What form a disk has in a file, found from its content. */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { CONTAINER_HEAD_LENGTH, CONTAINER_TAIL_LENGTH, probeContainer } from './probe.ts'

/**
 * The image format or archive in `file`, by the names of probe.ts; undefined for what may be a raw disk.
 * `mayHaveBadSectors`: it is a disk, which is read all the same; of a file that cannot be read there is no telling what it is.
 */
export async function containerIn(file: BlockDevice, mayHaveBadSectors = false): Promise<string | undefined> {
  const head = Buffer.alloc(Math.min(CONTAINER_HEAD_LENGTH, file.size))
  const tail = Buffer.alloc(Math.min(CONTAINER_TAIL_LENGTH, file.size))
  for (const [offset, part] of [
    [0, head],
    [file.size - tail.length, tail],
  ] as const) {
    const failure = await tryRead(file, offset, part)
    if (failure !== undefined && !mayHaveBadSectors) throw failure
  }
  return probeContainer(head, tail)
}
