/** Entries of an image becoming files, folders and links below a folder. */
import type { Files } from '../volume/files.ts'
import type { ExtractOptions } from './extract-options.ts'
import type { ExtractLog } from './extract-report.ts'
import { FileCopier } from './file-copier.ts'
import { HostFolder, type UnixTimes } from './host-folder.ts'
import type { NameRules } from './host-name.ts'
import { Layout, type PlannedFolder, type PlannedLink } from './layout.ts'
import { linkTarget } from './link-target.ts'
import type { Selected } from './selection.ts'
import { type TargetFolder, TargetNames } from './target-names.ts'
import { unixTimes } from './unix-time.ts'

/** Where copies go: into `folder`, which is there; under `name` where there is only one and it was given a name. */
export interface Place {
  readonly folder: string
  readonly name: string | undefined
}

export class Extraction implements AsyncDisposable {
  readonly #signal: AbortSignal | undefined
  readonly #log: ExtractLog
  readonly #folder: HostFolder
  readonly #names: TargetNames
  readonly #layout: Layout
  readonly #copier: FileCopier
  readonly #times: { readonly folder: TargetFolder; readonly times: UnixTimes }[] = []
  readonly #links: PlannedLink[] = []

  /** `total`: bytes to copy, for progress. */
  constructor(files: Files, place: Place, rules: NameRules, total: number, log: ExtractLog, options: ExtractOptions) {
    this.#signal = options.signal
    this.#log = log
    this.#folder = new HostFolder(place.folder, options.sources ?? [])
    this.#names = new TargetNames(rules, renamed => log.renamed(renamed))
    this.#copier = new FileCopier(files, this.#folder, this.#names, total, log, options)
    const streams = this.#copier.keepsStreams ? 'streams' : 'files'
    this.#layout = new Layout(this.#names, log, { name: place.name, streams: options.streams ? streams : 'none' })
  }

  /** Copies the entries. Links, and the times of folders, wait for `finish`. */
  async copy(window: readonly Selected[]): Promise<void> {
    const { folders, items, furtherNames, links } = this.#layout.plan(window)
    for (const folder of folders) await this.#makeFolder(folder)
    await this.#copier.copy(items)
    await this.#copier.copy(await this.#copier.link(furtherNames))
    for (const link of links) this.#links.push(link)
  }

  /** Makes the links, now that all they may lead to is there, and sets the times of folders, now that all is in them. */
  async finish(): Promise<void> {
    for (const link of this.#links) {
      this.#signal?.throwIfAborted()
      await this.#makeLink(link)
    }
    for (const { folder, times } of this.#times) await this.#folder.setTimes(folder, times)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#copier[Symbol.asyncDispose]()
  }

  async #makeFolder({ entry, folder }: PlannedFolder): Promise<void> {
    try {
      await this.#folder.ensure(folder)
    } catch (error) {
      this.#copier.failed(entry.path, error)
      return
    }
    this.#log.counts.directories++
    const times = unixTimes(entry)
    if (times !== undefined && folder.parent !== undefined) this.#times.push({ folder, times })
  }

  async #makeLink(link: PlannedLink): Promise<void> {
    const target = linkTarget(link, this.#names.rules)
    if (typeof target === 'string') {
      this.#log.skipped(link.path, target)
      return
    }
    const isMade = await this.#copier.place(link, (path, replaces) =>
      this.#folder.linkPath(target.path, path, target.isFolder, unixTimes(link.entry), replaces),
    )
    if (isMade) this.#log.counts.links++
  }
}
