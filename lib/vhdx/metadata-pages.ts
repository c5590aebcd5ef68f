/**
 * Metadata that is being changed: what a session of writing sees of the file's structures. Changes show at once, and
 * are kept here by sectors of 4 KiB until they are committed: through the log, then at home.
 */
import type { BlockDevice, ByteSource } from '../device/block-device.ts'
import { endOf, intersect, type Range } from '../device/ranges.ts'
import { LOG_SECTOR_SIZE } from './format.ts'
import { PageCache, type PagePlace, type Pages } from './page-cache.ts'

/** New bytes at `position` of the file. */
export interface MetadataChange {
  readonly position: number
  readonly bytes: Buffer
}

/** A sector of 4 KiB with its new content. */
export interface ChangedSector {
  readonly position: number
  readonly bytes: Buffer
}

/** As many sectors as the first sector of a log entry has descriptors for. qemu reads no entries with more. */
export const MAX_CHANGED_SECTORS = 126

export class MetadataPages implements ByteSource, Pages {
  readonly #file: BlockDevice
  readonly #cache: PageCache
  readonly #makeRoom: () => Promise<void>
  /** By their positions, the sectors that were changed since the last commit began. */
  #changed = new Map<number, Buffer>()
  /** Those of the commit that is under way: they change no more. */
  #committing = new Map<number, Buffer>()
  /** How many commits have ended. What was read of the file before one may be old after it. */
  #commits = 0

  /** `makeRoom` commits what was changed so far. */
  constructor(file: BlockDevice, makeRoom: () => Promise<void>) {
    this.#file = file
    this.#cache = new PageCache(file)
    this.#makeRoom = makeRoom
  }

  get size(): number {
    return this.#file.size
  }

  async find(position: number): Promise<PagePlace> {
    const at = position % LOG_SECTOR_SIZE
    const page = this.#latest(position - at)
    return page === undefined ? this.#cache.find(position) : { page, at }
  }

  async read(offset: number, target: Buffer): Promise<void> {
    const range = { offset, length: target.length }
    // Before and after: a sector may reach its home while the file is read.
    const before = this.#sectorsIn(range)
    await this.#file.read(offset, target)
    for (const sector of [...before, ...this.#sectorsIn(range)]) {
      const part = intersect({ offset: sector.position, length: LOG_SECTOR_SIZE }, range)!
      sector.bytes.copy(target, part.offset - offset, part.offset - sector.position, endOf(part) - sector.position)
    }
  }

  /**
   * Makes all of `changes`, which are in one commit then: a power cut leaves all of them or none. They may lie in at most
   * 126 sectors.
   */
  async change(changes: readonly MetadataChange[]): Promise<void> {
    const positions = new Set(changes.flatMap(sectorsOf))
    if (positions.size > MAX_CHANGED_SECTORS)
      throw new RangeError(`${positions.size} sectors cannot be changed at once`)
    for (;;) {
      const commits = this.#commits
      const contents = new Map<number, Buffer>()
      for (const position of positions) contents.set(position, await this.#content(position))
      const added = [...positions].filter(position => !this.#changed.has(position)).length
      // From here on nothing waits, so that no commit comes between two of the changes.
      if (this.#changed.size + added > MAX_CHANGED_SECTORS) await this.#makeRoom()
      else if (commits === this.#commits) return this.#apply(changes, contents)
    }
  }

  /** The sectors that were changed, to be committed. `committed` has to be called before they are asked for again. */
  takeChanged(): readonly ChangedSector[] {
    this.#committing = this.#changed
    this.#changed = new Map()
    return [...this.#committing]
      .map(([position, bytes]) => ({ position, bytes }))
      .sort((a, b) => a.position - b.position)
  }

  /** The sectors that were taken are at their homes. */
  committed(): void {
    for (const position of this.#committing.keys()) this.#cache.drop(position)
    this.#committing = new Map()
    this.#commits++
  }

  #apply(changes: readonly MetadataChange[], contents: ReadonlyMap<number, Buffer>): void {
    for (const change of changes) {
      for (const position of sectorsOf(change)) {
        const sector = this.#changed.get(position) ?? this.#committing.get(position) ?? contents.get(position)!
        const target = this.#changed.has(position) ? sector : Buffer.from(sector)
        change.bytes.copy(target, Math.max(0, change.position - position), Math.max(0, position - change.position))
        this.#changed.set(position, target)
      }
    }
  }

  #latest(position: number): Buffer | undefined {
    return this.#changed.get(position) ?? this.#committing.get(position)
  }

  /** The sector at `position` as the file has it. Behind its end are zeros. */
  async #content(position: number): Promise<Buffer> {
    const sector = Buffer.alloc(LOG_SECTOR_SIZE)
    const { page, at } = await this.#cache.find(position)
    page.copy(sector, 0, at)
    return sector
  }

  #sectorsIn(range: Range): ChangedSector[] {
    return [...this.#committing, ...this.#changed]
      .map(([position, bytes]) => ({ position, bytes }))
      .filter(({ position }) => intersect({ offset: position, length: LOG_SECTOR_SIZE }, range) !== undefined)
  }
}

/** The sectors that a change touches. */
function sectorsOf({ position, bytes }: MetadataChange): number[] {
  const sectors: number[] = []
  for (let at = position - (position % LOG_SECTOR_SIZE); at < position + bytes.length; at += LOG_SECTOR_SIZE) {
    sectors.push(at)
  }
  return sectors
}
