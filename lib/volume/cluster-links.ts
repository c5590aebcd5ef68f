/** The links between clusters, by which FAT and exFAT chain what belongs together: a number for each cluster, read in pages. */

/** Even, so that FAT12's pairs of entries in 3 bytes stay whole. */
const PAGE_LINKS = 4096
/** 4 MiB of memory. */
const PAGES_KEPT = 256

/** Stands where a link cannot be read. No format has a cluster of that number. */
export const UNREADABLE_LINK = 0xfffffffe

/** Where links come from. Clusters 2 to `clusterCount` + 1 exist. */
export interface LinkSource {
  readonly clusterCount: number
  /** Byte of the volume where the link of `cluster` stands. */
  placeOf(cluster: number): number
  /** Whether `link` ends a chain. */
  isEnd(link: number): boolean
  /** Fills `links` with those of the clusters from `first` on, which may be 0 or 1; what cannot be read with UNREADABLE_LINK. */
  readLinks(first: number, links: Uint32Array): Promise<void>
}

/** A page of links: that of cluster `first` and those behind it. */
export interface LinkPage {
  readonly first: number
  readonly links: Uint32Array
}

/** The links of a volume, the pages last used kept. */
export class ClusterLinks {
  readonly source: LinkSource
  /** By number, the one used longest ago first. */
  readonly #pages = new Map<number, Promise<LinkPage>>()

  constructor(source: LinkSource) {
    this.source = source
  }

  /** The page with the link of `cluster`, which must exist. Throws StorageError (DEVICE_GONE). */
  page(cluster: number): Promise<LinkPage> {
    const number = Math.floor(cluster / PAGE_LINKS)
    const page = this.#pages.get(number) ?? this.#load(number)
    this.#pages.delete(number)
    this.#pages.set(number, page)
    if (this.#pages.size > PAGES_KEPT) {
      const [oldest] = this.#pages.keys()
      this.#pages.delete(oldest!)
    }
    return page
  }

  #load(number: number): Promise<LinkPage> {
    const first = number * PAGE_LINKS
    const links = new Uint32Array(Math.min(PAGE_LINKS, this.source.clusterCount + 2 - first))
    const loading = this.source.readLinks(first, links).then(() => ({ first, links }))
    loading.catch(() => {
      if (this.#pages.get(number) === loading) this.#pages.delete(number)
    })
    return loading
  }
}
