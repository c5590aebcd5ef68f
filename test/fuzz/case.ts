/** One case: a seed, what is changed in it, and what came of it. Made from the fuzzer's seed and a number alone. */
import { endOf, type Range } from '../../lib/device/ranges.ts'
import { type Mutation, mutate } from './mutation.ts'
import { randomMutations } from './mutations.ts'
import { BrokenPromise, Observer } from './observer.ts'
import { Random } from './random.ts'
import type { Seed, Target } from './target.ts'

export interface Case {
  readonly seed: Seed
  readonly mutations: readonly Mutation[]
  /** Whether checksums are made good after the changes; otherwise they are what they were before. */
  readonly isSealed: boolean
}

export function makeCase(target: Target, seeds: readonly Seed[], runSeed: string, number: number): Case {
  const random = new Random(`${runSeed} ${target.name} ${number}`)
  const seed = random.pick(seeds)
  return { seed, mutations: randomMutations(target, seed, seeds, random), isSealed: !random.onceIn(5) }
}

/** What was changed, as a target reads it. */
export function inputOf(target: Target, { seed, mutations, isSealed }: Case): Buffer {
  const content = Buffer.from(seed.content)
  if (!isSealed) target.seal(content, seed)
  const mutant = mutate(content, mutations)
  if (isSealed) target.seal(mutant, seed)
  return mutant
}

/** Runs cases of one target. What a seed reads like unchanged is found out once. */
export class CaseRunner {
  readonly #target: Target
  readonly #truths = new Map<Seed, string>()

  constructor(target: Target) {
    this.#target = target
  }

  /** Codes of errors and findings by how often they came. Throws what is no error of ours, or a BrokenPromise. */
  async run(fuzzCase: Case): Promise<ReadonlyMap<string, number>> {
    const { seed } = fuzzCase
    const input = inputOf(this.#target, fuzzCase)
    const observer = new Observer()
    await this.#target.exercise(input, observer, seed)
    if (isGuarded(fuzzCase) && observer.errors === 0) {
      observer.claim(observer.fingerprint() === (await this.#truth(seed)), 'damage that a checksum shows was believed')
    }
    return observer.codes
  }

  async #truth(seed: Seed): Promise<string> {
    const known = this.#truths.get(seed)
    if (known !== undefined) return known
    const observer = new Observer()
    await this.#target.exercise(inputOf(this.#target, { seed, mutations: [], isSealed: true }), observer, seed)
    if (observer.errors > 0) throw new BrokenPromise(`the seed ${seed.name} ends with ${[...observer.codes.keys()]}`)
    const fingerprint = observer.fingerprint()
    this.#truths.set(seed, fingerprint)
    return fingerprint
  }
}

/** Longer ones may bring a checksum of their own: that of a structure from elsewhere, or of none. */
const LONGEST_GUARDED = 16

/** Whether a checksum covers all that was changed, and is none of it. */
const isGuarded = ({ seed: { guarded = [] }, mutations, isSealed }: Case) =>
  !isSealed && mutations.every(mutation => 'offset' in mutation && guarded.some(range => isIn(mutation, range)))

function isIn({ offset, hex }: { offset: number; hex: string }, range: Range): boolean {
  const length = hex.length / 2
  return length <= LONGEST_GUARDED && offset >= range.offset && offset + length <= endOf(range)
}
