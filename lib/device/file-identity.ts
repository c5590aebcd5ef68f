/** Which file or device a name stands for, so that two names of one can be told. */
import type { BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { NotFoundError } from '../errors.ts'
import { deviceNumber } from './linux-block-device.ts'
import { withStorageErrors } from './storage-error.ts'
import { isWindows, windowsName } from './windows-path.ts'

/** The identity of what has these `stats`: of a block device its number, of a file its inode. */
export const identityOfStats = (stats: BigIntStats): string =>
  stats.isBlockDevice() ? `device ${deviceNumber(stats.rdev)}` : `file ${stats.dev}:${stats.ino}`

/** The identity of a raw disk or volume of Windows, whose paths these are: it has no other than its name. */
export const identityOfWindowsName = (paths: readonly (string | Buffer)[]) => `device ${String(paths[0]).toLowerCase()}`

/**
 * Equal for two names of one file or block device, also through links; undefined when there is nothing of that name.
 * A loop device and the file it shows are two. Throws StorageError.
 */
export async function fileIdentity(path: string): Promise<string | undefined> {
  const { kind, paths } = windowsName(path)
  if (isWindows && kind !== 'file') return identityOfWindowsName(paths)
  try {
    const stats = await withStorageErrors({ verb: 'examine', path }, () => stat(path, { bigint: true }))
    return identityOfStats(stats)
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
