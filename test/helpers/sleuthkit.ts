/** What the sleuthkit finds in a volume. */
import type { ExpectedPartition } from './corpus.ts'
import { run } from './run.ts'

/** An entry as `fls -m` tells it; times in whole seconds since 1970, 0 for none. */
export interface FlsEntry {
  readonly isDirectory: boolean
  readonly size: number
  readonly accessed: number
  readonly modified: number
  readonly created: number
}

/** Names that are no files but what `fls` makes of other things. */
const isFile = (path: string) =>
  !/\(deleted\)|\(Volume Label Entry\)|^\$(MBR|FAT\d|OrphanFiles|ALLOC_BITMAP|UPCASE_TABLE)/.test(path)

/** All entries of the bare volume in the file `path` that are not deleted, by path. */
export async function fls(path: string): Promise<Map<string, FlsEntry>> {
  const { stdout } = await run('fls', ['-r', '-p', '-m', '', path], { env: { TZ: 'UTC' } })
  const found = new Map<string, FlsEntry>()
  for (const line of stdout.trimEnd().split('\n')) {
    const [, name = '', , mode = '', , , size, accessed, modified, , created] = line.split('|')
    const entry = { accessed: Number(accessed), modified: Number(modified), created: Number(created) }
    const path = name.replace(/^\//, '')
    if (isFile(path)) found.set(path, { isDirectory: mode.startsWith('d'), size: Number(size), ...entry })
  }
  return found
}

/** What the corpus knows of a volume's files, in the form of `hashFiles`. */
export function expectedTree({ files = [], dirs = [] }: ExpectedPartition): Record<string, string> {
  const found = [
    ...dirs.map(path => [path, 'folder'] as const),
    ...files.map(({ path, size, sha256 }) => [path, `${size} ${sha256}`] as const),
  ]
  return Object.fromEntries(found.filter(([path]) => isFile(path)).sort(([a], [b]) => (a < b ? -1 : 1)))
}
