/** What is done with the folder a file lies in. */
import { open } from 'node:fs/promises'
import { withStorageErrors } from './storage-error.ts'
import { isWindows } from './windows-path.ts'

/**
 * Puts the names in a folder on the medium: after a file was created or renamed there, and flushed, it is there for
 * good. On Windows folders cannot be flushed, and need not be.
 */
export async function flushFolder(path: string): Promise<void> {
  if (isWindows) return
  await withStorageErrors({ verb: 'flush', path }, async () => {
    const handle = await open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  })
}
