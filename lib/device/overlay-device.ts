/** Writes over a device that is not to be changed. */
import { formatSize, MiB, roundDown } from '../binary/size.ts'
import { StorageError } from '../errors.ts'
import { BlockDevice } from './block-device.ts'
import { endOf, mergeTouching, type Range } from './ranges.ts'

const PAGE = 4096

/**
 * Shows `base` with what was written here in its place. Written pages of 4 KiB are kept in memory, up to `limit` bytes
 * of them (64 MiB unless told); a write that would need more throws StorageError (OVERLAY_FULL), and may be half done.
 * `base` is never written, and must not change meanwhile. It keeps its size. Closing leaves `base` open.
 */
export class OverlayDevice extends BlockDevice {
  readonly size: number
  override readonly sectorSize: number
  override readonly physicalSectorSize: number
  readonly #base: BlockDevice
  readonly #limit: number
  /** By number. The last page of a device may end past it, in zeros. */
  readonly #pages = new Map<number, Buffer>()

  constructor(base: BlockDevice, options: { readonly limit?: number } = {}) {
    super()
    this.#base = base
    this.#limit = options.limit ?? 64 * MiB
    this.size = base.size
    this.sectorSize = base.sectorSize
    this.physicalSectorSize = base.physicalSectorSize
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    await this.#base.read(offset, target)
    for (const { number, from, to, at } of pagesOf(offset, target.length)) {
      this.#pages.get(number)?.copy(target, at, from, to)
    }
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    for (const { number, from, to, at } of pagesOf(offset, source.length)) {
      const page = to - from === PAGE ? this.#blankPage(number) : await this.#filledPage(number)
      source.copy(page, from, at, at + to - from)
    }
  }

  protected override async *dataRangesWithin(within: Range): AsyncIterable<Range> {
    yield* mergeTouching(this.#dataInOrder(within))
  }

  async *#dataInOrder(within: Range): AsyncIterable<Range> {
    const end = endOf(within)
    const written = [...this.#pages.keys()]
      .map(number => number * PAGE)
      .filter(offset => offset + PAGE > within.offset && offset < end)
      .sort((a, b) => a - b)
      .map(page => {
        const offset = Math.max(page, within.offset)
        return { offset, length: Math.min(page + PAGE, end) - offset }
      })
    let next = 0
    for await (const range of this.#base.dataRanges(within)) {
      while (next < written.length && written[next]!.offset < range.offset) yield written[next++]!
      yield range
    }
    yield* written.slice(next)
  }

  /** The page that is kept as `number`, made of zeros when there is none: all of it is about to be written. */
  #blankPage(number: number): Buffer {
    const kept = this.#pages.get(number)
    if (kept !== undefined) return kept
    if ((this.#pages.size + 1) * PAGE > this.#limit) {
      throw new StorageError(
        'OVERLAY_FULL',
        `cannot keep more than ${formatSize(this.#limit)} of changes in memory at byte ${number * PAGE}`,
        { limit: this.#limit, position: number * PAGE },
      )
    }
    const page = Buffer.alloc(PAGE)
    this.#pages.set(number, page)
    return page
  }

  /** The same, made of what `base` holds. */
  async #filledPage(number: number): Promise<Buffer> {
    const kept = this.#pages.get(number)
    if (kept !== undefined) return kept
    const content = Buffer.alloc(Math.min(PAGE, this.size - number * PAGE))
    await this.#base.read(number * PAGE, content)
    // Another write may have made the page meanwhile: what that one wrote stays.
    const made = this.#pages.get(number)
    if (made !== undefined) return made
    const page = this.#blankPage(number)
    content.copy(page)
    return page
  }

  async close(): Promise<void> {}
}

/** The pages of a request: bytes `from` to `to` of page `number` are those of the request from `at`. */
function* pagesOf(offset: number, length: number) {
  for (let at = 0; at < length; ) {
    const start = roundDown(offset + at, PAGE)
    const from = offset + at - start
    const to = Math.min(PAGE, from + length - at)
    yield { number: start / PAGE, from, to, at }
    at += to - from
  }
}
