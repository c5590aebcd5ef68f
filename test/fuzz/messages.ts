/** What the fuzzer and its worker say to each other. */
import type { Mutation } from './mutation.ts'

/** A case as data; `seed` by its name. */
export interface WrittenCase {
  readonly seed: string
  readonly mutations: readonly Mutation[]
  readonly isSealed: boolean
}

/** Cases of `target` to run: `count` from number `from`, or the one that is told. */
export interface Order {
  readonly target: string
  readonly seed: string
  readonly from: number
  readonly count: number
  readonly explicit?: WrittenCase
}

export interface CaseResult {
  readonly number: number
  /** Codes of errors and findings, and how often. */
  readonly codes: readonly (readonly [string, number])[]
  /** Milliseconds of processor time. */
  readonly time: number
  /** Bytes beyond what the process had before, as far as it was more than ever. */
  readonly memory: number
  /** What must not be, with where it was. */
  readonly failure?: string
}

export type Result =
  | { readonly kind: 'begins'; readonly number: number }
  | ({ readonly kind: 'ended' } & CaseResult)
  | { readonly kind: 'done' }
