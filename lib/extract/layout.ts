/** What each entry of an image becomes in the target, and where. */
import type { Entry } from '../volume/entry.ts'
import type { ExtractLog } from './extract-report.ts'
import type { Selected } from './selection.ts'
import type { Source } from './sources.ts'
import { type TargetFolder, type TargetNames, TargetTree } from './target-names.ts'

/** Something of the image, and where it goes. */
export interface Placed {
  readonly entry: Entry
  /** In the image, with the stream. */
  readonly path: string
  /** The folder it goes into. */
  readonly folder: TargetFolder
  /** Below the target. */
  readonly place: string
}

/** A directory that becomes `folder`. */
export interface PlannedFolder {
  readonly entry: Entry
  readonly folder: TargetFolder
}

/** Content that becomes a file. */
export interface Item extends Placed {
  /** Undefined for the content itself. */
  readonly stream: string | undefined
  readonly size: number
  /** What the names of a file with several share: where it was copied to, once it was. */
  readonly copies: { path: string | undefined } | undefined
}

/** A symbolic link to be made when all it may lead to is known. */
export interface PlannedLink extends Placed {
  /** What is copied with it; undefined for a link that was asked for by itself. */
  readonly tree: TargetTree | undefined
}

/** Everything that comes of some entries. */
export interface Plan {
  readonly folders: readonly PlannedFolder[]
  readonly items: readonly Item[]
  /** Further names of files that are among the items, of this plan or one before. */
  readonly furtherNames: readonly Item[]
  readonly links: readonly PlannedLink[]
}

/** How a layout is made. */
export interface LayoutOptions {
  /** What the only source is called in the target, where the user says so. */
  readonly name: string | undefined
  /** Named streams become files beside theirs, are written with them by somebody else, or are left out. */
  readonly streams: 'files' | 'streams' | 'none'
}

/** Plans entries window by window. Memory: the folders, the names and the files with several of them. */
export class Layout {
  readonly #names: TargetNames
  readonly #log: ExtractLog
  readonly #options: LayoutOptions
  readonly #trees = new Map<Source, TargetTree>()
  readonly #copies = new Map<number, NonNullable<Item['copies']>>()

  constructor(names: TargetNames, log: ExtractLog, options: LayoutOptions) {
    this.#names = names
    this.#log = log
    this.#options = options
  }

  /** What becomes of the entries, in their order. What cannot be copied at all is told. */
  plan(window: readonly Selected[]): Plan {
    const plan = {
      folders: [] as PlannedFolder[],
      items: [] as Item[],
      furtherNames: [] as Item[],
      links: [] as PlannedLink[],
    }
    for (const { entry, source } of window) {
      const { kind, error } = entry
      const { stream } = source
      if (error !== undefined) this.#log.error(entry.path, error)
      const isSource = entry === source.entry
      if (kind === 'directory' && stream === undefined) {
        const tree = this.#treeOf(source)
        const folder = isSource ? tree.root : tree.folder(entry.path, entry.name)
        plan.folders.push({ entry, folder })
        if (folder.parent !== undefined) this.#addStreams(entry, folder.parent, folder.path, plan.items)
        continue
      }
      if (error !== undefined) continue
      const tree = isSource ? undefined : this.#treeOf(source)
      const folder = tree?.parentFolder(entry.path, entry.name) ?? this.#names.root
      const name = (isSource ? this.#options.name : undefined) ?? withStream(entry.name, stream)
      const path = withStream(entry.path, stream)
      const placed = { entry, path, folder, place: this.#names.place(folder, name, path) }
      if (stream !== undefined) plan.items.push(streamItem(placed, stream))
      else if (kind === 'link') plan.links.push({ ...placed, tree })
      else if (kind === 'other') this.#log.skipped(path, 'it is a socket, a pipe or a device')
      else this.#addFile(placed, plan)
    }
    return plan
  }

  #addFile(placed: Placed, plan: { readonly items: Item[]; readonly furtherNames: Item[] }): void {
    const { links, record, size } = placed.entry
    const item = { ...placed, stream: undefined, size }
    if (links < 2 || record === undefined) plan.items.push({ ...item, copies: undefined })
    else {
      const known = this.#copies.get(record)
      if (known !== undefined) {
        plan.furtherNames.push({ ...item, copies: known })
        return
      }
      const copies = { path: undefined }
      this.#copies.set(record, copies)
      plan.items.push({ ...item, copies })
    }
    this.#addStreams(placed.entry, placed.folder, placed.place, plan.items)
  }

  /** The directory of a source has the name that was asked for, or its own; the root of the volume is the target itself. */
  #treeOf(source: Source): TargetTree {
    const { path, name } = source.entry
    let tree = this.#trees.get(source)
    if (tree === undefined) {
      const own = this.#options.name ?? name
      const root = own === '' ? this.#names.root : this.#names.folder(this.#names.root, own, path)
      tree = new TargetTree(this.#names, path, root)
      this.#trees.set(source, tree)
    }
    return tree
  }

  #addStreams(entry: Entry, folder: TargetFolder, place: string, items: Item[]): void {
    if (this.#options.streams === 'none') this.#log.counts.streamsNotKept += entry.streams.length
    if (this.#options.streams !== 'files') return
    const name = place.slice(place.lastIndexOf('/') + 1)
    for (const { name: stream } of entry.streams) {
      const path = withStream(entry.path, stream)
      const own = this.#names.place(folder, withStream(name, stream), path)
      items.push(streamItem({ entry, path, folder, place: own }, stream))
    }
  }
}

const withStream = (name: string, stream: string | undefined) => (stream === undefined ? name : `${name}:${stream}`)

function streamItem(placed: Placed, stream: string): Item {
  const size = placed.entry.streams.find(({ name }) => name === stream)?.size ?? 0
  return { ...placed, stream, size, copies: undefined }
}
