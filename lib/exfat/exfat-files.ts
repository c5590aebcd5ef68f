/** The files of an exFAT volume. spec-notes/exfat.md, "Files". */
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError, formatError, hex, isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { ClusterChain } from '../volume/cluster-chain.ts'
import { ClusterContent, type ClusterPlaces } from '../volume/cluster-content.ts'
import { type ClusterEntry, rootFields } from '../volume/cluster-files.ts'
import type { ClusterLinks } from '../volume/cluster-links.ts'
import { type DecodedPiece, DirectoryFiles, type DirectoryPiece } from '../volume/directory-files.ts'
import { type UpcaseTable, unicodeUpcase } from '../volume/letter-case.ts'
import { pathIn, shownName } from '../volume/path.ts'
import { decodeSets, type EntrySet } from './entry-set.ts'
import { fileEntry, streamEntry, upcaseEntry } from './format.ts'
import { clusterOffset, type ExfatLayout, isCluster } from './layout.ts'
import { MAX_DIRECTORY_LENGTH, type StoredEntry } from './root-directory.ts'
import { readUpcaseTable } from './upcase-table.ts'

/** Repeated, it makes entries that are not in use. */
const UNUSED = 0x05

const NONE: readonly never[] = []
const CONTIGUOUS = ['contiguous']

/** A file or directory of an exFAT volume. */
export interface ExfatEntry extends ClusterEntry {
  /** Its clusters lie one after another, and the FAT says nothing of them. */
  readonly isContiguous: boolean
}

/** Open it with `ExfatVolume.openFiles`. */
export class ExfatFiles extends DirectoryFiles<ExfatEntry> {
  protected readonly root: ExfatEntry
  protected readonly links: ClusterLinks
  protected upcase: UpcaseTable = unicodeUpcase()
  protected readonly volumeSize: number
  protected readonly filler = UNUSED
  readonly #layout: ExfatLayout
  readonly #places: ClusterPlaces
  #upcaseChain: ClusterChain | undefined

  private constructor(device: BlockDevice, layout: ExfatLayout, links: ClusterLinks) {
    super(device)
    this.links = links
    this.volumeSize = layout.volumeSize
    this.#layout = layout
    this.#places = { clusterSize: layout.clusterSize, offsetOf: number => clusterOffset(layout, number) }
    this.root = {
      ...rootFields,
      allocatedSize: layout.clusterSize,
      position: clusterOffset(layout, layout.rootCluster),
      error: undefined,
      firstCluster: layout.rootCluster,
      isContiguous: false,
    }
  }

  /** `links`: those of the live FAT. `upcase`: the entry of the root directory for the up-case table. */
  static async open(
    device: BlockDevice,
    layout: ExfatLayout,
    links: ClusterLinks,
    upcase: StoredEntry | undefined,
  ): Promise<ExfatFiles> {
    const files = new ExfatFiles(device, layout, links)
    try {
      files.upcase = await files.#readUpcase(upcase)
    } catch (error) {
      if (!isDamage(error)) throw error
      files.note(otherUpcase(error.message))
    }
    return files
  }

  async #readUpcase(stored: StoredEntry | undefined): Promise<UpcaseTable> {
    if (stored === undefined) throw new FormatError('EXFAT_NO_UPCASE', 'the root directory names no up-case table')
    const { checksum, firstCluster, dataLength } = upcaseEntry.decode(stored.bytes, 0, stored.position)
    const chain = await ClusterChain.follow(this.links, firstCluster)
    this.#upcaseChain = chain
    const capacity = chain.count * this.#layout.clusterSize
    const content = new ClusterContent(this.cached, this.#places, chain, Math.min(dataLength, capacity))
    return readUpcaseTable(content, checksum, stored.position)
  }

