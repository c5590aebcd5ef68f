/** What names a folder of this system takes: that of a stick with exFAT differs from that of Linux around it. */
import { lstat, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { storageError } from '../device/storage-error.ts'
import { isWindows } from '../device/windows-path.ts'
import { type NameRules, POSIX_NAMES, WINDOWS_NAMES } from './host-name.ts'

/** Finds out by making a file in `folder`, which is removed again. Throws StorageError where none can be made. */
export async function probeNames(folder: string): Promise<NameRules> {
  if (isWindows) return WINDOWS_NAMES
  const name = `.vhdx-${process.pid}-Probe`
  if (await makes(join(folder, `${name}:?`))) return { ...POSIX_NAMES, foldsCase: await folds(folder, name) }
  return WINDOWS_NAMES
}

/** Whether a file can have this name. */
async function makes(path: string): Promise<boolean> {
  try {
    await writeFile(path, '', { flag: 'wx' })
    await rm(path)
    return true
  } catch (error) {
    // What file systems made for Windows say of a name with `:?` in it.
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return false
    throw storageError(error, { verb: 'open', path })
  }
}

async function folds(folder: string, name: string): Promise<boolean> {
  const path = join(folder, name)
  try {
    await writeFile(path, '', { flag: 'wx' })
    return await lstat(join(folder, name.toLowerCase())).then(
      () => true,
      () => false,
    )
  } catch (error) {
    throw storageError(error, { verb: 'open', path })
  } finally {
    await rm(path, { force: true })
  }
}
