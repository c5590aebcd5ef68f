/** The trees in which NTFS keeps what it looks up: names in a directory, security descriptors by number. spec-notes/ntfs.md, Directory index. */
import { isPowerOfTwo, KiB } from '../binary/size.ts'
import { type DiskImageError, type FormatError, formatError, isDamage } from '../errors.ts'
import type { AttributeReader } from './attribute-reader.ts'
import { applyFixup } from './fixup.ts'
import {
  AttributeType,
  IndexEntryFlag,
  indexBlockHeader,
  indexEntryHeader,
  indexNodeHeader,
  indexRootHeader,
} from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'

/** Decodes the entry at `at` of `node`, whose key of `keyLength` bytes follows its header. `position`: of `node`. */
export type DecodeEntry<T> = (node: Buffer, at: number, keyLength: number, position: number) => T

/** Told of a damaged node. */
export type OnDamage = (error: DiskImageError) => void

interface NodeEntry<T> {
  /** Undefined for the last one of a node, which stands after all others. */
  readonly entry: T | undefined
  /** The node with all entries between the one before and this one. */
  readonly subNode: number | undefined
}

/** How far a walk is in a node. */
interface Step<T> {
  readonly node: readonly NodeEntry<T>[]
  index: number
  /** Whether it was below the entry at `index` already. */
  isBelowDone: boolean
}

/** No index of 2^32 entries comes near it. */
const MAX_DEPTH = 32

export class IndexTree<T> {
  /** Of $INDEX_ROOT, for error messages. */
  readonly #position: number
  readonly #decode: DecodeEntry<T>
  readonly #root: readonly NodeEntry<T>[]
  readonly #blocks: AttributeReader | undefined
  readonly #blockSize: number
  /** Bytes that a node's number counts. */
  readonly #vcnSize: number

  /** The index `name` of `file`. Throws FormatError (NTFS_INDEX) when it has none or a bad one. */
  constructor(file: NtfsFile, name: string, decode: DecodeEntry<T>) {
    const [root] = file.find(AttributeType.indexRoot, name)
    const position = root?.position ?? file.base.position
    if (!root?.resident) throw problem('$INDEX_ROOT', position, 'a resident one', 'missing')
    const { blockSize } = indexRootHeader.decode(root.value, 0, position)
    if (!isPowerOfTwo(blockSize) || blockSize < 512 || blockSize > 64 * KiB) {
      throw problem('$INDEX_ROOT.blockSize', position, 'a power of two from 512 to 65536', `${blockSize}`)
    }
    const { clusterSize } = file.mft.geometry
    this.#position = position
    this.#decode = decode
    this.#root = decodeNode(root.value, indexRootHeader.size, position, decode)
    this.#blocks = file.reader(AttributeType.indexAllocation, name)
    this.#blockSize = blockSize
    this.#vcnSize = clusterSize <= blockSize ? clusterSize : 512
  }

  /**
   * The entries that `compare` gives 0 for, in order; it gives numbers that never fall along the tree. A damaged node is
   * told to `onDamage`, and what is in and below it passed over; without that it throws FormatError (NTFS_INDEX).
   */
  async *walk(compare: (entry: T) => number, onDamage?: OnDamage): AsyncGenerator<T, void> {
    const seen = new Set<number>()
    const steps: Step<T>[] = [{ node: this.#root, index: 0, isBelowDone: false }]
    for (let step = steps.at(-1); step !== undefined; step = steps.at(-1)) {
      const item = step.node[step.index]
      const order = item?.entry === undefined ? 1 : compare(item.entry)
      if (order < 0) step.index++
      else if (item?.subNode !== undefined && !step.isBelowDone) {
        step.isBelowDone = true
        steps.push({
          node: await this.#below(item.subNode, seen, steps.length, onDamage),
          index: 0,
          isBelowDone: false,
        })
      } else if (order > 0) steps.pop()
      else {
        step.index++
        step.isBelowDone = false
        yield item!.entry!
      }
    }
  }

  async #below(
    subNode: number,
    seen: Set<number>,
    depth: number,
    onDamage: OnDamage | undefined,
  ): Promise<readonly NodeEntry<T>[]> {
    try {
      if (seen.has(subNode) || depth > MAX_DEPTH) {
        throw problem('NTFS index', this.#position, 'a tree', `in circles at node ${subNode}`)
      }
      seen.add(subNode)
      return await this.#readNode(subNode)
    } catch (error) {
      if (onDamage === undefined || !isDamage(error)) throw error
      onDamage(error)
      return []
    }
  }

  async #readNode(vcn: number): Promise<readonly NodeEntry<T>[]> {
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
    return decodeNode(block, indexBlockHeader.size, position, this.#decode)
  }
}

/**
 * The entries of the node whose header is at byte `start` of `bytes`, which lie at byte `position` of the volume. A large
 * directory has thousands of nodes, so it reads the bytes where they are.
 */
function decodeNode<T>(bytes: Buffer, start: number, position: number, decode: DecodeEntry<T>): NodeEntry<T>[] {
  const { entriesOffset, bytesUsed } = indexNodeHeader.decode(bytes, start, position)
  const end = start + bytesUsed
  if (entriesOffset < indexNodeHeader.size || entriesOffset > bytesUsed || end > bytes.length) {
    throw problem(indexNodeHeader.name, position + start, `within ${bytes.length} bytes`, `${bytesUsed} bytes long`)
  }
  const entries: NodeEntry<T>[] = []
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
    const subNode = hasSubNode ? readVcn(bytes, at + length - 8) : undefined
    if ((flags & IndexEntryFlag.last) !== 0) {
      entries.push({ entry: undefined, subNode })
      return entries
    }
    entries.push({ entry: decode(bytes, at, keyLength, position), subNode })
    at += length
  }
}

/** Rounded above 2^53, which is beyond every index. */
const readVcn = (bytes: Buffer, at: number) => bytes.readUInt32LE(at) + 2 ** 32 * bytes.readUInt32LE(at + 4)

const problem = (structure: string, position: number, expected: string, actual: string): FormatError =>
  formatError('NTFS_INDEX', { structure, position, expected, actual })
