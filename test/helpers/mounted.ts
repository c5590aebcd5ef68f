/** A new file system of Linux in a file, mounted. Tests that use it need 'btrfs' or 'xfs' of tools.ts. */
import { mkdir, open } from 'node:fs/promises'
import { scratch } from './folders.ts'
import { run } from './tools.ts'

export interface MountedFileSystem extends AsyncDisposable {
  /** The path of `name` on it. */
  path(name: string): string
}

/** Both can share blocks between files. XFS takes nothing below 300 MiB; most of the file is a hole. */
const MAKE = { btrfs: ['mkfs.btrfs', '--quiet'], xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'] } as const

export async function mountNew(type: keyof typeof MAKE): Promise<MountedFileSystem> {
  const folder = await scratch()
  try {
    const [image, mountPoint] = [folder.path('image'), folder.path('mounted')]
    const file = await open(image, 'w')
    await file.truncate(400 * 2 ** 20)
    await file.close()
    await mkdir(mountPoint)
    const [command, ...options] = MAKE[type]
    await run(command, [...options, image])
    await run('mount', ['-o', 'loop', '-t', type, image, mountPoint])
    return {
      path: name => `${mountPoint}/${name}`,
      async [Symbol.asyncDispose]() {
        await run('umount', [mountPoint])
        await folder[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await folder[Symbol.asyncDispose]()
    throw error
  }
}
