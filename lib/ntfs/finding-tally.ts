/** Findings of which there may be millions: counted, and only the first few told one by one. */
import type { Finding } from '../finding.ts'

/** How many of a kind are told. */
export const FEW = 5

/** One of a kind, put into words only if it is told. */
type Example = () => string | Promise<string>

interface Kind {
  /** What to say of that many, such as `3 records are damaged`. The examples follow it. */
  readonly summary: (count: number) => string
  readonly examples: Example[]
  count: number
}

export class FindingTally {
  readonly #kinds = new Map<string, Kind>()

  /** Counts `count` more of the kind `code`. The summary is that of the first time. */
  add(code: string, summary: Kind['summary'], examples: readonly Example[], count = 1): void {
    const kind = this.#kinds.get(code) ?? { summary, examples: [], count: 0 }
    this.#kinds.set(code, kind)
    kind.count += count
    if (kind.examples.length < FEW) kind.examples.push(...examples.slice(0, FEW - kind.examples.length))
  }

  /** One finding for each kind, in the order in which they were first met. */
  async findings(): Promise<Finding[]> {
    const findings: Finding[] = []
    for (const [code, { count, examples, summary }] of this.#kinds) {
      const told: string[] = []
      for (const example of examples) told.push(await example())
      const message = `${summary(count)}: ${told.join('; ')}${count > told.length ? '; …' : ''}`
      findings.push({ code, message, details: { count, examples: told } })
    }
    return findings
  }
}
