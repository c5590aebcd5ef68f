/** The BAT of a new image, written from its start to its end. */
import { TableWriter } from '../device/table-writer.ts'
import { writeEntry } from './bat-entry.ts'
import { BAT_ENTRY_SIZE, FULLY_PRESENT } from './format.ts'
import { payloadEntryIndex } from './layout.ts'

/** Takes entries in ascending order; pages go to `write` in order, every one of the region, empty ones too. */
export class BatWriter {
  readonly #chunkRatio: number
  readonly #table: TableWriter

  /** `write` gets offsets from the start of the region; the page is its own only until its promise settles. */
  constructor(chunkRatio: number, regionLength: number, write: (offset: number, page: Buffer) => Promise<void>) {
    this.#chunkRatio = chunkRatio
    this.#table = new TableWriter(regionLength, 0, write)
  }

  /** Payload block `block` lies at byte `fileOffset`. Only the call that leaves a page writes. */
  async setPresent(block: number, fileOffset: number): Promise<void> {
    const offset = payloadEntryIndex(block, this.#chunkRatio) * BAT_ENTRY_SIZE
    writeEntry(await this.#table.at(offset), 0, FULLY_PRESENT, fileOffset)
  }

  /** Writes what is left of the region. */
  finish(): Promise<void> {
    return this.#table.finish()
  }
}
