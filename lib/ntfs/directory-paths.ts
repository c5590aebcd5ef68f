/** Full paths of directories, found from below: each names its parent. spec-notes/ntfs.md, File name. */
import { isDamage } from '../errors.ts'
import { decodeFileName, isShortName } from './file-name.ts'
import { AttributeType, type FileReference, SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'

/** Paths that are kept; the oldest goes first. */
const CACHED = 2 ** 14
/** Deeper than any path that Windows can make. Also ends a circle of parents. */
const MAX_DEPTH = 1024

export class DirectoryPaths {
  readonly #mft: Mft
  readonly #cache = new Map<number, { sequence: number; path: string | undefined }>()

  constructor(mft: Mft) {
    this.#mft = mft
  }

  /**
   * The path of `directory` with backslashes and without one at the end, so '' is the root. Undefined when it cannot be
   * told: damaged, gone, or not below the root.
   */
  async pathOf(directory: FileReference, depth = 0): Promise<string | undefined> {
    if (directory.record === SystemRecord.root) return ''
    const cached = this.#cache.get(directory.record)
    if (cached?.sequence === directory.sequence) return cached.path
    const path = depth < MAX_DEPTH ? await this.#find(directory, depth) : undefined
    this.#cache.set(directory.record, { sequence: directory.sequence, path })
    if (this.#cache.size > CACHED) this.#cache.delete(this.#cache.keys().next().value!)
    return path
  }

  async #find(directory: FileReference, depth: number): Promise<string | undefined> {
    try {
      const file = await NtfsFile.open(this.#mft, directory)
      return file.base.directory ? await this.#pathBy(file, depth) : undefined
    } catch (error) {
      if (!isDamage(error)) throw error
      return undefined
    }
  }

  /** The path of `file` by the first of its names that is not a short one. Throws FormatError when that is damaged. */
  async pathOfFile(file: NtfsFile): Promise<string | undefined> {
    return await this.#pathBy(file, 0)
  }

  async #pathBy(file: NtfsFile, depth: number): Promise<string | undefined> {
    for (const attribute of file.find(AttributeType.fileName)) {
      if (!attribute.resident) continue
      const name = decodeFileName(attribute.value, attribute.position)
      if (isShortName(name)) continue
      const parent = await this.pathOf(name.parent, depth + 1)
      return parent === undefined ? undefined : `${parent}\\${name.name}`
    }
    return undefined
  }
}

/** File record `number` in words: its number, with the path of the file where that can be told. */
export async function describeRecord(mft: Mft, number: number): Promise<string> {
  try {
    const { base } = await mft.record({ record: number, sequence: 0 })
    const file = await NtfsFile.open(mft, base ?? { record: number, sequence: 0 })
    const path = await new DirectoryPaths(mft).pathOfFile(file)
    return path === undefined ? `record ${number}` : `record ${number}, ${path}`
  } catch (error) {
    if (!isDamage(error)) throw error
    return `record ${number}`
  }
}
