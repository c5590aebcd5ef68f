/** $Secure: the security descriptors of all files, each once. spec-notes/ntfs.md, $Secure. */
import { KiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { formatError, isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { AttributeType, indexEntryHeader, SystemRecord, securityEntry } from './format.ts'
import { IndexTree } from './index-tree.ts'
import type { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'

/** Each descriptor lies a second time this far behind. */
const COPY_DISTANCE = 256 * KiB
/** An access control list has at most 64 KiB, and there are two. */
const MAX_SIZE = 256 * KiB

/** What $SII says of a descriptor. */
interface Place {
  readonly securityId: number
  readonly hash: number
  readonly offset: number
  /** Bytes, with the header. */
  readonly size: number
}

/** A security descriptor, and where it lies on the volume. */
export interface StoredDescriptor {
  readonly bytes: Buffer
  readonly position: number
}

export class SecurityStore {
  readonly #index: IndexTree<Place>
  readonly #stream: BlockDevice
  readonly #positionOf: (offset: number) => number
  readonly #findings: Finding[]
  /** The descriptors that were made up for by their copies. */
  readonly #told = new Set<number>()

  private constructor(
    index: IndexTree<Place>,
    stream: BlockDevice,
    positionOf: (offset: number) => number,
    findings: Finding[],
  ) {
    this.#index = index
    this.#stream = stream
    this.#positionOf = positionOf
    this.#findings = findings
  }

  /** Throws FormatError when $Secure is damaged, or too old to have any. That a copy was used is added to `findings`. */
  static async open(mft: Mft, findings: Finding[]): Promise<SecurityStore> {
    const file = await NtfsFile.open(mft, { record: SystemRecord.secure, sequence: 0 })
    const stream = file.reader(AttributeType.data, '$SDS')
    if (stream === undefined) throw problem(file.base.position, 'a stream $SDS', 'without it')
    const positionOf = (offset: number) => stream.positionOf(offset) ?? file.base.position
    return new SecurityStore(new IndexTree(file, '$SII', decodePlace), stream, positionOf, findings)
  }

  /** The descriptor `securityId`; undefined when there is none. Throws FormatError when it is damaged, and its copy too. */
  async find(securityId: number): Promise<StoredDescriptor | undefined> {
    for await (const place of this.#index.walk(place => place.securityId - securityId)) {
      try {
        return await this.#read(place, place.offset)
      } catch (error) {
        if (!isDamage(error)) throw error
        const copy = await this.#read(place, place.offset + COPY_DISTANCE).catch(() => {
          throw error
        })
        this.#tellCopyUsed(securityId, error)
        return copy
      }
    }
    return undefined
  }

  #tellCopyUsed(securityId: number, { message }: Error): void {
    if (this.#told.has(securityId)) return
    this.#told.add(securityId)
    this.#findings.push({
      code: 'NTFS_SECURE_COPY_USED',
      message: `security descriptor ${securityId} was read from its copy: ${message}`,
      details: { securityId },
    })
  }

  async #read({ securityId, hash, size }: Place, offset: number): Promise<StoredDescriptor> {
    const position = this.#positionOf(Math.min(offset, this.#stream.size))
    const isSane = size > securityEntry.size && size <= MAX_SIZE && offset + size <= this.#stream.size
    if (!isSane) throw problem(position, `an entry inside of ${this.#stream.size} bytes`, `${size} bytes at ${offset}`)
    const entry = Buffer.alloc(size)
    await this.#stream.read(offset, entry)
    const bytes = entry.subarray(securityEntry.size)
    const found = securityEntry.decode(entry, 0, position)
    const isRight = found.securityId === securityId && found.hash === hash && hashOf(bytes) === hash
    if (!isRight) throw problem(position, `descriptor ${securityId} with hash ${hash}`, 'another, or damaged')
    return { bytes, position: position + securityEntry.size }
  }
}

/** The hash that $SDH is ordered by. */
function hashOf(descriptor: Buffer): number {
  let hash = 0
  for (let at = 0; at + 4 <= descriptor.length; at += 4) {
    hash = (descriptor.readUInt32LE(at) + ((hash << 3) | (hash >>> 29))) >>> 0
  }
  return hash
}

function decodePlace(node: Buffer, at: number, keyLength: number, position: number): Place {
  const dataAt = at + node.readUInt16LE(at)
  const end = at + node.readUInt16LE(at + 8)
  if (keyLength !== 4 || dataAt + securityEntry.size > end) {
    throw problem(position + at, `an entry with ${securityEntry.size} bytes of data`, 'another')
  }
  const { hash, offset, size } = securityEntry.decode(node, dataAt, position)
  return { securityId: node.readUInt32LE(at + indexEntryHeader.size), hash, offset, size }
}

const problem = (position: number, expected: string, actual: string) =>
  formatError('NTFS_SECURE', { structure: 'NTFS $Secure', position, expected, actual })
