/** Findings of which there may be millions: counted, and only the first few told one by one. */
import type { Finding } from '../finding.ts'

/** How many of a kind are told. */
export const FEW = 5

interface Kind {
  /** What to say of that many, such as `3 records are damaged`. The examples follow it. */
  readonly summary: (count: number) => string
  readonly examples: string[]
  count: number
}

export class FindingTally {
  readonly #kinds = new Map<string, Kind>()

  /** Counts `count` more of the kind `code`. The summary is that of the first time. */
  add(code: string, summary: (count: number) => string, examples: readonly string[], count = 1): void {
    const kind = this.#kinds.get(code) ?? { summary, examples: [], count: 0 }
    this.#kinds.set(code, kind)
    kind.count += count
    kind.examples.push(...examples.slice(0, FEW - kind.examples.length))
  }

  /** One finding for each kind, in the order in which they were first met. */
  findings(): Finding[] {
    return [...this.#kinds].map(([code, { count, examples, summary }]) => ({
      code,
      message: `${summary(count)}: ${examples.join('; ')}${count > examples.length ? '; …' : ''}`,
      details: { count, examples },
    }))
  }
}
