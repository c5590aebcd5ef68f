/** The disk in a VHDX file. */
import { MiB } from '../binary/size.ts'
import { BlockDevice } from '../device/block-device.ts'
import { endOf, intersect, type Range } from '../device/ranges.ts'
import { ReadOnlyError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { Bat, type BatEntry } from './bat.ts'
import { stateOf } from './bat-entry.ts'
import { FULLY_PRESENT, type Header, PARTIALLY_PRESENT, PAYLOAD_STATES, type PayloadState, UNMAPPED } from './format.ts'
import type { Geometry } from './layout.ts'
import type { Metadata } from './metadata.ts'
import type { MetadataItem } from './metadata-table.ts'
import { atByte, type Breach, errorOf, problem, RULES, type RuleCode } from './rules.ts'
import { type Area, readStructures, type VhdxStructures } from './structures.ts'

/** Blocks `block` to `block + count - 1`, which are all in one state. */
export interface BlockStates {
  readonly block: number
  readonly count: number
  readonly state: PayloadState
}

/** The lower half of an entry without the place: state and reserved bits. States 0 to 3 without reserved bits read as zeros. */
const STATE_AND_RESERVED = 0xfffff

/**
 * The disk in a dynamic or fixed image, for reading. The image must be clean: what a log has not yet been replayed into
 * would be read wrong. Memory is bounded whatever the size of the BAT; opening reads none of it.
 */
export class VhdxDevice extends BlockDevice {
  override readonly readOnly = true
  readonly size: number
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  /** The current header. */
  readonly header: Header
  readonly metadata: Metadata
  readonly geometry: Geometry
  /** Who made the file, by its own word. */
  readonly creator: string
  /** What is not as it should be and did no harm: a bad header beside a good one, and the like. */
  readonly findings: readonly Finding[]
  readonly #file: BlockDevice
  readonly #bat: Bat
  readonly #areas: readonly Area[]
  readonly #items: readonly MetadataItem[]

  private constructor(file: BlockDevice, structures: OpenableStructures) {
    super()
    this.#file = file
    this.header = structures.headers.current.header
    this.metadata = structures.metadataRegion.metadata
    this.geometry = structures.geometry
    this.creator = structures.creator
    this.findings = structures.problems
    this.size = this.geometry.virtualSize
    this.sectorSize = this.geometry.logicalSectorSize
    // A disk of 4096/512 is legal VHDX, but nothing has physical sectors smaller than its logical ones.
    this.physicalSectorSize = Math.max(this.geometry.physicalSectorSize, this.sectorSize)
    this.#bat = new Bat(file, structures.regionTables.bat.offset, this.geometry)
    this.#areas = structures.areas
    this.#items = structures.metadataRegion.items
  }

  /**
   * Opens the image in `file`, which from then on belongs to the device: closing the device closes it. When opening
   * fails it stays the caller's. Throws FormatError with the code of the broken rule (rules.ts), and UnsupportedError
   * for a log that was not replayed (LOG_DIRTY), a differencing image (PARENT_NOT_OPENED) and what is newer than this.
   */
  static async open(file: BlockDevice): Promise<VhdxDevice> {
    const structures = await readStructures(file)
    const obstacle = structures.problems.find(
      ({ code, severity }) => severity === 'error' || 'unsupported' in RULES[code],
    )
    if (obstacle !== undefined) throw errorOf(obstacle)
    return new VhdxDevice(file, structures as OpenableStructures)
  }

  /** The bytes of the user metadata item `itemId`; undefined when there is none. */
  async userMetadata(itemId: string): Promise<Buffer | undefined> {
    const item = this.#items.find(item => item.isUser && item.itemId === itemId)
    if (item === undefined) return undefined
    const data = Buffer.alloc(item.length)
    await this.#file.read(item.offset, data)
    return data
  }

  /** How many payload blocks have a place in the file. Reads the whole BAT. */
  allocatedBlocks(): Promise<number> {
    return this.#bat.presentCount()
  }

  /** The states of all blocks, in order, from one page of the BAT to the next. */
  async *blockStates(): AsyncIterable<BlockStates> {
    for await (const { kind, block, count } of this.#bat.runs(stateOf)) {
      yield { block, count, state: PAYLOAD_STATES[kind]! }
    }
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    const extents = await this.#extents({ offset, length: target.length })
    await Promise.all(
      extents.map(({ offset: place, length, fileOffset }) => {
        const part = target.subarray(place - offset, place - offset + length)
        return fileOffset === undefined ? part.fill(0) : this.#file.read(fileOffset, part)
      }),
    )
  }

  /** Blocks whose entries are broken count as data, so that whoever copies by ranges comes upon the error. */
  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    const { blockSize } = this.geometry
    const [first, end] = [Math.floor(within.offset / blockSize), Math.ceil(endOf(within) / blockSize)]
    const isData = (low: number) => ((low & STATE_AND_RESERVED) > UNMAPPED ? 1 : 0)
    for await (const { kind, block, count } of this.#bat.runs(isData, first, end)) {
      const range = intersect({ offset: block * blockSize, length: count * blockSize }, within)
      if (kind === 1 && range !== undefined) yield range
    }
  }

  protected override writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'images are opened for reading only')
  }

  override close(): Promise<void> {
    return this.#file.close()
  }

  /** Where the bytes of `range` lie in the file, in order; blocks that lie one behind the other there are one extent. */
  async #extents(range: Range): Promise<Extent[]> {
    const { blockSize } = this.geometry
    const extents: Extent[] = []
    for (let offset = range.offset; offset < endOf(range); ) {
      const block = Math.floor(offset / blockSize)
      const within = offset - block * blockSize
      const length = Math.min(blockSize - within, endOf(range) - offset)
      const fileOffset = this.#placeOf(block, await this.#bat.entry(block), { offset: within, length })
      const last = extents.at(-1)
      if (last !== undefined && fileOffset === follower(last)) last.length += length
      else extents.push({ offset, length, fileOffset })
      offset += length
    }
    return extents
  }

  /** Where in the file the bytes `within` of `block` lie; undefined where they read as zeros. */
  #placeOf(block: number, entry: BatEntry, within: Range): number | undefined {
    const fail = (code: RuleCode, expected: string, actual: string) => {
      const breach: Breach = {
        structure: `VHDX BAT entry of block ${block}`,
        position: entry.position,
        expected,
        actual,
      }
      throw errorOf(problem(code, breach))
    }
    if (entry.reservedBits !== 0)
      fail('BAT_RESERVED_BITS', 'without reserved bits', `with 0x${entry.reservedBits.toString(16)}`)
    if (entry.state <= UNMAPPED) return undefined
    if (entry.state === PARTIALLY_PRESENT) fail('BAT_PARTIAL', 'whole, for there is no parent', 'partially present')
    if (entry.state !== FULLY_PRESENT) fail('BAT_STATE', 'in a known state', `in state ${entry.state}`)
    const place = { offset: entry.mebibyte * MiB, length: this.geometry.blockSize }
    const area = this.#areas.find(area => intersect(area, place) !== undefined)
    if (area !== undefined) fail('BAT_ON_STRUCTURE', 'in free space', `at ${atByte(place.offset)}, in the ${area.name}`)
    const fileOffset = place.offset + within.offset
    if (fileOffset + within.length > this.#file.size) {
      fail('BAT_BEYOND_END', `inside the file of ${this.#file.size} bytes`, `at ${atByte(place.offset)}`)
    }
    return fileOffset
  }
}

interface Extent {
  readonly offset: number
  length: number
  readonly fileOffset: number | undefined
}

/** Where in the file the next bytes must lie to belong to the same extent. */
const follower = ({ fileOffset, length }: Extent) => (fileOffset === undefined ? undefined : fileOffset + length)

/** What is left to be undefined when no problem stops the opening: nothing. */
type OpenableStructures = VhdxStructures & {
  readonly creator: string
  readonly headers: { readonly current: object }
  readonly regionTables: { readonly bat: Range }
  readonly metadataRegion: { readonly metadata: Metadata }
  readonly geometry: Geometry
}
