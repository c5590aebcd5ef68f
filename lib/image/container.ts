/** What form a disk has in a file, found from its content. */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { UnsupportedError } from '../errors.ts'
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

/**
 * Throws UnsupportedError (NOT_VHDX) when the file at `path` is an image or an archive of another kind, which it names.
 * What is of no known kind passes: it may be a damaged VHDX.
 */
export async function demandVhdx(file: BlockDevice, path: string): Promise<void> {
  const container = await containerIn(file)
  if (container === undefined || container === 'VHDX') return
  const message = `${path} is a ${container} file: this command is about the structures of VHDX files. vhdx info says what is in other images that can be read`
  throw new UnsupportedError('NOT_VHDX', message, { path, container })
}
