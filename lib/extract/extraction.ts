/** Entries of an image becoming files, folders and links below a folder. */
import type { Entry } from '../volume/entry.ts'
import type { Files } from '../volume/files.ts'
import type { ExtractOptions } from './extract-options.ts'
import type { ExtractLog } from './extract-report.ts'
import { FileCopier, type Item } from './file-copier.ts'
import { HostFolder, type UnixTimes } from './host-folder.ts'
import type { NameRules } from './host-name.ts'
import { linkTarget } from './link-target.ts'
import type { Selected } from './selection.ts'
import type { Source } from './sources.ts'
import { type TargetFolder, TargetNames, TargetTree } from './target-names.ts'
import { unixTimes } from './unix-time.ts'

/** Where copies go: into `folder`, which is there; under `name` where there is only one and it was given a name. */
export interface Place {
  readonly folder: string
  readonly name: string | undefined
}

/** A symbolic link to be made when all it may lead to is there. */
interface PlannedLink {
  readonly entry: Entry
  readonly folder: TargetFolder
  /** What is copied with it; undefined for a link that was asked for by itself. */
  readonly tree: TargetTree | undefined
  readonly place: string
}

export class Extraction implements AsyncDisposable {
  readonly #options: ExtractOptions
  readonly #place: Place
  readonly #log: ExtractLog
  readonly #folder: HostFolder
  readonly #names: TargetNames
  readonly #copier: FileCopier
  readonly #trees = new Map<Source, TargetTree>()
  readonly #copies = new Map<number, NonNullable<Item['copies']>>()
  readonly #folders: { readonly folder: TargetFolder; readonly times: UnixTimes }[] = []
  readonly #links: PlannedLink[] = []

  /** `total`: bytes to copy, for progress. */
  constructor(files: Files, place: Place, rules: NameRules, total: number, log: ExtractLog, options: ExtractOptions) {
    this.#place = place
    this.#log = log
    this.#options = options
    this.#folder = new HostFolder(place.folder)
    this.#names = new TargetNames(rules, renamed => log.renamed(renamed))
    this.#copier = new FileCopier(files, this.#folder, this.#names, total, log, options)
  }

  /** Copies the entries. Links, and the times of folders, wait for `finish`. */
  async copy(window: readonly Selected[]): Promise<void> {
    const [items, furtherNames] = [[] as Item[], [] as Item[]]
    for (const { entry, source } of window) {
      if (entry.error !== undefined) this.#log.error(entry.path, entry.error)
      const isSource = entry === source.entry
      if (entry.kind === 'directory' && source.stream === undefined) {
        await this.#makeFolder(entry, this.#treeOf(source), isSource, items)
        continue
      }
      if (entry.error !== undefined) continue
      const tree = isSource ? undefined : this.#treeOf(source)
      const folder = tree?.parentFolder(entry.path, entry.name) ?? this.#names.root
      const name = (isSource ? this.#place.name : undefined) ?? withStream(entry.name, source.stream)
      const path = withStream(entry.path, source.stream)
      const place = this.#names.place(folder, name, path)
      if (source.stream !== undefined) {
        items.push(streamItem(entry, source.stream, folder, place))
      } else if (entry.kind === 'link') {
        this.#links.push({ entry, folder, tree, place })
      } else if (entry.kind === 'other') {
        this.#log.skipped(path, 'it is a socket, a pipe or a device')
      } else {
        const { copies, isFirst } = this.#copiesOf(entry)
        const item = { entry, stream: undefined, path, size: entry.size, folder, place, copies }
        ;(isFirst ? items : furtherNames).push(item)
        if (isFirst) this.#addStreams(entry, folder, place, items)
      }
    }
    await this.#copier.copy(items)
    await this.#copier.copy(await this.#copier.link(furtherNames))
  }

  /** Makes the links, now that all they may lead to is there, and sets the times of folders, now that all is in them. */
  async finish(): Promise<void> {
    for (const link of this.#links) {
      this.#options.signal?.throwIfAborted()
      await this.#makeLink(link)
    }
    for (const { folder, times } of this.#folders) await this.#folder.setTimes(folder, times)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#copier[Symbol.asyncDispose]()
  }

  /** The directory of a source has the name that was asked for, or its own; the root of the volume is the target itself. */
  #treeOf(source: Source): TargetTree {
    const { path, name } = source.entry
    let tree = this.#trees.get(source)
    if (tree === undefined) {
      const own = this.#place.name ?? name
      const root = own === '' ? this.#names.root : this.#names.folder(this.#names.root, own, path)
      tree = new TargetTree(this.#names, path, root)
      this.#trees.set(source, tree)
    }
    return tree
  }

  async #makeFolder(entry: Entry, tree: TargetTree, isSource: boolean, items: Item[]): Promise<void> {
    const folder = isSource ? tree.root : tree.folder(entry.path, entry.name)
    try {
      await this.#folder.ensure(folder)
    } catch (error) {
      this.#copier.failed(entry.path, error)
      return
    }
    this.#log.counts.directories++
    const times = unixTimes(entry)
    if (times !== undefined && folder.parent !== undefined) this.#folders.push({ folder, times })
    if (folder.parent !== undefined) this.#addStreams(entry, folder.parent, folder.path, items)
  }

  /** Streams of what is at `place` become items beside it, unless the system has streams itself. */
  #addStreams(entry: Entry, folder: TargetFolder, place: string, items: Item[]): void {
    if (!this.#options.streams) {
      this.#log.counts.streamsNotKept += entry.streams.length
      return
    }
    if (this.#copier.keepsStreams) return
    const name = place.slice(place.lastIndexOf('/') + 1)
    for (const { name: stream } of entry.streams) {
      const own = this.#names.place(folder, withStream(name, stream), withStream(entry.path, stream))
      items.push(streamItem(entry, stream, folder, own))
    }
  }

  /** What the names of one file share; the first of them is copied, the others become links to it. */
  #copiesOf({ links, record }: Entry): { readonly copies: Item['copies']; readonly isFirst: boolean } {
    if (links < 2 || record === undefined) return { copies: undefined, isFirst: true }
    const known = this.#copies.get(record)
    const copies = known ?? { path: undefined }
    this.#copies.set(record, copies)
    return { copies, isFirst: known === undefined }
  }

  async #makeLink({ entry, folder, tree, place }: PlannedLink): Promise<void> {
    const target =
      tree === undefined
        ? `it is a link to ${entry.target}, which is not followed`
        : linkTarget(entry, folder, tree, this.#names.rules)
    if (typeof target === 'string') {
      this.#log.skipped(entry.path, target)
      return
    }
    const isMade = await this.#copier.place({ path: entry.path, folder, place }, (path, replaces) =>
      this.#folder.linkPath(target.path, path, target.isFolder, unixTimes(entry), replaces),
    )
    if (isMade) this.#log.counts.links++
  }
}

const withStream = (name: string, stream: string | undefined) => (stream === undefined ? name : `${name}:${stream}`)

function streamItem(entry: Entry, stream: string, folder: TargetFolder, place: string): Item {
  const size = entry.streams.find(({ name }) => name === stream)?.size ?? 0
  return { entry, stream, path: withStream(entry.path, stream), size, folder, place, copies: undefined }
}
