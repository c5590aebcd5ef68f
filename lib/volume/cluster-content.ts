/** The content of a chain of clusters, as a device. */
import { BlockDevice } from '../device/block-device.ts'
import { intersect, type Range } from '../device/ranges.ts'
import { settle } from '../device/settle.ts'
import { ReadOnlyError } from '../errors.ts'
import type { ClusterChain } from './cluster-chain.ts'

/** Where clusters lie on the volume. */
export interface ClusterPlaces {
  readonly clusterSize: number
  /** Byte of cluster `number`. */
  offsetOf(number: number): number
}

/** `size` bytes in the clusters of a chain, which has enough of them. What is behind `validSize` reads as zeros. */
export class ClusterContent extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  readonly #device: BlockDevice
  readonly #places: ClusterPlaces
  readonly #chain: ClusterChain
  readonly #validSize: number

  constructor(device: BlockDevice, places: ClusterPlaces, chain: ClusterChain, size: number, validSize = size) {
    super()
    this.#device = device
    this.#places = places
    this.#chain = chain
    this.size = size
    this.#validSize = validSize
  }

  /** The byte of the volume where byte `offset` lies, and how many follow it there. `offset` must be below `size`. */
  async find(offset: number): Promise<Range> {
    const { clusterSize } = this.#places
    const within = offset % clusterSize
    const run = await this.#chain.find((offset - within) / clusterSize)
    return { offset: this.#places.offsetOf(run.first) + within, length: run.count * clusterSize - within }
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    const valid = target.subarray(0, Math.max(this.#validSize - offset, 0))
    target.fill(0, valid.length)
    const pieces: { readonly place: number; readonly piece: Buffer }[] = []
    for (let at = 0; at < valid.length; ) {
      const place = await this.find(offset + at)
      const piece = valid.subarray(at, at + place.length)
      pieces.push({ place: place.offset, piece })
      at += piece.length
    }
    await settle(pieces.map(({ place, piece }) => this.#device.read(place, piece)))
  }

  protected override writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'files are opened for reading only')
  }

  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    const range = intersect(within, { offset: 0, length: this.#validSize })
    if (range !== undefined) yield range
  }

  async close(): Promise<void> {}
}
