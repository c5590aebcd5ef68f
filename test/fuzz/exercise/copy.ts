/** What a capture would keep of a volume must be enough to read every file of it as before. */
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { DiskImageError } from '../../../lib/errors.ts'
import { openVolume } from '../../../lib/image/open-volume.ts'
import type { Files } from '../../../lib/volume/files.ts'
import type { UsedSpace } from '../../../lib/volume/volume.ts'
import type { Observer } from '../observer.ts'

/** Bytes of each file that are compared, and of all. */
const PER_FILE = 32 * 1024
const IN_ALL = 512 * 1024

/** Reads the files in `content`, and again from a copy of nothing but what is in use. What was left out is not compared. */
export async function exerciseCopy(content: Buffer, observer: Observer): Promise<void> {
  const opened = await observer.attempt(async () => {
    const volume = await openVolume(new MemoryDevice(content, { readOnly: true }))
    return { before: await contentsOf(await volume.openFiles()), space: await volume.usedSpace() }
  })
  if (opened === undefined) return
  const { before, space } = opened
  const copy = await openVolume(new MemoryDevice(await copyOf(content, space), { readOnly: true }))
  const after = await contentsOf(await copy.openFiles())
  const leftOut = new Set(space.leftOut.map(({ path }) => path.replaceAll('\\', '/')))
  for (const [path, bytes] of before) {
    if (leftOut.has(path.split(':')[0]!)) continue
    observer.claim(after.get(path)?.equals(bytes) ?? false, `'${path}' is not the same in a copy of what is in use`)
  }
}

async function copyOf(content: Buffer, space: UsedSpace): Promise<Buffer> {
  const copy = Buffer.alloc(content.length)
  for await (const { offset, length } of space.ranges()) content.copy(copy, offset, offset, offset + length)
  for (const { offset, bytes } of space.patches) bytes.copy(copy, offset)
  return copy
}

/** The beginning of every stream that can be read, by `path:stream`. */
async function contentsOf(files: Files): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>()
  let budget = IN_ALL
  for await (const batch of files.scan()) {
    for (const entry of batch) {
      const names = entry.kind === 'file' ? [undefined, ...entry.streams.map(({ name }) => name)] : []
      for (const name of names) {
        const bytes = budget > 0 ? await beginningOf(() => files.open(entry, name)) : undefined
        if (bytes === undefined) continue
        budget -= bytes.length
        contents.set(`${entry.path}:${name ?? ''}`, bytes)
      }
    }
  }
  return contents
}

async function beginningOf(open: () => ReturnType<Files['open']>): Promise<Buffer | undefined> {
  try {
    const stream = await open()
    const bytes = Buffer.alloc(Math.min(PER_FILE, stream.size))
    await stream.read(0, bytes)
    return bytes
  } catch (error) {
    if (!(error instanceof DiskImageError)) throw error
    return undefined
  }
}
