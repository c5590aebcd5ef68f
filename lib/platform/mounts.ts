/** Whether somebody may write to a disk while it is read. */
import { isShadowCopy, isWindows, windowsName } from '../device/windows-path.ts'
import type { Finding } from '../finding.ts'
import { linuxMountsForWriting } from './linux-mounts.ts'

/**
 * A finding for each place where the disk, volume or image file `path` is mounted for writing; none when nobody writes
 * to it, as far as the system says. On Windows nothing says so without native calls, so every raw disk and volume
 * counts as one that is written to, but for shadow copies; image files are taken to be free.
 */
export async function mountedReadWrite(path: string): Promise<Finding[]> {
  if (isWindows) return liveWindowsDevice(path)
  return process.platform === 'linux' ? linuxMountsForWriting(path) : []
}

/** What `mountedReadWrite` says of `path` on Windows. */
export function liveWindowsDevice(path: string): Finding[] {
  const { kind } = windowsName(path)
  if (kind === 'file' || isShadowCopy(path)) return []
  const what = kind === 'disk' ? 'a disk whose volumes Windows may have mounted' : 'a volume that Windows has mounted'
  return [
    {
      code: 'MOUNTED_READ_WRITE',
      message: `${path} is ${what}, so it may change while it is read. Read a shadow copy of the volume, or take the disk offline`,
      details: { device: path },
    },
  ]
}
