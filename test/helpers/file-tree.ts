/** All that an opened volume's files hold, in the form in which `hashTree` has a folder of the host. */
import { createHash } from 'node:crypto'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { DiskImageError } from '../../lib/errors.ts'
import type { Entry } from '../../lib/volume/entry.ts'
import type { Files } from '../../lib/volume/files.ts'

/** Every entry that `scan` gives, by path. */
export async function scanned(files: Files): Promise<Map<string, Entry>> {
  const found = new Map<string, Entry>()
  for await (const batch of files.scan()) for (const entry of batch) found.set(entry.path, entry)
  return found
}

/** Every entry that is found by listing directory after directory but those with an error, by path. */
export async function listed(files: Files, from = '/'): Promise<Map<string, Entry>> {
  const found = new Map<string, Entry>()
  const pending = [await files.stat(from)]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for await (const entry of files.list(directory)) {
      found.set(entry.path, entry)
      if (entry.kind === 'directory' && entry.error === undefined) pending.push(entry)
    }
  }
  return found
}

/** Every path without its first slash → 'folder', `size sha256`, or the code of the error, in order of paths. */
export async function hashFiles(files: Files): Promise<Record<string, string>> {
  const found: [string, string][] = []
  for (const [path, entry] of await scanned(files)) {
    found.push([path.slice(1), entry.kind === 'directory' ? 'folder' : await hashOf(files, entry)])
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}

async function hashOf(files: Files, entry: Entry): Promise<string> {
  try {
    return `${entry.size} ${await hashContent(await files.open(entry))}`
  } catch (error) {
    if (error instanceof DiskImageError) return error.code
    throw error
  }
}

/** SHA-256 of a whole device, read in pieces of a size that fits nothing. */
export async function hashContent(device: BlockDevice): Promise<string> {
  const hash = createHash('sha256')
  const piece = Buffer.alloc(999_983)
  for (let offset = 0; offset < device.size; offset += piece.length) {
    const bytes = piece.subarray(0, Math.min(piece.length, device.size - offset))
    await device.read(offset, bytes)
    hash.update(bytes)
  }
  return hash.digest('hex')
}

/** The whole content of the file at `path`. */
export async function readFile(files: Files, path: string): Promise<Buffer> {
  const device = await files.open(await files.stat(path))
  const bytes = Buffer.alloc(device.size)
  await device.read(0, bytes)
  return bytes
}