  /** The clusters of all that can be read: the root directory, the up-case table, files and directories. */
  async *owners(signal?: AbortSignal): AsyncIterable<{ readonly path: string; readonly chain: ClusterChain }> {
    yield { path: this.root.path, chain: await this.chainOf(this.root) }
    if (this.#upcaseChain !== undefined) yield { path: 'the up-case table', chain: this.#upcaseChain }
    for await (const batch of this.scan(this.root, signal === undefined ? {} : { signal })) {
      for (const entry of batch) {
        if (entry.position === undefined || entry.error !== undefined) continue
        yield { path: entry.path, chain: await this.chainOf(entry) }
      }
    }
  }

  protected placesOf(): ClusterPlaces {
    return this.#places
  }

  protected async chainOf({ kind, isContiguous, firstCluster, contentSize }: ExfatEntry): Promise<ClusterChain> {
    const { clusterSize } = this.#layout
    if (isContiguous) {
      return ClusterChain.contiguous({ first: firstCluster, count: Math.ceil(contentSize! / clusterSize) })
    }
    const limit = kind === 'directory' ? Math.ceil(MAX_DIRECTORY_LENGTH / clusterSize) : undefined
    return ClusterChain.follow(this.links, firstCluster, limit)
  }

  protected async decode(directory: ExfatEntry, piece: DirectoryPiece): Promise<DecodedPiece<ExfatEntry>> {
    const { sets, broken, length, isLast } = decodeSets(piece.bytes, piece.isFinal)
    for (const { offset, problem } of broken) this.note(brokenSet(directory, problem, await piece.positionOf(offset)))
    const entries: ExfatEntry[] = []
    for (const set of sets) {
      const problem = problemOf(this.#layout, set)
      const error = problem && setError(problem, await piece.positionOf(set.offset))
      entries.push(this.#entry(directory, set, error))
    }
    return { entries, length, isLast }
  }

  #entry(directory: ExfatEntry, set: EntrySet, error: FormatError | undefined): ExfatEntry {
    const { clusterSize, clusterCount } = this.#layout
    const { isDirectory, created, modified, accessed, attributes, firstCluster, dataLength } = set
    const name = shownName(set.name)
    const hasPlace = dataLength > 0 && isCluster(this.#layout, firstCluster)
    // A length that cannot be is told by the error: nobody is to add it up.
    const size = dataLength <= clusterCount * clusterSize ? dataLength : 0
    return {
      path: pathIn(directory.path, name),
      name,
      kind: isDirectory ? 'directory' : 'file',
      size: isDirectory ? 0 : size,
      allocatedSize: Math.ceil(size / clusterSize) * clusterSize,
      modified,
      created,
      accessed,
      changed: undefined,
      attributes,
      record: undefined,
      links: 1,
      streams: NONE,
      target: undefined,
      position: hasPlace ? clusterOffset(this.#layout, firstCluster) : undefined,
      isSystem: false,
      error,
      namespace: 'long',
      shortName: undefined,
      firstCluster,
      contentSize: dataLength,
      validSize: set.validDataLength,
      flags: set.isContiguous ? CONTIGUOUS : NONE,
      isContiguous: set.isContiguous,
    }
  }
}

/** What is wrong with a set: a field of one of its entries. */
interface Problem {
  readonly code: string
  readonly field: FieldPlace
  readonly expected: string
  readonly actual: string
}

/** Why the content of a file cannot be where its set says; undefined when it can, before its chain is followed. */
function problemOf(layout: ExfatLayout, set: EntrySet): Problem | undefined {
  const { clusterSize, clusterCount } = layout
  const { checksum, isDirectory, isContiguous, firstCluster, dataLength, validDataLength } = set
  if (checksum !== undefined) {
    const [expected, actual] = [hex(checksum.computed), hex(checksum.stored)]
    return { code: 'EXFAT_SET_CHECKSUM', field: SET_CHECKSUM, expected, actual }
  }
  const most = isDirectory ? Math.min(MAX_DIRECTORY_LENGTH, clusterCount * clusterSize) : clusterCount * clusterSize
  if (dataLength > most) {
    const expected = `at most ${most}, what ${isDirectory ? 'a directory may have' : 'all clusters have'}`
    return { code: 'FILE_TOO_LARGE', field: DATA_LENGTH, expected, actual: `${dataLength}` }
  }
  if (validDataLength > dataLength) {
    const expected = `at most ${dataLength}, the data length`
    return { code: 'EXFAT_VALID_LENGTH', field: VALID_DATA_LENGTH, expected, actual: `${validDataLength}` }
  }
  const clusters = Math.ceil(dataLength / clusterSize)
  const last = isContiguous ? firstCluster + clusters - 1 : firstCluster
  if (clusters === 0 || (isCluster(layout, firstCluster) && isCluster(layout, last))) return undefined
  const expected = `2 to ${clusterCount + 1 - (last - firstCluster)}`
  return { code: 'NO_SUCH_CLUSTER', field: FIRST_CLUSTER, expected, actual: `${firstCluster}` }
}

const setError = ({ code, field, expected, actual }: Problem, position: number): FormatError =>
  formatError(code, { ...field, position: position + field.position, expected, actual })

/** A field of a set; `position` from where the set begins. */
interface FieldPlace {
  readonly structure: string
  readonly field: string
  readonly position: number
}

const inStream = (field: 'firstCluster' | 'dataLength' | 'validDataLength'): FieldPlace => ({
  structure: streamEntry.name,
  field,
  position: fileEntry.size + streamEntry.offsetOf(field),
})
const FIRST_CLUSTER = inStream('firstCluster')
const DATA_LENGTH = inStream('dataLength')
const VALID_DATA_LENGTH = inStream('validDataLength')
const SET_CHECKSUM: FieldPlace = {
  structure: fileEntry.name,
  field: 'setChecksum',
  position: fileEntry.offsetOf('setChecksum'),
}

const brokenSet = ({ path }: ExfatEntry, problem: string, position: number): Finding => ({
  code: 'EXFAT_ENTRY_BAD',
  message: `an entry of directory ${path} at byte ${hex(position)} ${problem}, and is passed over`,
  details: { path, position },
})

const otherUpcase = (problem: string): Finding => ({
  code: 'EXFAT_UPCASE_BAD',
  message: `capital letters are those of Unicode, for the volume's own table cannot be used: ${problem}`,
})
