/** Findings that come one by one, from volumes that may be damaged everywhere. */
import type { Finding } from '../finding.ts'

const MAX_FINDINGS = 1000

/** Each is there once, and of very many only the first. */
export class FindingList {
  readonly list: Finding[] = []
  readonly #told = new Set<string>()

  add(finding: Finding): void {
    if (this.list.length > MAX_FINDINGS || this.#told.has(finding.message)) return
    this.#told.add(finding.message)
    this.list.push(this.list.length < MAX_FINDINGS ? finding : many)
  }
}

const many: Finding = {
  code: 'MORE_FINDINGS',
  message: `there is more to say than these ${MAX_FINDINGS} findings: the volume is badly damaged`,
}
