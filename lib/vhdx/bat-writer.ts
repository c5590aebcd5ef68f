/** The BAT of a new image, written a page at a time from its start to its end: memory is one page, whatever the disk's size. */
import { MiB } from '../binary/size.ts'
import { writeEntry } from './bat-entry.ts'
import { BAT_ENTRY_SIZE, FULLY_PRESENT } from './format.ts'
import { payloadEntryIndex } from './layout.ts'

const PAGE_SIZE = MiB

/** Takes entries in ascending order; pages go to `write` in order, every one of the region, empty ones too. */
export class BatWriter {
  readonly #chunkRatio: number
  readonly #regionLength: number
  readonly #write: (offset: number, page: Buffer) => Promise<void>
  readonly #page = Buffer.alloc(PAGE_SIZE)
  /** Where in the region the page in memory belongs. */
  #pageOffset = 0

  /** `write` gets offsets from the start of the region; the page is its own only until its promise settles. */
  constructor(chunkRatio: number, regionLength: number, write: (offset: number, page: Buffer) => Promise<void>) {
    this.#chunkRatio = chunkRatio
    this.#regionLength = regionLength
    this.#write = write
  }

  /** Payload block `block` lies at byte `fileOffset`. Only the call that leaves a page writes. */
  async setPresent(block: number, fileOffset: number): Promise<void> {
    const offset = payloadEntryIndex(block, this.#chunkRatio) * BAT_ENTRY_SIZE
    await this.#writePagesBefore(offset)
    writeEntry(this.#page, offset - this.#pageOffset, FULLY_PRESENT, fileOffset)
  }

  /** Writes what is left of the region. */
  finish(): Promise<void> {
    return this.#writePagesBefore(this.#regionLength)
  }

  async #writePagesBefore(offset: number): Promise<void> {
    while (this.#pageOffset + PAGE_SIZE <= offset) {
      await this.#write(this.#pageOffset, this.#page)
      this.#page.fill(0)
      this.#pageOffset += PAGE_SIZE
    }
  }
}
