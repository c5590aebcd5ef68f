/** What the fuzzer knows of a format: one object of this kind per format, in targets/. */
import type { Range } from '../../lib/device/ranges.ts'
import type { Observer } from './observer.ts'

/** A number or some bytes in a structure; `offset` counts from the start of the input. */
export interface Field extends Range {
  readonly name: string
}

/** A structure in a seed, or a piece of it that has no fields: a name, packed bytes, a runlist. */
export interface Place extends Range {
  /** What it is, the same for all that are alike: these are put in each other's place. */
  readonly kind: string
  /** Where its numbers are. Without any, its bytes are changed one by one. */
  readonly fields: readonly Field[]
}

/** A valid input to begin from. */
export interface Seed {
  readonly name: string
  /** In the form in which it is changed; `Target.seal` makes it what lies on a disk. */
  readonly content: Buffer
  readonly places: readonly Place[]
  /** What checksums cover: a change in nothing else, without the checksums made good, is seen. Default: nothing. */
  readonly guarded?: readonly Range[]
}

export interface Target {
  readonly name: string
  /** The most significant byte of a number comes first. Default: last. */
  readonly bigEndian?: boolean
  /** The same seeds in the same order, each time. */
  load(): Promise<readonly Seed[]>
  /** Makes checksums and the like good again, in place, so that what is behind them is reached. `content` may be cut short. */
  seal(content: Buffer, seed: Seed): void
  /** Does with `content` all that the library can do with it, tells `observer` what came out, and claims what must be true of it. */
  exercise(content: Buffer, observer: Observer, seed: Seed): Promise<void>
}
