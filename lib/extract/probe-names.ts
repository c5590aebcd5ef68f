/** What names a folder of this system takes: that of a stick with exFAT differs from that of Linux around it. */
import { lstat, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { storageError } from '../device/storage-error.ts'
import { isWindows } from '../device/windows-path.ts'
import { type NameRules, POSIX_NAMES, WINDOWS_NAMES } from './host-name.ts'

/** Finds out by making files in `folder`, which are removed again. Throws StorageError where none can be made. */
export async function probeNames(folder: string): Promise<NameRules> {
  if (isWindows) return WINDOWS_NAMES
  const path = join(folder, `.vhdx-${process.pid}-Probe`)
  const foldsCase = await folds(path)
  return (await makes(`${path}:?`)) ? { ...POSIX_NAMES, foldsCase } : WINDOWS_NAMES
}

/** Whether what is made at `path` is found by its name in lower case. */
async function folds(path: string): Promise<boolean> {
  try {
    await writeFile(path, '', { flag: 'wx' })
    return await lstat(join(dirname(path), basename(path).toLowerCase())).then(
      () => true,
      () => false,
    )
  } catch (error) {
    throw storageError(error, { verb: 'open', path })
  } finally {
    await rm(path, { force: true })
  }
}

/** Whether a file can be made at `path`, where one of a plainer name can: the systems refuse it each with an error of its own. */
async function makes(path: string): Promise<boolean> {
  try {
    await writeFile(path, '', { flag: 'wx' })
    await rm(path)
    return true
  } catch {
    return false
  }
}
