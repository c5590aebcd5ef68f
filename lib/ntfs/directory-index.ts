/** A directory: a tree of file names, ordered by $UpCase. spec-notes/ntfs.md, Directory index. */
import { isPowerOfTwo, KiB } from '../binary/size.ts'
import { type DiskImageError, type FormatError, formatError } from '../errors.ts'
import type { AttributeReader } from './attribute-reader.ts'
import { isDamage } from './damage.ts'
import { decodeFileName, type FileName } from './file-name.ts'
import { applyFixup } from './fixup.ts'
import {
  AttributeType,
  type FileReference,
  IndexEntryFlag,
  indexBlockHeader,
  indexEntryHeader,
  indexNodeHeader,
  indexRootHeader,
} from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'
import type { UpcaseTable } from './upcase.ts'

/** What a directory says of one name. */
export interface DirectoryEntry {
  readonly reference: FileReference
  readonly fileName: FileName
  /** The $FILE_NAME value, and where it lies on the volume. */
  readonly key: Buffer
  readonly position: number
}

interface NodeEntry {
  /** Undefined for the last one of a node, which stands after all names. */
  readonly entry: DirectoryEntry | undefined
  /** The node with all names between the entry before and this one. */
  readonly subNode: number | undefined
}

/** Told of a damaged node. */
type OnDamage = (error: DiskImageError) => void

const INDEX_NAME = '$I30'
/** No directory of 2^32 entries comes near it. */
const MAX_DEPTH = 32

export class DirectoryIndex {
  readonly #upcase: UpcaseTable
  /** Of $INDEX_ROOT, for error messages. */
  readonly #position: number
  readonly #root: NodeEntry[]
  readonly #blocks: AttributeReader | undefined
  readonly #blockSize: number
  /** Bytes that a node's number counts. */
  readonly #vcnSize: number

  /** The index of the directory `directory`. Throws FormatError (NTFS_INDEX) when it has none or a bad one. */
  constructor(directory: NtfsFile, clusterSize: number, upcase: UpcaseTable) {
    const [root] = directory.find(AttributeType.indexRoot, INDEX_NAME)
    const position = root?.position ?? directory.base.position
    if (!root?.resident) throw problem('$INDEX_ROOT', position, 'a resident one', 'missing')
    const { blockSize } = indexRootHeader.decode(root.value, 0, position)
    if (!isPowerOfTwo(blockSize) || blockSize < 512 || blockSize > 64 * KiB) {
      throw problem('$INDEX_ROOT.blockSize', position, 'a power of two from 512 to 65536', `${blockSize}`)
    }
    this.#upcase = upcase
    this.#position = position
    this.#root = decodeNode(root.value, indexRootHeader.size, position)
    this.#blocks = directory.reader(AttributeType.indexAllocation, INDEX_NAME)
    this.#blockSize = blockSize
    this.#vcnSize = clusterSize <= blockSize ? clusterSize : 512
  }

  /**
   * All entries in the order of the directory. A damaged node is told to `onDamage`, and what is in and below it passed
   * over; without that it throws FormatError (NTFS_INDEX).
   */
  entries(onDamage?: OnDamage): AsyncIterable<DirectoryEntry> {
    return this.#walk(this.#root, () => 0, onDamage)
  }

  /**
   * The entry of `name`; without regard to case, unless there is one of exactly that case. Undefined when there is none.
   * Throws FormatError (NTFS_INDEX) when a node on the way is damaged.
   */
  async find(name: string): Promise<DirectoryEntry | undefined> {
    let found: DirectoryEntry | undefined
    for await (const entry of this.#walk(this.#root, other => this.#upcase.compare(other, name))) {
      if (entry.fileName.name === name) return entry
      found ??= entry
    }
    return found
  }

