/** The files of a volume inside an image, as images and their parents are looked for there. */
import { NotFoundError } from '../errors.ts'
import { type Entry, type FileTime, UNIX_EPOCH } from '../volume/entry.ts'
import type { Files } from '../volume/files.ts'
import type { ImageFile, ImageFolders } from './image-file.ts'

export class VolumeFolders implements ImageFolders {
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  async foldersOf(path: string): Promise<readonly string[]> {
    return [this.join(path, ['..'])]
  }

  withAncestors(folder: string): readonly string[] {
    const names = folder.split('/').filter(name => name !== '')
    return [...names.map((_, i) => this.join('/', names.slice(0, names.length - i))), '/']
  }

  /** Whatever drive the volume was, its root is the root. */
  rootOf(): string {
    return '/'
  }

  join(folder: string, names: readonly string[]): string {
    const joined: string[] = []
    for (const name of [...folder.split('/'), ...names]) {
      if (name === '..') joined.pop()
      else if (name !== '' && name !== '.') joined.push(name)
    }
    return `/${joined.join('/')}`
  }

  async find(folder: string, names: readonly string[]): Promise<string | undefined> {
    try {
      const { kind, path } = await this.#files.stat(this.join(folder, names))
      return kind === 'file' ? path : undefined
    } catch (error) {
      if (error instanceof NotFoundError) return undefined
      throw error
    }
  }

  async open(path: string): Promise<ImageFile> {
    const entry = await this.#files.stat(path)
    const device = await this.#files.open(entry)
    return { path: entry.path, device, identity: identityOf(entry), modified: dateOf(entry.modified) }
  }
}

const identityOf = ({ record, path }: Entry) => (record === undefined ? path : `record ${record}`)

const dateOf = (time: FileTime | undefined) =>
  time === undefined ? undefined : new Date(Number((time - UNIX_EPOCH) / 10_000n))
