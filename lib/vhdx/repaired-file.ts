/** A file as it will be when it is repaired: what is new in the place of what is there. Nothing is written. */
import { BlockDevice } from '../device/block-device.ts'
import { endOf, intersect, type Range } from '../device/ranges.ts'
import { ReadOnlyError } from '../errors.ts'
import type { BatPage } from './bat.ts'
import { BAT_ENTRY_SIZE } from './format.ts'

const PAGE = 4096

/** Bytes that are somewhere else too. */
export interface Copy {
  readonly from: number
  readonly to: number
  readonly length: number
}

/** A BAT whose entries are put right as they are read. */
export interface MendedBat extends Range {
  /** Puts the entries of `page` right. */
  mend(page: BatPage): void
}

/** `base` with a few pages, copies of some bytes, and another BAT. What lies behind the end of `base` is zeros. */
export class RepairedFile extends BlockDevice {
  override readonly readOnly = true
  /** May be set at any time. */
  size: number
  bat: MendedBat | undefined
  copies: readonly Copy[] = []
  readonly #base: BlockDevice
  /** By number. */
  readonly #pages = new Map<number, Buffer>()

  constructor(base: BlockDevice) {
    super()
    this.#base = base
    this.size = base.size
  }

  /** Puts `bytes` at `position`. All of them are kept in memory. */
  async patch(position: number, bytes: Buffer): Promise<void> {
    for (let offset = position - (position % PAGE); offset < position + bytes.length; offset += PAGE) {
      const page = this.#pages.get(offset / PAGE) ?? Buffer.alloc(PAGE)
      if (!this.#pages.has(offset / PAGE)) await this.#readUnpatched(offset, page)
      const from = Math.max(position, offset)
      bytes.copy(page, from - offset, from - position, offset + PAGE - position)
      this.#pages.set(offset / PAGE, page)
    }
  }

  /** What was patched. */
  patchedRanges(): Range[] {
    return [...this.#pages.keys()].sort((a, b) => a - b).map(number => ({ offset: number * PAGE, length: PAGE }))
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    await this.#readUnpatched(offset, target)
    const end = offset + target.length
    const touched = (end - offset) / PAGE > this.#pages.size ? this.#pages.keys() : numbersOf(offset, end)
    for (const number of touched) {
      const page = this.#pages.get(number)
      const part = page && intersect({ offset: number * PAGE, length: PAGE }, { offset, length: target.length })
      if (part !== undefined)
        page!.copy(target, part.offset - offset, part.offset % PAGE, (part.offset % PAGE) + part.length)
    }
  }

  async #readUnpatched(offset: number, target: Buffer): Promise<void> {
    await this.#readBase(offset, target)
    const range = { offset, length: target.length }
    for (const { from, to, length } of this.copies) {
      const part = intersect(range, { offset: to, length })
      if (part === undefined) continue
      await this.#readBase(from + part.offset - to, target.subarray(part.offset - offset, endOf(part) - offset))
    }
    const part = this.bat && intersect(range, this.bat)
    if (part !== undefined)
      await this.#readBat(this.bat!, part, target.subarray(part.offset - offset, endOf(part) - offset))
  }

  async #readBat(bat: MendedBat, part: Range, target: Buffer): Promise<void> {
    const first = Math.floor((part.offset - bat.offset) / BAT_ENTRY_SIZE)
    const end = Math.ceil((endOf(part) - bat.offset) / BAT_ENTRY_SIZE)
    const bytes = Buffer.alloc((end - first) * BAT_ENTRY_SIZE)
    const start = bat.offset + first * BAT_ENTRY_SIZE
    await this.#readBase(start, bytes)
    bat.mend({ index: first, bytes })
    bytes.copy(target, 0, part.offset - start)
  }

  async #readBase(offset: number, target: Buffer): Promise<void> {
    const length = Math.min(target.length, Math.max(0, this.#base.size - offset))
    if (length > 0) await this.#base.read(offset, target.subarray(0, length))
    target.fill(0, length)
  }

  protected override writeBytes(): Promise<void> {
    throw new ReadOnlyError('READ_ONLY', 'a file whose repair is planned is for reading only')
  }

  /** Leaves the file open. */
  override async close(): Promise<void> {}
}

function* numbersOf(offset: number, end: number): Iterable<number> {
  for (let number = Math.floor(offset / PAGE); number * PAGE < end; number++) yield number
}
