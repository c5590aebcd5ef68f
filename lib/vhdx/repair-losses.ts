/** What a repair of the image could not save: it reads as zeros, and is none. */
import { endOf, intersect, type Range } from '../device/ranges.ts'
import { unionRanges } from '../device/union-ranges.ts'
import { FormatError, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { Bat } from './bat.ts'
import { stateOf } from './bat-entry.ts'
import { REPAIR_NOTE, UNDEFINED } from './format.ts'
import type { Geometry } from './layout.ts'
import { decodeRepairNote, type RepairNote } from './repair-note.ts'
import type { SoundStructures } from './structures.ts'

export class RepairLosses {
  readonly finding: Finding
  /** Undefined for one that is damaged. */
  readonly #note: RepairNote | undefined
  readonly #geometry: Geometry
  /** Whether the disk was not written since: then all that was lost still is. Else what is still undefined. */
  readonly #isUntouched: boolean

  private constructor(note: RepairNote | undefined, finding: Finding, { geometry, headers }: SoundStructures) {
    this.finding = finding
    this.#note = note
    this.#geometry = geometry
    this.#isUntouched = headers.current.header.dataWriteGuid === note?.dataWriteGuid
  }

  /** By the note in the image; undefined where there is none. A damaged one is a finding, and no more. */
  static async read(structures: SoundStructures): Promise<RepairLosses | undefined> {
    const item = structures.metadataRegion.items.find(({ itemId, isUser }) => isUser && itemId === REPAIR_NOTE)
    if (item === undefined) return undefined
    const bytes = Buffer.alloc(item.length)
    await structures.file.read(item.offset, bytes)
    try {
      const note = decodeRepairNote(bytes, item.offset)
      return new RepairLosses(note, findingOf(note), structures)
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      const message = `what a repair of the image could not save is not known any more: ${error.message}`
      return new RepairLosses(undefined, { code: error.code, message }, structures)
    }
  }

  /** Throws StorageError (LOST_IN_REPAIR) when any byte of `range` is lost. */
  async refuse(range: Range, bat: Bat): Promise<void> {
    for await (const { offset, length } of this.lostIn(range, bat)) {
      const when = dayOf(this.#note!)
      const message = `${length} bytes at byte ${offset} of the disk are lost: the image was damaged, and repaired on ${when}`
      throw new StorageError('LOST_IN_REPAIR', message, { position: offset, length })
    }
  }

  /** What of `within` is lost, in order. */
  async *lostIn(within: Range, bat: Bat): AsyncIterable<Range> {
    if (this.#note === undefined) return
    const { ranges, isTruncated } = this.#note
    const listed = partsIn(within, ranges)
    if (listed.length === 0 && !isTruncated) return
    const all = [within]
    yield* unionRanges([
      {
        extent: within,
        ranges: () => (this.#isUntouched ? inOrder(listed) : undefinedIn(listed, bat, this.#geometry)),
      },
      { extent: within, ranges: () => undefinedIn(isTruncated ? all : [], bat, this.#geometry) },
    ])
  }
}

/** What of `within` is in `ranges`, which are in order. */
function partsIn(within: Range, ranges: readonly Range[]): Range[] {
  let [low, high] = [0, ranges.length]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (endOf(ranges[middle]!) <= within.offset) low = middle + 1
    else high = middle
  }
  const parts: Range[] = []
  for (; low < ranges.length && ranges[low]!.offset < endOf(within); low++) parts.push(intersect(ranges[low]!, within)!)
  return parts
}

const dayOf = ({ repairedAt }: RepairNote) => repairedAt.toISOString().slice(0, 10)

async function* inOrder(ranges: readonly Range[]): AsyncIterable<Range> {
  yield* ranges
}

/** What of `ranges` lies in blocks that are undefined. */
async function* undefinedIn(
  ranges: readonly Range[],
  bat: Bat,
  { blockSize, virtualSize }: Geometry,
): AsyncIterable<Range> {
  for (const range of ranges) {
    const [first, end] = [
      Math.floor(range.offset / blockSize),
      Math.ceil(Math.min(endOf(range), virtualSize) / blockSize),
    ]
    for await (const { kind, block, count } of bat.runs(stateOf, first, end)) {
      const part =
        kind === UNDEFINED ? intersect(range, { offset: block * blockSize, length: count * blockSize }) : undefined
      if (part !== undefined) yield part
    }
  }
}

function findingOf(note: RepairNote): Finding {
  const { lostBytes, isLogDiscarded, ranges, isTruncated } = note
  const lost =
    lostBytes > 0 ? [`${lostBytes} bytes of its disk were lost, and are an error where nothing was written since`] : []
  const log = isLogDiscarded ? ['its log was given up, so that what was written last may be missing or old'] : []
  const message = `the image was damaged, and repaired on ${dayOf(note)}: ${[...lost, ...log].join('; ')}`
  return { code: 'LOST_IN_REPAIR', message, details: { bytes: lostBytes, ranges: ranges.slice(0, 100), isTruncated } }
}
