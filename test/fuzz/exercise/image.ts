/** An image with the parent it may ask for, both in memory. */
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { NotFoundError } from '../../../lib/errors.ts'
import type { ImageFile, ImageFolders } from '../../../lib/image/image-file.ts'
import { type OpenedImage, openImage } from '../../../lib/image/open-image.ts'
import type { Observer } from '../observer.ts'
import { exerciseDevice } from './device.ts'

const CHILD = 'child'
export const PARENT = 'parent'

/** Opens the disk in `content`; `parent` is the only file beside it. Throws what opening does. */
export async function openInMemory(content: Buffer, format: 'vhdx' | 'vhd', parent: Buffer): Promise<OpenedImage> {
  const folders = new MemoryFolders(
    new Map([
      [CHILD, content],
      [PARENT, parent],
    ]),
  )
  return await openImage(await folders.open(CHILD), folders, { format })
}

export async function exerciseImage({ disk, findings, chain }: OpenedImage, observer: Observer): Promise<void> {
  observer.findings(findings)
  observer.note(disk.sectorSize, disk.physicalSectorSize)
  for (const { path, type, virtualSize, id } of chain) observer.note(path, type, virtualSize, id)
  observer.claim(disk.readOnly, 'an image opens writable')
  await exerciseDevice(disk, observer)
}

/** A single folder. Whatever folder a path goes through, it leads here. */
class MemoryFolders implements ImageFolders {
  readonly #files: ReadonlyMap<string, Buffer>

  constructor(files: ReadonlyMap<string, Buffer>) {
    this.#files = files
  }

  async foldersOf(): Promise<readonly string[]> {
    return ['/']
  }

  withAncestors(folder: string): readonly string[] {
    return [folder]
  }

  rootOf(): string {
    return '/'
  }

  join(folder: string, names: readonly string[]): string {
    return `${folder}${names.join('/')}`
  }

  async find(_folder: string, names: readonly string[]): Promise<string | undefined> {
    const name = names.at(-1)
    return name !== undefined && this.#files.has(name) ? name : undefined
  }

  async open(path: string): Promise<ImageFile> {
    const content = this.#files.get(path)
    if (content === undefined) throw new NotFoundError('NO_SUCH_FILE', `there is no ${path}`)
    return { path, device: new MemoryDevice(content, { readOnly: true }), identity: path, modified: undefined }
  }
}
