/** Findings that come one by one, from volumes that may be damaged everywhere. */
import type { Finding } from '../finding.ts'

/** How many of a kind are told. */
const MANY = 100

/** Each finding is there once, and of very many of a kind the first ones only. */
export class FindingList {
  readonly list: Finding[] = []
  readonly #told = new Set<string>()
  /** How many there are by code. */
  readonly #counts = new Map<string, number>()

  add(finding: Finding): void {
    const count = this.#counts.get(finding.code) ?? 0
    if (count > MANY || this.#told.has(finding.message)) return
    this.#told.add(finding.message)
    this.#counts.set(finding.code, count + 1)
    this.list.push(count < MANY ? finding : more(finding.code))
  }
}

const more = (code: string): Finding => ({
  code: 'MORE_FINDINGS',
  message: `there are more than these ${MANY} findings of the kind ${code}`,
  details: { code },
})
