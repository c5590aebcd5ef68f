/** A medium like a raw disk of Windows: whole sectors or an error, and an error past its end. */
import type { Medium } from '../../lib/device/medium.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { StorageError } from '../../lib/errors.ts'

/** `content` in sectors. `badSectors` can be reached but not read. */
export class SectorsOnly implements Medium {
  readonly content: Buffer
  readonly requests: Range[] = []
  readonly #sectorSize: number
  readonly #badSectors: readonly number[]

  constructor(content: Buffer, sectorSize: number, badSectors: readonly number[] = []) {
    this.content = content
    this.#sectorSize = sectorSize
    this.#badSectors = badSectors
  }

  async read(offset: number, target: Buffer): Promise<void> {
    this.#check(offset, target.length)
    const bad = this.#badSectors.map(sector => sector * this.#sectorSize)
    if (bad.some(start => start < offset + target.length && start + this.#sectorSize > offset)) {
      throw new StorageError('READ_ERROR', 'bad sector')
    }
    this.content.copy(target, 0, offset)
  }

  async write(offset: number, source: Buffer): Promise<void> {
    this.#check(offset, source.length)
    source.copy(this.content, offset)
  }

  #check(offset: number, length: number): void {
    this.requests.push({ offset, length })
    if (offset % this.#sectorSize === 0 && length % this.#sectorSize === 0) {
      if (offset + length <= this.content.length) return
    }
    throw new StorageError('IO_ERROR', 'invalid parameter')
  }
}