  /** The entries whose name `compare` gives 0 for, in order. Names give numbers that never fall along the tree. */
  async *#walk(
    node: NodeEntry[],
    compare: (name: string) => number,
    onDamage?: OnDamage,
    seen = new Set<number>(),
    depth = 1,
  ): AsyncGenerator<DirectoryEntry, void> {
    for (const { entry, subNode } of node) {
      const order = entry === undefined ? 1 : compare(entry.fileName.name)
      if (order < 0) continue
      if (subNode !== undefined) {
        const below = await this.#descend(subNode, seen, depth).catch(error => {
          if (onDamage === undefined || !isDamage(error)) throw error
          onDamage(error)
          return []
        })
        yield* this.#walk(below, compare, onDamage, seen, depth + 1)
      }
      if (order > 0) return
      yield entry!
    }
  }

  async #descend(subNode: number, seen: Set<number>, depth: number): Promise<NodeEntry[]> {
    if (seen.has(subNode) || depth > MAX_DEPTH) {
      throw problem('NTFS index', this.#position, 'a tree', `in circles at node ${subNode}`)
    }
    seen.add(subNode)
    return await this.#readNode(subNode)
  }

  async #readNode(vcn: number): Promise<NodeEntry[]> {
    const offset = vcn * this.#vcnSize
    const size = this.#blocks?.size ?? 0
    if (offset + this.#blockSize > size) {
      throw problem('NTFS index', this.#position, `in ${size} bytes`, `one with a node at byte ${offset}`)
    }
    const block = Buffer.alloc(this.#blockSize)
    await this.#blocks!.read(offset, block)
    const position = this.#blocks!.positionOf(offset) ?? 0
    const header = indexBlockHeader.decode(block, 0, position)
    const torn = applyFixup(block, 0, block.length)
    if (torn !== undefined) throw problem(indexBlockHeader.name, position, 'written whole', torn)
    if (header.vcn !== vcn) throw problem(`${indexBlockHeader.name}.vcn`, position, `${vcn}`, `${header.vcn}`)
    return decodeNode(block, indexBlockHeader.size, position)
  }
}

/**
 * The entries of the node whose header is at byte `start` of `bytes`, which lie at byte `position` of the volume. A large
 * directory has thousands of nodes, so it reads the bytes where they are.
 */
function decodeNode(bytes: Buffer, start: number, position: number): NodeEntry[] {
  const { entriesOffset, bytesUsed } = indexNodeHeader.decode(bytes, start, position)
  const end = start + bytesUsed
  if (entriesOffset < indexNodeHeader.size || entriesOffset > bytesUsed || end > bytes.length) {
    throw problem(indexNodeHeader.name, position + start, `within ${bytes.length} bytes`, `${bytesUsed} bytes long`)
  }
  const entries: NodeEntry[] = []
  for (let at = start + entriesOffset; ; ) {
    const left = end - at
    const hasHeader = left >= indexEntryHeader.size
    const length = hasHeader ? bytes.readUInt16LE(at + 8) : 0
    const keyLength = hasHeader ? bytes.readUInt16LE(at + 10) : 0
    const flags = hasHeader ? bytes[at + 12]! : 0
    const hasSubNode = (flags & IndexEntryFlag.hasSubNode) !== 0
    const least = indexEntryHeader.size + keyLength + (hasSubNode ? 8 : 0)
    if (length < least || length > left) {
      throw problem(indexEntryHeader.name, position + at, `${least} to ${left} bytes long`, `${length} bytes long`)
    }
    const subNode = hasSubNode
      ? bytes.readUInt32LE(at + length - 8) + 2 ** 32 * bytes.readUInt32LE(at + length - 4)
      : undefined
    if ((flags & IndexEntryFlag.last) !== 0) {
      entries.push({ entry: undefined, subNode })
      return entries
    }
    const keyAt = at + indexEntryHeader.size
    const key = bytes.subarray(keyAt, keyAt + keyLength)
    const reference = { record: bytes.readUIntLE(at, 6), sequence: bytes.readUInt16LE(at + 6) }
    const fileName = decodeFileName(key, position + keyAt)
    entries.push({ entry: { reference, fileName, key, position: position + keyAt }, subNode })
    at += length
  }
}

const problem = (structure: string, position: number, expected: string, actual: string): FormatError =>
  formatError('NTFS_INDEX', { structure, position, expected, actual })
