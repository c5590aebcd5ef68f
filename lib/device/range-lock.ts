/** Locks on ranges of numbers, such as the blocks of a disk: many may use a range together, or one alone. */

interface Claim {
  readonly first: number
  readonly end: number
  readonly isExclusive: boolean
  readonly grant: () => void
}

/** Whoever asks first is served first, among those that want the same numbers. */
export class RangeLock {
  #held: Claim[] = []
  #waiting: Claim[] = []

  /** Does `work` while numbers `first` to `end - 1` are locked: shared with other shared ones, or alone. */
  async with<T>(first: number, end: number, kind: 'shared' | 'exclusive', work: () => Promise<T>): Promise<T> {
    const claim = await this.#acquire(first, end, kind === 'exclusive')
    try {
      return await work()
    } finally {
      this.#release(claim)
    }
  }

  #acquire(first: number, end: number, isExclusive: boolean): Promise<Claim> {
    return new Promise(resolve => {
      const claim: Claim = { first, end, isExclusive, grant: () => resolve(claim) }
      this.#waiting.push(claim)
      this.#grant()
    })
  }

  #release(claim: Claim): void {
    this.#held = this.#held.filter(held => held !== claim)
    this.#grant()
  }

  #grant(): void {
    const left: Claim[] = []
    for (const claim of this.#waiting) {
      if (this.#held.some(other => collides(claim, other)) || left.some(other => collides(claim, other))) {
        left.push(claim)
      } else {
        this.#held.push(claim)
        claim.grant()
      }
    }
    this.#waiting = left
  }
}

const collides = (a: Claim, b: Claim) => (a.isExclusive || b.isExclusive) && a.first < b.end && b.first < a.end
