/** Runlists: where the clusters of a non-resident attribute lie. spec-notes/ntfs.md, Runlist. */
import { FormatError, hex } from '../errors.ts'

/** The LCN of a run that has no clusters: a hole, which reads as zeros. */
export const HOLE = -1

/** More than an attribute list of 256 KiB can lead to. Keeps a hostile list from taking the memory. */
const MAX_RUNS = 2 ** 21

/**
 * Steps through the mapping pairs of one extent. One cursor serves any number of extents, so that a scan of millions
 * of records allocates nothing.
 */
export class RunCursor {
  /** First cluster of the current run, or HOLE. */
  lcn = HOLE
  /** Clusters of the current run, at least 1. */
  length = 0
  /** First VCN after the current run. */
  end = 0
  /** What is wrong with the mapping pairs where `next` stopped. */
  problem: string | undefined
  readonly #clusterCount: number
  #pairs: Buffer = Buffer.alloc(0)
  #at = 0
  #limit = 0
  #base = 0

  /** `clusterCount`: clusters of the volume, which no run may leave. */
  constructor(clusterCount: number) {
    this.#clusterCount = clusterCount
  }

  /** Goes to the mapping pairs that begin at byte `at` of `pairs` with `lowestVcn`, and end before `limit` at the latest. */
  begin(pairs: Buffer, at: number, limit: number, lowestVcn: number): void {
    this.#pairs = pairs
    this.#at = at
    this.#limit = limit
    this.#base = 0
    this.end = lowestVcn
    this.problem = undefined
  }

  /** Goes to the next run. False after the last, and when what follows is no run: see `problem`. */
  next(): boolean {
    while (this.#at < this.#limit) {
      const header = this.#pairs[this.#at]!
      if (header === 0) return false
      const [lengthSize, deltaSize] = [header & 15, header >>> 4]
      const lengthAt = this.#at + 1
      const deltaAt = lengthAt + lengthSize
      if (lengthSize < 1 || lengthSize > 8 || deltaSize > 8) return this.#stop(`a run of header ${hex(header)}`)
      this.#at = deltaAt + deltaSize
      if (this.#at > this.#limit) return this.#stop('a run that goes over the end of its attribute')
      this.length = readSigned(this.#pairs, lengthAt, lengthSize)
      this.lcn = deltaSize === 0 ? HOLE : this.#base + readSigned(this.#pairs, deltaAt, deltaSize)
      if (this.length !== 0 || this.lcn !== HOLE) return this.#enter()
    }
    return false
  }

  #enter(): boolean {
    const { length, lcn } = this
    this.end += length
    if (!(length > 0 && Number.isSafeInteger(this.end))) return this.#stop(`a run of ${length} clusters`)
    if (lcn === HOLE) return true
    if (!(lcn >= 0 && lcn + length <= this.#clusterCount)) {
      return this.#stop(`a run of ${length} clusters from cluster ${lcn} in a volume of ${this.#clusterCount}`)
    }
    this.#base = lcn
    return true
  }

  #stop(problem: string): false {
    this.problem = problem
    this.#limit = this.#at
    return false
  }
}

/** A two's-complement number of 1 to 8 bytes. Beyond 2^53 it is rounded, but then never to a safe integer. */
function readSigned(bytes: Buffer, at: number, size: number): number {
  let value = bytes[at + size - 1]!
  if (value >= 0x80) value -= 0x100
  for (let i = at + size - 2; i >= at; i--) value = value * 0x100 + bytes[i]!
  return value
}

/** `length` clusters from `lcn`, or a hole. */
export interface Run {
  readonly lcn: number
  readonly length: number
}

/** The runs of a whole attribute, gathered extent by extent and found by VCN. */
export class RunList {
  /** The first VCN of each run, and its LCN. A run that goes on where the last one ended became part of it. */
  readonly #vcns: number[] = []
  readonly #lcns: number[] = []
  #end = 0

  /** The first VCN after all runs. */
  get end(): number {
    return this.#end
  }

  get count(): number {
    return this.#vcns.length
  }

  /** Throws FormatError (NTFS_TOO_MANY_RUNS) when there are more runs than an attribute can have. */
  append(lcn: number, length: number): void {
    if (!this.#continues(lcn)) {
      if (this.count === MAX_RUNS)
        throw new FormatError('NTFS_TOO_MANY_RUNS', `a runlist of more than ${MAX_RUNS} runs`)
      this.#vcns.push(this.#end)
      this.#lcns.push(lcn)
    }
    this.#end += length
  }

  #continues(lcn: number): boolean {
    const last = this.#lcns.at(-1)
    if (last === undefined || last === HOLE) return last === lcn
    return lcn === last + this.#end - this.#vcns.at(-1)!
  }

  /** The clusters from `vcn` to the end of its run. `vcn` must be below `end`. */
  find(vcn: number): Run {
    let low = 0
    for (let high = this.count; high - low > 1; ) {
      const middle = (low + high) >>> 1
      if (this.#vcns[middle]! <= vcn) low = middle
      else high = middle
    }
    const lcn = this.#lcns[low]!
    return { lcn: lcn === HOLE ? HOLE : lcn + vcn - this.#vcns[low]!, length: this.#endOf(low) - vcn }
  }

  /** Whether cluster `lcn` of the volume is in one of the runs. */
  includes(lcn: number): boolean {
    for (const run of this.allocated()) if (lcn >= run.lcn && lcn < run.lcn + run.length) return true
    return false
  }

  /** Clusters of all runs that have some. */
  get clusterCount(): number {
    let count = 0
    for (const run of this.allocated()) count += run.length
    return count
  }

  /** The runs that have clusters, in the order of the attribute. */
  *allocated(): Iterable<Run> {
    for (let i = 0; i < this.count; i++) {
      const lcn = this.#lcns[i]!
      if (lcn !== HOLE) yield { lcn, length: this.#endOf(i) - this.#vcns[i]! }
    }
  }

  #endOf(index: number): number {
    return this.#vcns[index + 1] ?? this.#end
  }
}
