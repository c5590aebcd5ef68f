/** Findings of which there may be millions: counted, and only the first few told one by one. */
import type { Finding } from '../finding.ts'

/** How many of a kind are told. */
export const FEW = 5

export class FindingTally {
  readonly #kinds = new Map<string, { count: number; examples: string[]; summary: (count: number) => string }>()

  /**
   * Counts `count` more of the kind `code`. `summary`: what to say of that many, such as `3 records are damaged`;
   * `example` follows it for the first few.
   */
  add(code: string, summary: (count: number) => string, examples: readonly string[], count = 1): void {
    const kind = this.#kinds.get(code) ?? { count: 0, examples: [], summary }
    this.#kinds.set(code, kind)
    kind.count += count
    kind.examples.push(...examples.slice(0, FEW - kind.examples.length))
  }

  /** How many of a kind were met. */
  count(code: string): number {
    return this.#kinds.get(code)?.count ?? 0
  }

  /** One finding for each kind, in the order in which they were first met. */
  findings(): Finding[] {
    return [...this.#kinds].map(([code, { count, examples, summary }]) => ({
      code,
      message: `${summary(count)}: ${examples.join('; ')}${count > examples.length ? ' …' : ''}`,
      details: { count, examples },
    }))
  }
}
