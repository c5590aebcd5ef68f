/** An image as libvhdi sees it. */
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './run.ts'

/** Mounts the image with vhdimount for as long as `use` takes, and gives it the path of the raw disk in there. */
export async function withVhdi<T>(image: string, use: (disk: string) => Promise<T>): Promise<T> {
  const mountPoint = await mkdtemp(join(tmpdir(), 'vhdx-vhdi-'))
  try {
    await run('vhdimount', [image, mountPoint])
    return await use(join(mountPoint, 'vhdi1')).finally(() => run('umount', [mountPoint]))
  } finally {
    await rmdir(mountPoint)
  }
}
