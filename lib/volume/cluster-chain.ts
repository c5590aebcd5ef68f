/** The clusters of a file or directory, in the order of its content. */
import { type ClusterLinks, type LinkPage, UNREADABLE_LINK } from './cluster-links.ts'

/** Clusters `first` to `first + count - 1`. */
export interface ClusterRun {
  readonly first: number
  readonly count: number
}

/** Runs held at a time: a file may have millions, of which a read needs a few. */
const WINDOW_RUNS = 65_536

/** Runs in a row of a chain. */
interface Window {
  readonly firsts: readonly number[]
  /** How many clusters of the chain come before each run. */
  readonly starts: readonly number[]
  /** How many come before what follows the window. */
  readonly end: number
}

/** Where a window begins: at cluster `first`, number `start` of the chain. */
interface Checkpoint {
  readonly start: number
  readonly first: number
}

/**
 * A chain, followed to its end when it was made, so that it is known to be whole. A window of its runs is kept, which
 * mostly is all of them; the others are found again when they are needed.
 */
export class ClusterChain {
  /** Clusters, each counted once. */
  readonly count: number
  /** Why the chain does not end as it should, as words that follow 'it': it leads nowhere, or runs in a circle. */
  readonly problem: string | undefined
  readonly #links: ClusterLinks | undefined
  readonly #checkpoints: readonly Checkpoint[]
  #last: { readonly number: number; readonly window: Promise<Window> }

  private constructor(
    count: number,
    window: Window,
    links?: ClusterLinks,
    checkpoints: readonly Checkpoint[] = [{ start: 0, first: 0 }],
    problem?: string,
  ) {
    this.count = count
    this.problem = problem
    this.#links = links
    this.#checkpoints = checkpoints
    this.#last = { number: checkpoints.length - 1, window: Promise.resolve(window) }
  }

  /** The clusters of `run`, one after another. */
  static contiguous({ first, count }: ClusterRun): ClusterChain {
    return new ClusterChain(count, { firsts: [first], starts: [0], end: count })
  }

  /**
   * The chain that begins with cluster `first`, to its end or to `limit` clusters. A circle among these is noticed.
   * Throws StorageError (DEVICE_GONE): what else cannot be read is a problem of the chain.
   */
  static async follow(links: ClusterLinks, first: number, limit = Number.POSITIVE_INFINITY): Promise<ClusterChain> {
    const walk = new ChainWalk(links, first)
    const checkpoints: Checkpoint[] = []
    let window: Window = { firsts: [], starts: [], end: 0 }
    // Brent's method may go round three times before it sees that it does.
    const reach = 4 * limit + 4
    while (walk.goesOn(reach)) {
      checkpoints.push({ start: walk.passed, first: walk.next })
      window = await walk.window(reach)
    }
    const count = walk.circle === 0 ? walk.passed : await clustersOfCircle(links, first, walk.circle)
    const problem = count > limit ? `is longer than ${limit} clusters` : walk.problem
    return new ClusterChain(Math.min(count, limit), window, links, checkpoints, problem)
  }

  /** The clusters from number `index` of the chain to the end of their run. `index` must be below `count`. */
  async find(index: number): Promise<ClusterRun> {
    const { firsts, starts, end } = await this.#windowOf(index)
    const run = lastAtMost(starts.length, index, i => starts[i]!)
    const runEnd = Math.min(starts[run + 1] ?? end, this.count)
    return { first: firsts[run]! + index - starts[run]!, count: runEnd - index }
  }

  /** All runs, in the order of the chain. Two may touch. */
  async *runs(): AsyncIterable<ClusterRun> {
    for (let index = 0; index < this.count; ) {
      const run = await this.find(index)
      yield run
      index += run.count
    }
  }

  /** All clusters, in the order of the chain. */
  async *clusters(): AsyncIterable<number> {
    for await (const { first, count } of this.runs()) for (let i = 0; i < count; i++) yield first + i
  }

