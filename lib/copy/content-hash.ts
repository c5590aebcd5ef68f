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
  #current: { readonly grain: number; readonly hash: GrainHash } | undefined

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
    this.#endGrain()
    return {
      algorithm: 'sha256',
      unit: UNIT,
      grain: this.#grain,
      stretches: this.#stretches,
      digests: Buffer.concat(this.#digests).toString('base64'),
    }
  }

  #take(unit: number, digest: Buffer): void {
    const grain = Math.floor((unit * UNIT) / this.#grain)
    if (this.#current?.grain !== grain) {
      this.#endGrain()
      this.#current = { grain, hash: new GrainHash(grain, this.#grain, this.#diskSize) }
    }
    this.#current!.hash.add(unit, digest)
  }

  #endGrain(): void {
    if (this.#current !== undefined) this.#list(this.#current.grain, this.#current.hash.digest())
    this.#current = undefined
  }

  #list(grain: number, digest: Buffer): void {
    const last = this.#stretches.at(-1)
    if (last !== undefined && last[0] + last[1] === grain) last[1]++
    else this.#stretches.push([grain, 1])
    this.#digests.push(digest)
  }
}

/** The hash of one grain, made of the hashes of those of its units that are not all zeros. */
export class GrainHash {
  readonly #isUnit: boolean
  readonly #diskSize: number
  readonly #endUnit: number
  readonly #hash: Hash = createHash('sha256')
  #nextUnit: number
  #last: Buffer = Buffer.alloc(0)

  /** Grain number `grain`, of `grainSize` bytes, of a disk of `diskSize` bytes. */
  constructor(grain: number, grainSize: number, diskSize: number) {
    this.#isUnit = grainSize === UNIT
    this.#diskSize = diskSize
    this.#nextUnit = (grain * grainSize) / UNIT
    this.#endUnit = Math.ceil(Math.min((grain + 1) * grainSize, diskSize) / UNIT)
  }

  /** `digest` is the hash of unit number `unit`. Units come in ascending order; those that do not come are zeros. */
  add(unit: number, digest: Buffer): void {
    this.#addZerosUpTo(unit)
    this.#hash.update(digest)
    this.#nextUnit = unit + 1
    this.#last = digest
  }

  /** To be called once, after at least one unit was added. */
  digest(): Buffer {
    if (this.#isUnit) return this.#last
    this.#addZerosUpTo(this.#endUnit)
    return this.#hash.digest()
  }

  #addZerosUpTo(unit: number): void {
    for (; this.#nextUnit < unit; this.#nextUnit++) {
      this.#hash.update(zeroUnitDigest(unitLength(this.#nextUnit, this.#diskSize)))
    }
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
