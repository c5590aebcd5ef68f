/** The content of files that lie in chains of clusters, and what is known of it. */
import type { BlockDevice } from '../device/block-device.ts'
import { type FormatError, formatError, NotFoundError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { ClusterChain } from './cluster-chain.ts'
import { ClusterContent, type ClusterPlaces } from './cluster-content.ts'
import type { ClusterLinks } from './cluster-links.ts'
import { type Entry, FileAttribute } from './entry.ts'
import type { AttributeDetails, EntryDetails, RunDetails } from './files.ts'
import { FindingList } from './finding-list.ts'

/** Runs that `details` gives. */
const MAX_RUNS = 65_536

/** A file or directory, with what is needed to read it. */
export interface ClusterEntry extends Entry {
  readonly namespace: 'long' | 'short'
  /** Its short (8.3) name, if it has a long one too. */
  readonly shortName: string | undefined
  /** 0 where it has none. */
  readonly firstCluster: number
  /** Bytes of the content, of a directory too; undefined where it has as many as its clusters. */
  readonly contentSize: number | undefined
  /** Bytes that were written; what is behind them reads as zeros. */
  readonly validSize: number | undefined
  /** What is special about how the content lies, such as 'contiguous'. */
  readonly flags: readonly string[]
}

/** Opens the files of a volume of FAT or exFAT. */
export abstract class ClusterFiles<E extends ClusterEntry> {
  protected abstract readonly root: E
  protected abstract readonly links: ClusterLinks
  protected readonly device: BlockDevice
  readonly #findings = new FindingList()

  constructor(device: BlockDevice) {
    this.device = device
  }

  get findings(): readonly Finding[] {
    return this.#findings.list
  }

  /** The clusters of an entry that has no `error`. */
  protected abstract chainOf(entry: E): Promise<ClusterChain>
  protected abstract placesOf(entry: E): ClusterPlaces

  protected note(finding: Finding): void {
    this.#findings.add(finding)
  }

  async open(entry: E, stream = ''): Promise<BlockDevice> {
    const { path, kind, error } = entry
    if (kind !== 'file') throw new NotFoundError('NOT_A_FILE', `${path} is not a file`, { path })
    if (stream !== '') {
      const message = `${path} has no stream '${stream}': only NTFS has streams`
      throw new NotFoundError('NO_SUCH_STREAM', message, { path, stream })
    }
    if (error !== undefined) throw error
    const chain = await this.chainOf(entry)
    const content = this.contentIn(chain, entry, this.device)
    if (content.size < entry.size) throw await this.#shortChain(entry, chain)
    return content
  }

  /** The content as far as `chain` reaches. */
  protected contentIn(chain: ClusterChain, entry: E, device: BlockDevice): ClusterContent {
    const places = this.placesOf(entry)
    const capacity = chain.count * places.clusterSize
    const size = Math.min(entry.contentSize ?? capacity, capacity)
    return new ClusterContent(device, places, chain, size, entry.validSize)
  }

  /** Never are zeros given for what is behind the end of a chain. */
  async #shortChain({ path, size, firstCluster }: E, chain: ClusterChain): Promise<FormatError> {
    const last = chain.count === 0 ? firstCluster : (await chain.find(chain.count - 1)).first
    return formatError('CLUSTER_CHAIN_BROKEN', {
      structure: 'cluster chain',
      position: this.links.source.placeOf(last),
      expected: `one for the ${size} bytes of ${path}`,
      actual: `one that ${chain.problem ?? 'ends'} after ${chain.count} clusters`,
    })
  }

  async details(entry: E): Promise<EntryDetails> {
    const { name, namespace, shortName, created, modified, changed, accessed, firstCluster } = entry
    const short = shortName === undefined ? [] : [{ name: shortName, namespace: 'short', parent: undefined }]
    const isRoot = entry.path === this.root.path
    return {
      entry,
      names: isRoot ? [] : [{ name, namespace, parent: undefined }, ...short],
      times: isRoot ? [] : [{ source: 'directory entry', created, modified, changed, accessed }],
      identifiers: firstCluster === 0 ? {} : { 'first cluster': firstCluster },
      attributes: entry.error === undefined ? [await this.#contentDetails(entry)] : [],
      reparse: undefined,
      sddl: undefined,
    }
  }

  async #contentDetails(entry: E): Promise<AttributeDetails> {
    const { clusterSize, offsetOf } = this.placesOf(entry)
    const chain = await this.chainOf(entry)
    const { size } = this.contentIn(chain, entry, this.device)
    const problem = shortage(chain, entry, size)
    if (problem !== undefined) this.note(brokenChain(entry, problem))
    const runs: RunDetails[] = []
    let offset = 0
    for await (const { first, count } of chain.runs()) {
      if (runs.length === MAX_RUNS) {
        this.note(manyRuns(entry))
        break
      }
      const content = { offset, length: count * clusterSize }
      runs.push({ content, position: offsetOf(first) })
      offset += content.length
    }
    return {
      type: 'content',
      name: '',
      resident: false,
      flags: entry.flags,
      size,
      initializedSize: Math.min(entry.validSize ?? size, size),
      allocatedSize: chain.count * clusterSize,
      records: [],
      runs,
    }
  }
}

/** What is the same in every root. */
export const rootFields = {
  path: '/',
  name: '',
  kind: 'directory',
  size: 0,
  modified: undefined,
  created: undefined,
  accessed: undefined,
  changed: undefined,
  attributes: FileAttribute.directory,
  record: undefined,
  links: 1,
  streams: [],
  target: undefined,
  isSystem: false,
  namespace: 'long',
  shortName: undefined,
  contentSize: undefined,
  validSize: undefined,
  flags: [],
} as const

/** Why `chain` is not as long as the content, of which it holds `size` bytes; undefined when it is. */
export function shortage(chain: ClusterChain, { contentSize }: ClusterEntry, size: number): string | undefined {
  if (contentSize === undefined) return chain.problem
  return contentSize === size ? undefined : (chain.problem ?? `ends after ${chain.count} clusters`)
}

export const brokenChain = ({ path, position }: Entry, problem: string): Finding => ({
  code: 'CLUSTER_CHAIN_BROKEN',
  message: `the chain of clusters of ${path} ${problem}`,
  details: { path, position },
})

const manyRuns = ({ path }: Entry): Finding => ({
  code: 'MORE_RUNS',
  message: `${path} lies in more than ${MAX_RUNS} pieces: these are the first`,
  details: { path },
})
