/** The files of this system, as images and their parents are looked for there. */
import { readdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { FileDevice } from '../device/file-device.ts'
import { isWindows } from '../device/windows-path.ts'
import type { ImageFile, ImageFolders } from './image-file.ts'
import type { ParentPath } from './parent-path.ts'

/** `device`, which is open, as a file that may have parents. */
export async function hostFile(device: FileDevice): Promise<ImageFile> {
  const { path, identity } = device
  return { path, device, identity, modified: await device.modified() }
}

export class HostFolders implements ImageFolders {
  /** Names in folders that were searched. */
  readonly #listed = new Map<string, Promise<readonly string[]>>()

  async foldersOf(path: string): Promise<readonly string[]> {
    const paths = [resolve(path), await realpath(path).catch(() => resolve(path))]
    return [...new Set(paths.map(path => dirname(path)))]
  }

  withAncestors(folder: string): readonly string[] {
    const folders = [resolve(folder)]
    for (let next = dirname(folders[0]!); next !== folders.at(-1); next = dirname(next)) folders.push(next)
    return folders
  }

  /**
   * Drives and volumes where there are such things. No network share: an image from a stranger could have this machine
   * log in on theirs.
   */
  rootOf({ text, root }: ParentPath): string | undefined {
    if (!isWindows) return text.startsWith('/') && root === '' ? '/' : undefined
    return root === undefined || root === '' || root.startsWith('\\\\') ? undefined : `\\\\?\\${root}\\`
  }

  join(folder: string, names: readonly string[]): string {
    return join(folder, ...names)
  }

  async find(folder: string, names: readonly string[]): Promise<string | undefined> {
    const path = join(folder, ...names)
    if (await isFile(path)) return path
    return isWindows ? undefined : this.#findAnyCase(folder, names)
  }

  async open(path: string): Promise<ImageFile> {
    const device = await FileDevice.open(path)
    try {
      return await hostFile(device)
    } catch (error) {
      await device.close()
      throw error
    }
  }

  async #findAnyCase(folder: string, names: readonly string[]): Promise<string | undefined> {
    let path = resolve(folder)
    for (const name of names) {
      if (name === '..') path = dirname(path)
      else {
        const known = await this.#list(path)
        const actual =
          known.find(other => other === name) ?? known.find(other => other.toLowerCase() === name.toLowerCase())
        if (actual === undefined) return undefined
        path = join(path, actual)
      }
    }
    return (await isFile(path)) ? path : undefined
  }

  #list(folder: string): Promise<readonly string[]> {
    const names = this.#listed.get(folder) ?? readdir(folder).catch(() => [])
    this.#listed.set(folder, names)
    return names
  }
}

/** Whether there is such a file. What cannot be looked at is found out when it is opened. */
const isFile = (path: string) =>
  stat(path).then(
    stats => stats.isFile(),
    error => error.code === 'EACCES',
  )
