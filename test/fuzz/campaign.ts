/** Runs targets in turn until the time is up, keeps count, and makes each finding small. */
import { makeCase } from './case.ts'
import { hashOf, saveFinding, signatureOf } from './findings.ts'
import type { CaseResult, WrittenCase } from './messages.ts'
import type { Seed, Target } from './target.ts'
import { WorkerProcess } from './worker-process.ts'

/** Cases of one target before the next has its turn. */
const TURN = 200

export interface CampaignOptions {
  /** Path of the module that has `targets`, for the worker. */
  readonly module: string
  readonly targets: readonly Target[]
  readonly seed: string
  /** Milliseconds after which no turn begins. */
  readonly time?: number
  /** The number of the first case. Default: 0. */
  readonly from?: number
  /** How many cases of each target at most. */
  readonly cases?: number
  readonly patience?: number
  /** Told of each finding when it is written. */
  readonly onFinding?: (finding: Finding) => void
}

export interface Finding {
  readonly target: string
  readonly number: number
  readonly failure: string
  readonly smallest: WrittenCase
  readonly path: string
}

/** What came of the cases of one target. */
export class Tally {
  cases = 0
  /** Milliseconds on the clock. */
  time = 0
  /** The longest case, and its milliseconds of processor time. */
  slowest = { number: 0, time: 0 }
  /** The most that a case took, in bytes. */
  memory = 0
  /** In how many cases each code came. */
  readonly codes = new Map<string, number>()

  add({ number, codes, time, memory }: CaseResult): void {
    this.cases++
    if (time > this.slowest.time) this.slowest = { number, time }
    this.memory = Math.max(this.memory, memory)
    for (const [code] of codes) this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
  }
}

export class Campaign {
  readonly tallies = new Map<string, Tally>()
  readonly findings: Finding[] = []
  /** How often each kind of failure came, by signature. */
  readonly failures = new Map<string, number>()
  readonly #options: CampaignOptions
  readonly #worker: WorkerProcess
  readonly #seeds = new Map<Target, readonly Seed[]>()
  #end: number

  constructor(options: CampaignOptions) {
    this.#options = options
    this.#worker = new WorkerProcess(options.module, options.patience)
    this.#end = Date.now() + (options.time ?? Infinity)
  }

  async run(): Promise<void> {
    const { targets, from: first = 0, cases = Infinity } = this.#options
    try {
      for (let from = first; from < first + cases && Date.now() < this.#end; from += TURN) {
        for (const target of targets) {
          if (Date.now() < this.#end) await this.#turn(target, from, Math.min(from + TURN, first + cases))
        }
      }
    } finally {
      this.#worker.close()
    }
  }

  /** Ends `run` after the turn at hand. */
  stop(): void {
    this.#end = 0
  }

  async #turn(target: Target, from: number, end: number): Promise<void> {
    const tally = this.tallies.get(target.name) ?? new Tally()
    this.tallies.set(target.name, tally)
    const start = Date.now()
    const failed: CaseResult[] = []
    for (let next = from; next < end; ) {
      const order = { target: target.name, seed: this.#options.seed, from: next, count: end - next }
      await this.#worker.run(order, result => {
        tally.add(result)
        if (result.failure !== undefined) failed.push(result)
        next = result.number + 1
      })
    }
    tally.time += Date.now() - start
    for (const { number, failure } of failed) await this.#found(target, number, failure!)
  }

  async #found(target: Target, number: number, failure: string): Promise<void> {
    const signature = signatureOf(target.name, failure)
    const times = (this.failures.get(signature) ?? 0) + 1
    this.failures.set(signature, times)
    if (times > 1) return
    const seeds = this.#seeds.get(target) ?? (await target.load())
    this.#seeds.set(target, seeds)
    const { seed, mutations, isSealed } = makeCase(target, seeds, this.#options.seed, number)
    const smallest = await this.#smallest(target, { seed: seed.name, mutations, isSealed }, signature)
    const seedHash = hashOf(seed.content)
    const path = saveFinding({ target: target.name, failure: failure.split('\n'), seedHash, ...smallest })
    const finding = { target: target.name, number, failure, smallest, path }
    this.findings.push(finding)
    this.#options.onFinding?.(finding)
  }

  /** Without each change that is not needed, tried one after the other. */
  async #smallest(target: Target, found: WrittenCase, signature: string): Promise<WrittenCase> {
    let smallest = found
    for (let i = found.mutations.length - 1; i >= 0 && smallest.mutations.length > 1; i--) {
      const explicit = { ...smallest, mutations: smallest.mutations.filter((_, at) => at !== i) }
      const order = { target: target.name, seed: this.#options.seed, from: 0, count: 1, explicit }
      let failure: string | undefined
      await this.#worker.run(order, result => {
        failure = result.failure
      })
      if (failure !== undefined && signatureOf(target.name, failure) === signature) smallest = explicit
    }
    return smallest
  }
}
