/** Room for a file that is to be written. */
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileSystemSpace } from '../device/native.ts'
import { withStorageErrors } from '../device/storage-error.ts'

/**
 * Bytes that are free for the file `path`, which need not exist yet: its folder must. Throws NotFoundError, StorageError.
 * statvfs(3) is asked where it can be: statfs(2), which Node has, does not give the unit of its counts on every file system.
 */
export async function freeSpace(path: string): Promise<number> {
  const folder = dirname(path)
  return withStorageErrors({ verb: 'examine', path: folder }, async () => {
    const space = await fileSystemSpace(folder)
    if (space !== undefined) return space.free
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  })
}
