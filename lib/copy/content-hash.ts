/**
 * SHA-256 hashes of a disk's content at a grain, as the manifest keeps them. A unit is 1 MiB. Where the grain is one
 * unit, a grain's hash is the hash of its bytes; where it is larger, the hash of its units' hashes one after another.
 * Grains of zeros only are not listed: all that is not listed must read as zeros.
 */
import { createHash, type Hash } from 'node:crypto'
import { MiB } from '../binary/size.ts'
import type { HashThread } from './hash-thread.ts'

export const UNIT = MiB

/** The most grains a manifest lists, so that it fits Windows' own metadata region. */
export const MAX_GRAINS = 10_000

export interface ContentHashes {
  readonly algorithm: 'sha256'
  /** Bytes of a unit and of a grain; the last of a disk may be shorter. */
  readonly unit: number
  readonly grain: number
  /** `[first grain, how many]` of each stretch of listed grains, in order. */
  readonly stretches: readonly (readonly [number, number])[]
  /** 32 bytes for each listed grain, in order, in base64. */
  readonly digests: string
}

/** Collects the units of a disk, in order, into the hashes of its grains. */
export class ContentHasher {
  readonly #thread: HashThread
  readonly #grain: number
  readonly #diskSize: number
  readonly #stretches: [number, number][] = []
  readonly #digests: Buffer[] = []
  #order: Promise<void> = Promise.resolve()
  #fold: { grain: number; hash: Hash; nextUnit: number } | undefined

  /** `grain` and `diskSize` in bytes. */
  constructor(thread: HashThread, grain: number, diskSize: number) {
    this.#thread = thread
    this.#grain = grain
    this.#diskSize = diskSize
  }

  /**
   * Unit number `unit`, which is not all zeros; its bytes lie in shared memory. Units come in ascending order. Settles
   * when its hash is counted in and the bytes may be reused.
   */
  add(unit: number, bytes: Buffer): Promise<void> {
    const digest = this.#thread.sha256(bytes)
    const before = this.#order
    this.#order = Promise.all([digest, before]).then(([value]) => this.#take(unit, value))
    return this.#order
  }

  async finish(): Promise<ContentHashes> {
    await this.#order
    this.#endFold()
    return {
      algorithm: 'sha256',
      unit: UNIT,
      grain: this.#grain,
      stretches: this.#stretches,
      digests: Buffer.concat(this.#digests).toString('base64'),
    }
  }

  #take(unit: number, digest: Buffer): void {
    if (this.#grain === UNIT) {
      this.#list(unit, digest)
      return
    }
    const grain = Math.floor((unit * UNIT) / this.#grain)
    if (this.#fold?.grain !== grain) {
      this.#endFold()
      this.#fold = { grain, hash: createHash('sha256'), nextUnit: (grain * this.#grain) / UNIT }
    }
    this.#foldZerosUpTo(unit)
    this.#fold!.hash.update(digest)
    this.#fold!.nextUnit = unit + 1
  }

  #foldZerosUpTo(unit: number): void {
    const fold = this.#fold!
    for (; fold.nextUnit < unit; fold.nextUnit++) {
      fold.hash.update(zeroUnitDigest(unitLength(fold.nextUnit, this.#diskSize)))
    }
  }

  #endFold(): void {
    if (this.#fold === undefined) return
    const end = Math.min((this.#fold.grain + 1) * this.#grain, this.#diskSize)
    this.#foldZerosUpTo(Math.ceil(end / UNIT))
    this.#list(this.#fold.grain, this.#fold.hash.digest())
    this.#fold = undefined
  }

  #list(grain: number, digest: Buffer): void {
    const last = this.#stretches.at(-1)
    if (last !== undefined && last[0] + last[1] === grain) last[1]++
    else this.#stretches.push([grain, 1])
    this.#digests.push(digest)
  }
}

/** Bytes of unit `unit` of a disk of `diskSize` bytes: a MiB, but for the last. */
export const unitLength = (unit: number, diskSize: number) => Math.min(UNIT, diskSize - unit * UNIT)

const zeroDigests = new Map<number, Buffer>()

/** The hash of `length` zeros. */
export function zeroUnitDigest(length: number): Buffer {
  const known = zeroDigests.get(length)
  if (known !== undefined) return known
  const digest = createHash('sha256').update(Buffer.alloc(length)).digest()
  zeroDigests.set(length, digest)
  return digest
}

/** The smallest grain that lists at most `MAX_GRAINS`. `grains` says how many grains of a size the data touches. */
export function chooseGrain(grains: (size: number) => number): number {
  let grain = UNIT
  while (grains(grain) > MAX_GRAINS) grain *= 2
  return grain
}

const ZEROS = Buffer.alloc(UNIT)

/** Whether `bytes` are zeros only. At most a unit at a time is compared, which the C library does fastest. */
export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += UNIT) {
    const part = bytes.subarray(at, at + UNIT)
    if (!part.equals(part.length === UNIT ? ZEROS : ZEROS.subarray(0, part.length))) return false
  }
  return true
}
