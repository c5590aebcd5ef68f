/** Ways to go over the files of an NTFS volume, and all that is known of an entry as one line, to be compared. */
import { createHash } from 'node:crypto'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import type { NtfsEntry } from '../../lib/ntfs/ntfs-entry.ts'
import type { NtfsFiles } from '../../lib/ntfs/ntfs-files.ts'
import { FileAttribute } from '../../lib/volume/entry.ts'
import { collect } from '../helpers/collect.ts'

/** By the indexes of the directories. */
export async function walk(files: NtfsFiles, directory: NtfsEntry, system = false): Promise<NtfsEntry[]> {
  const found: NtfsEntry[] = []
  for await (const entry of files.list(directory, { system })) {
    found.push(entry)
    if ((entry.attributes & FileAttribute.directory) !== 0) found.push(...(await walk(files, entry, system)))
  }
  return found
}

/** By $MFT. */
export const scan = async (files: NtfsFiles, system = false) =>
  (await collect(files.scan(undefined, { system }))).flat()

export function describe(entry: NtfsEntry): string {
  const { path, kind, size, allocatedSize, modified, created, accessed, changed, attributes, record, sequence } = entry
  const { links, streams, target, position, isSystem, error } = entry
  const times = [modified, created, accessed, changed].join()
  const rest = [
    kind,
    size,
    allocatedSize,
    times,
    attributes,
    record,
    sequence,
    links,
    target,
    position,
    isSystem,
    error,
  ]
  return [path, ...rest, ...streams.map(({ name, size }) => `${name} ${size}`)].join(' | ')
}

export const describeAll = (entries: readonly NtfsEntry[]) => entries.map(describe).sort()

export async function sha256(content: BlockDevice): Promise<string> {
  const hash = createHash('sha256')
  const piece = Buffer.alloc(1024 ** 2)
  for (let at = 0; at < content.size; at += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, content.size - at))
    await content.read(at, part)
    hash.update(part)
  }
  return hash.digest('hex')
}
