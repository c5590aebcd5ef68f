/** Where the parent of a differencing image is, spec-notes/images.md, "Looking for a parent". */
import { DiskImageError, FormatError, NotFoundError } from '../errors.ts'
import { type OpenableImage, type ParentLink, readImage } from './chain-image.ts'
import { containerIn } from './container.ts'
import type { ImageFile, ImageFolders } from './image-file.ts'
import { type ParentPath, parsePath, suffixes } from './parent-path.ts'

/** Where to look for parents beside the places the images name. */
export interface ParentOptions {
  /** The parent of the image that is opened, where the caller knows it. */
  readonly parent?: string
  /** Folders in which the parents of all images of the chain may be. */
  readonly search?: readonly string[]
}

/** How many places an error lists. */
const MAX_LISTED = 6

/**
 * Finds and opens the parent of `child`: at `options.parent`; else where the child's paths lead, relative, by volume,
 * absolute; else where the ends of those paths lead from the folders of `search`, the child's folder and those above it.
 * A file that is no image, or another one, is passed over. `chain`: the images so far, which no parent can be.
 *
 * Throws NotFoundError (PARENT_NOT_FOUND), FormatError (PARENT_CHANGED, PARENT_DAMAGED, CHAIN_CYCLE), each with the
 * places that were tried, and what opening a file throws.
 */
export async function findParent(
  child: OpenableImage,
  chain: readonly OpenableImage[],
  folders: ImageFolders,
  { parent, search = [] }: ParentOptions,
): Promise<OpenableImage> {
  const link = child.parent!
  const attempt = new Attempt(child, link, chain)
  if (parent !== undefined) {
    const found = await attempt.take(await folders.open(parent))
    if (found !== undefined) return found
    throw attempt.failure([parent])
  }
  const tried = new Set<string>()
  for await (const [folder, names] of places(child, link, folders, search)) {
    const place = folders.join(folder, names)
    if (tried.has(place)) continue
    tried.add(place)
    const found = await attempt.look(folder, names, folders)
    if (found !== undefined) return found
  }
  throw attempt.failure([...tried])
}

/** Folders, and names below them, in the order in which to look. */
async function* places(
  { path }: OpenableImage,
  link: ParentLink,
  folders: ImageFolders,
  search: readonly string[],
): AsyncIterable<[folder: string, names: readonly string[]]> {
  const paths = link.paths.map(parsePath).filter(({ names }) => names.length > 0)
  const near = await folders.foldersOf(path)
  const rootsOf = (path: ParentPath) => (path.root === undefined ? near : [folders.rootOf(path)])
  for (const path of paths) {
    for (const root of rootsOf(path)) if (root !== undefined) yield [root, path.names]
  }
  for (const folder of [...search, ...near.flatMap(folder => folders.withAncestors(folder))]) {
    for (const path of paths) for (const names of suffixes(path)) yield [folder, names]
  }
}

/** The search for one parent: what was found that is not it, and why. */
class Attempt {
  readonly #child: OpenableImage
  readonly #link: ParentLink
  readonly #chain: readonly OpenableImage[]
  /** Identities of the files looked at. */
  readonly #seen = new Set<string>()
  /** The first of each kind that was found. */
  #cycle: string | undefined
  #changed: OpenableImage | undefined
  #noImage: string | undefined
  #failed: { readonly path: string; readonly error: DiskImageError } | undefined

  constructor(child: OpenableImage, link: ParentLink, chain: readonly OpenableImage[]) {
    this.#child = child
    this.#link = link
    this.#chain = chain
  }

  /** The image in the file `names` below `folder`, if it is there and the parent. A damaged folder hides no other place. */
  async look(folder: string, names: readonly string[], folders: ImageFolders): Promise<OpenableImage | undefined> {
    let path: string | undefined
    try {
      path = await folders.find(folder, names)
      return path === undefined ? undefined : await this.take(await folders.open(path))
    } catch (error) {
      this.#note(path ?? folders.join(folder, names), error)
      return undefined
    }
  }

  /** The image in `file`, if it is the parent. If not, the file is closed. */
  async take(file: ImageFile): Promise<OpenableImage | undefined> {
    let parent: OpenableImage | undefined
    try {
      if (!this.#seen.has(file.identity)) parent = await this.#judge(file)
    } catch (error) {
      this.#note(file.path, error)
    } finally {
      this.#seen.add(file.identity)
      if (parent === undefined) await file.device.close()
    }
    return parent
  }

  async #judge(file: ImageFile): Promise<OpenableImage | undefined> {
    if (this.#chain.some(image => image.file.identity === file.identity)) {
      this.#cycle ??= file.path
      return undefined
    }
    const container = await containerIn(file.device)
    if (container !== 'VHDX' && container !== 'VHD') {
      this.#noImage ??= file.path
      return undefined
    }
    const image = await readImage(file, container === 'VHD' ? 'vhd' : 'vhdx')
    if (this.#link.ids.includes(image.id)) return image
    this.#changed ??= image
    return undefined
  }

  #note(path: string, error: unknown): void {
    if (!(error instanceof DiskImageError)) throw error
    this.#failed ??= { path, error }
  }

  /** Why there is no parent, after all of `tried`. */
  failure(tried: readonly string[]): DiskImageError {
    const { path: child } = this.#child
    const { ids, paths } = this.#link
    const details = { child, paths, expected: ids, tried }
    const wanted = `the parent of ${child}, ${paths.map(path => `'${path}'`).join(' or ') || 'whose path it does not say'},`
    const stranger = this.#noImage === undefined ? '' : `; '${this.#noImage}' is no VHDX and no VHD`
    const places = `Looked at ${listed(tried)}${stranger}`
    if (this.#failed !== undefined) {
      const { path, error } = this.#failed
      if (!(error instanceof FormatError)) return error
      const message = `${wanted} cannot be read in ${path}: ${error.message}`
      return new FormatError('PARENT_DAMAGED', message, { ...details, path }, { cause: error })
    }
    if (this.#changed !== undefined) {
      const { path, id } = this.#changed
      const message = `${wanted} was written to or made anew since: ${path} has the id ${id}, and ${ids.join(' or ')} is expected. Look for an unchanged copy of it. ${places}`
      return new FormatError('PARENT_CHANGED', message, { ...details, path, actual: id })
    }
    if (this.#cycle !== undefined) {
      const message = `${wanted} would be ${this.#cycle}, which is a child of its own: such a chain has no end. ${places}`
      return new FormatError('CHAIN_CYCLE', message, { ...details, path: this.#cycle })
    }
    const message = `${wanted} with the id ${ids.join(' or ')}, is not there. ${places}. Say where it is by its path (--parent), or the folder it is in (--search)`
    return new NotFoundError('PARENT_NOT_FOUND', message, details)
  }
}

function listed(paths: readonly string[]): string {
  const shown = paths.slice(0, MAX_LISTED).map(path => `'${path}'`)
  const more = paths.length - shown.length
  return [...shown, ...(more > 0 ? [`${more} more places`] : [])].join(', ')
}
