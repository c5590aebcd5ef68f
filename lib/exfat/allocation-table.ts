/** The file allocation table, which only chains: what is in use stands in the bitmap. spec-notes/exfat.md, "Chains". */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { UNREADABLE_LINK } from '../volume/cluster-links.ts'
import { type ExfatLayout, isCluster } from './layout.ts'

export const END_OF_CHAIN = 0xffffffff
const ENTRY_SIZE = 4
/** Chains mostly lead to the next cluster, so entries come many at a time. */
const WINDOW_LENGTH = 64 * 1024

/** The live FAT of a volume. */
export class AllocationTable {
  readonly #device: BlockDevice
  readonly #layout: ExfatLayout
  readonly #offset: number
  #window = { offset: 0, bytes: Buffer.alloc(0) }

  /** `copy`: which of the FATs is live. */
  constructor(device: BlockDevice, layout: ExfatLayout, copy: number) {
    this.#device = device
    this.#layout = layout
    this.#offset = layout.fatOffsets[copy]!
  }

  /**
   * The clusters of the chain that begins with `first`, at most `limit`. Returns what is wrong when it does not end as
   * a chain should: it leads to a cluster that does not exist, or it is longer than `limit`, which a loop is too.
   */
  async *chain(first: number, limit: number): AsyncGenerator<number, string | undefined> {
    let cluster = first
    for (let length = 0; cluster !== END_OF_CHAIN; length++) {
      if (!isCluster(this.#layout, cluster)) return `leads to cluster ${cluster}, which does not exist`
      if (length === limit) return `is longer than ${limit} clusters or runs in a circle`
      yield cluster
      cluster = await this.#entry(cluster)
    }
    return undefined
  }

  /** Byte of the volume where the entry of `cluster` stands. */
  placeOf(cluster: number): number {
    return this.#offset + cluster * ENTRY_SIZE
  }

  /** Fills `links` with the entries of the clusters from `first` on, or with UNREADABLE_LINK where they cannot be read. */
  async readLinks(first: number, links: Uint32Array): Promise<void> {
    const bytes = Buffer.alloc(links.length * ENTRY_SIZE)
    const { sectorSize } = this.#layout
    const isWhole = (await tryRead(this.#device, this.placeOf(first), bytes)) === undefined
    for (let i = 0; i < links.length; i++) links[i] = bytes.readUInt32LE(i * ENTRY_SIZE)
    for (let at = 0; !isWhole && at < bytes.length; at += sectorSize) {
      const sector = bytes.subarray(at, at + sectorSize)
      const problem = await tryRead(this.#device, this.placeOf(first) + at, sector)
      for (let i = 0; i < sector.length; i += ENTRY_SIZE) {
        links[(at + i) / ENTRY_SIZE] = problem === undefined ? sector.readUInt32LE(i) : UNREADABLE_LINK
      }
    }
  }

  async #entry(cluster: number): Promise<number> {
    const offset = cluster * ENTRY_SIZE
    const { offset: start, bytes } = this.#window
    if (offset < start || offset + ENTRY_SIZE > start + bytes.length) {
      const from = offset - (offset % WINDOW_LENGTH)
      const window = Buffer.alloc(Math.min(WINDOW_LENGTH, this.#layout.fatLength - from))
      await this.#device.read(this.#offset + from, window)
      this.#window = { offset: from, bytes: window }
    }
    return this.#window.bytes.readUInt32LE(offset - this.#window.offset)
  }
}
