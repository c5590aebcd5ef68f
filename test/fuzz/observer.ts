/** What came out of one case: a fingerprint of all that was read, errors by code, and promises that were broken. */
import { createHash } from 'node:crypto'
import { endOf, type Range } from '../../lib/device/ranges.ts'
import { DiskImageError } from '../../lib/errors.ts'
import type { Finding } from '../../lib/finding.ts'

/** Something that must not be, whatever the input. */
export class BrokenPromise extends Error {}

/** Codes that are ours and yet tell of a mistake of the library, not of the input. */
const OWN_MISTAKES = ['OUT_OF_RANGE', 'READ_ONLY']

export class Observer {
  /** Errors and findings, and how often. */
  readonly codes = new Map<string, number>()
  /** How many of them are errors. */
  errors = 0
  readonly #hash = createHash('sha256')

  /** Of everything that was noted. */
  fingerprint(): string {
    return this.#hash.digest('hex')
  }

  /** Adds to the fingerprint. */
  note(...facts: readonly (Buffer | string | number | bigint | boolean | undefined)[]): void {
    for (const fact of facts) this.#hash.update(Buffer.isBuffer(fact) ? fact : `${fact}\n`)
  }

  claim(isTrue: boolean, promise: string): void {
    if (!isTrue) throw new BrokenPromise(promise)
  }

  /** What `work` gives; undefined, noted and counted, when it ends with an error of ours. */
  async attempt<T>(work: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      this.error(error)
      return undefined
    }
  }

  /** Takes note of an error, which has to be one of ours and to make sense. */
  error(error: unknown): void {
    if (!(error instanceof DiskImageError)) throw error
    const { code, message } = error
    if (OWN_MISTAKES.includes(code)) throw new BrokenPromise(`${code}: ${message}`, { cause: error })
    this.errors++
    this.#count(code, message)
  }

  findings(findings: readonly Finding[]): void {
    for (const { code, message } of findings) this.#count(code, message)
  }

  #count(code: string, message: string): void {
    this.claim(/^[A-Z][A-Z0-9_]+$/.test(code), `the code '${code}' is none`)
    this.claim(!/undefined|NaN|\[object|Infinity/.test(message), `${code} says: ${message}`)
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
  }

  /** Passes ranges on that have to be in order, apart from each other, and within `size`. */
  async *inOrder(ranges: AsyncIterable<Range>, size: number): AsyncIterable<Range> {
    let end = -1
    for await (const range of ranges) {
      const isSound = range.offset > end && range.length > 0 && endOf(range) <= size
      this.claim(isSound, `range ${range.offset} + ${range.length} after ${end}, of ${size}`)
      end = endOf(range)
      yield range
    }
  }
}