  #windowOf(index: number): Promise<Window> {
    const number = lastAtMost(this.#checkpoints.length, index, i => this.#checkpoints[i]!.start)
    if (this.#last.number !== number) {
      const { first, start } = this.#checkpoints[number]!
      this.#last = { number, window: new ChainWalk(this.#links!, first, start).window(this.count) }
    }
    return this.#last.window
  }
}

/** The last of `count` growing numbers that is not above `value`; the first is not. */
function lastAtMost(count: number, value: number, numberAt: (index: number) => number): number {
  let low = 0
  for (let high = count; high - low > 1; ) {
    const middle = (low + high) >>> 1
    if (numberAt(middle) <= value) low = middle
    else high = middle
  }
  return low
}

/**
 * How many clusters a chain has that runs in a circle of `length`: of two walks, `length` clusters apart, the one in front
 * steps on the cluster where the circle closes when the other does for the first time.
 */
async function clustersOfCircle(links: ClusterLinks, first: number, length: number): Promise<number> {
  const step = async (cluster: number) => {
    const page = await links.page(cluster)
    return page.links[cluster - page.first]!
  }
  let front = first
  for (let i = 0; i < length; i++) front = await step(front)
  let count = length
  for (let back = first; back !== front; count++) [back, front] = [await step(back), await step(front)]
  return count
}

/** A walk along a chain, which notices by Brent's method when it goes in a circle. */
class ChainWalk {
  /** The cluster that comes next, or what stands there instead of one. */
  next: number
  /** Clusters walked over. */
  passed: number
  /** Clusters of the circle, once it is known that there is one. */
  circle = 0
  readonly #links: ClusterLinks
  /** A cluster that was passed, and how long it stands for where the walk came by. Coming there again closes a circle. */
  #mark: number
  #markedAt: number
  #stride = 1

  constructor(links: ClusterLinks, first: number, passed = 0) {
    this.#links = links
    this.next = first
    this.passed = passed
    this.#mark = first
    this.#markedAt = passed
  }

  goesOn(limit: number): boolean {
    return (
      this.circle === 0 && this.passed < limit && this.next >= 2 && this.next <= this.#links.source.clusterCount + 1
    )
  }

  /** The next runs, up to number `limit` of the chain. */
  async window(limit: number): Promise<Window> {
    const firsts: number[] = []
    const starts: number[] = []
    while (this.goesOn(limit) && firsts.length < WINDOW_RUNS) {
      this.#walk(await this.#links.page(this.next), limit, firsts, starts)
    }
    return { firsts, starts, end: this.passed }
  }

  /** Hot: walks on as long as the links are in `page` and the window is not full. */
  #walk({ first, links }: LinkPage, limit: number, firsts: number[], starts: number[]): void {
    const [from, end] = [Math.max(first, 2), first + links.length]
    let { next, passed } = this
    // A window begins with a run of its own.
    let follower = firsts.length === 0 ? 0 : firsts.at(-1)! + passed - starts.at(-1)!
    while (next >= from && next < end && passed < limit) {
      if (next !== follower) {
        if (firsts.length === WINDOW_RUNS) break
        firsts.push(next)
        starts.push(passed)
      }
      follower = next + 1
      passed++
      next = links[next - first]!
      if (next === this.#mark) {
        this.circle = passed - this.#markedAt
        break
      }
      if (passed - this.#markedAt === this.#stride) {
        this.#mark = next
        this.#markedAt = passed
        this.#stride *= 2
      }
    }
    this.next = next
    this.passed = passed
  }

  /** Why the walk, which is over, did not end as it should. */
  get problem(): string | undefined {
    if (this.circle > 0) return `runs in a circle of ${this.circle} clusters`
    if (this.next === UNREADABLE_LINK) return 'leads through a part of the FAT that cannot be read'
    if (this.#links.source.isEnd(this.next)) return undefined
    return this.next === 0 ? 'leads to a free cluster' : `leads to cluster ${this.next}, which does not exist`
  }
}
