/** The file allocation table, which only chains: what is in use stands in the bitmap. spec-notes/exfat.md, "Chains". */
import type { BlockDevice } from '../device/block-device.ts'
import { tryRead } from '../device/try-read.ts'
import { type LinkSource, UNREADABLE_LINK } from '../volume/cluster-links.ts'
import type { ExfatLayout } from './layout.ts'

const END_OF_CHAIN = 0xffffffff
const ENTRY_SIZE = 4

/** The live FAT of a volume. */
export class AllocationTable implements LinkSource {
  readonly #device: BlockDevice
  readonly #layout: ExfatLayout
  readonly #offset: number

  /** `copy`: which of the FATs is live. */
  constructor(device: BlockDevice, layout: ExfatLayout, copy: number) {
    this.#device = device
    this.#layout = layout
    this.#offset = layout.fatOffsets[copy]!
  }

  get clusterCount(): number {
    return this.#layout.clusterCount
  }

  placeOf(cluster: number): number {
    return this.#offset + cluster * ENTRY_SIZE
  }

  isEnd(link: number): boolean {
    return link === END_OF_CHAIN
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
}
