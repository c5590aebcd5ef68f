/** Tables of hundreds of MiB, of which a read needs a few bytes here and there: the pages used last are kept. */
import { KiB } from '../binary/size.ts'
import type { ByteSource } from '../device/block-device.ts'

const PAGE_SIZE = 64 * KiB
const MAX_PAGES = 64

/** A page, and where in it the byte lies that was asked for. */
export interface PagePlace {
  readonly page: Buffer
  readonly at: number
}

/** Bytes of a file by the pages they lie in. */
export interface Pages {
  /** The page with byte `position` of the file. Pages are aligned in the file; its last one may be short. */
  find(position: number): Promise<PagePlace>
}

export class PageCache implements Pages {
  readonly #file: ByteSource
  /** By its number in the file, the one used longest ago first. */
  readonly #pages = new Map<number, Promise<Buffer>>()

  constructor(file: ByteSource) {
    this.#file = file
  }

  async find(position: number): Promise<PagePlace> {
    return { page: await this.#page(Math.floor(position / PAGE_SIZE)), at: position % PAGE_SIZE }
  }

  /** Forgets the page with byte `position`: it was written to. */
  drop(position: number): void {
    this.#pages.delete(Math.floor(position / PAGE_SIZE))
  }

  async #page(number: number): Promise<Buffer> {
    const page = this.#pages.get(number) ?? this.#read(number)
    this.#pages.delete(number)
    this.#pages.set(number, page)
    if (this.#pages.size > MAX_PAGES) this.#pages.delete(this.#pages.keys().next().value!)
    try {
      return await page
    } catch (error) {
      this.#pages.delete(number)
      throw error
    }
  }

  async #read(number: number): Promise<Buffer> {
    const offset = number * PAGE_SIZE
    const page = Buffer.alloc(Math.min(PAGE_SIZE, this.#file.size - offset))
    await this.#file.read(offset, page)
    return page
  }
}
