/**
 * How the file of an image becomes as short as it can: what lies at its end moves into the gaps before it, as little of
 * it as is needed. Nothing is moved here, only planned.
 */
import { MiB } from '../binary/size.ts'
import { endOf } from '../device/ranges.ts'
import type { Bat } from './bat.ts'
import { BatSweep } from './bat-sweep.ts'
import type { BlockSet } from './block-set.ts'
import { BAT_ENTRY_SIZE } from './format.ts'
import type { Geometry } from './layout.ts'
import { MebibyteSet } from './mebibyte-set.ts'
import type { Area } from './structures.ts'

/** A block or a sector bitmap that goes from one byte of the file to another, where nothing lies. */
export interface Move {
  /** Absolute byte of its BAT entry. */
  readonly entryPosition: number
  readonly state: number
  readonly from: number
  readonly to: number
  readonly length: number
}

/** What lies in the file, in MiB. */
interface Thing {
  readonly entryPosition: number
  readonly state: number
  readonly first: number
  readonly count: number
}

/** Things that are looked for in one pass over the BAT, at most: a few MiB of memory. */
const MAX_THINGS = 65_536

export class Packing {
  readonly #bat: Bat
  readonly #geometry: Geometry
  readonly #dropped: BlockSet
  /** The MiB that something lies in. */
  readonly #taken = new MebibyteSet(0)
  /** MiB of all that lies in the file: no shorter can it be. */
  #needed = 0
  #contentLength = 0
  /** The end of what does not move, in MiB. */
  #fixedEnd = 0

  private constructor(bat: Bat, geometry: Geometry, dropped: BlockSet) {
    this.#bat = bat
    this.#geometry = geometry
    this.#dropped = dropped
  }

  /** The packing of a file in which `areas` stay where they are, and all that `bat` has but for the blocks in `dropped`. Reads the BAT. */
  static async plan(bat: Bat, geometry: Geometry, areas: readonly Area[], dropped: BlockSet): Promise<Packing> {
    const packing = new Packing(bat, geometry, dropped)
    for (const area of areas) {
      const [first, end] = [Math.floor(area.offset / MiB), Math.ceil(endOf(area) / MiB)]
      packing.#take(first, end - first)
      packing.#fixedEnd = Math.max(packing.#fixedEnd, end)
    }
    await packing.#eachThing(({ first, count }) => {
      packing.#take(first, count)
      packing.#contentLength += count * MiB
    })
    return packing
  }

  /** Bytes of all blocks and bitmaps. */
  get contentLength(): number {
    return this.#contentLength
  }

  /** Bytes of the file with the moves that were asked for so far. */
  get end(): number {
    return this.#taken.end * MiB
  }

  /**
   * The moves, from the end of the file on: none of them goes to where another one came from. What the BAT says may be
   * changed meanwhile as they say, and need not be.
   */
  async *moves(): AsyncIterable<Move> {
    for (let end = this.#taken.end; ; end = this.#taken.end) {
      const from = Math.max(this.#needed, end - MAX_THINGS)
      const things: Thing[] = []
      await this.#eachThing(thing => {
        // What was moved before stood behind `end`, if the BAT still says so.
        if (thing.first + thing.count > from && thing.first < end) things.push(thing)
      })
      things.sort((a, b) => b.first - a.first)
      const last = things[0]
      if (last === undefined || last.first + last.count < end) return
      const searchFrom = new Map<number, number>()
      for (const { entryPosition, state, first, count } of things) {
        const to = this.#taken.findGap(count, searchFrom.get(count) ?? 0)
        // The file gets no shorter when something stays behind it.
        if (to > first || first + count < this.#fixedEnd) return
        searchFrom.set(count, to + count)
        this.#taken.claim(to, count)
        this.#taken.release(first, count)
        yield { entryPosition, state, from: first * MiB, to: to * MiB, length: count * MiB }
      }
    }
  }

  #take(first: number, count: number): void {
    this.#taken.claim(first, count)
    this.#needed += count
  }

  /** Calls `visit` with what has a place, in the order of the BAT. */
  async #eachThing(visit: (thing: Thing) => void): Promise<void> {
    const sweep = new BatSweep(this.#geometry, this.#dropped)
    for await (const page of this.#bat.pages()) {
      sweep.page(page, (at, state, first, count) => {
        const entryPosition = this.#bat.positionOf(page.index + at / BAT_ENTRY_SIZE)
        if (count > 0) visit({ entryPosition, state, first, count })
      })
    }
  }
}
