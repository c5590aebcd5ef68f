/**
 * Writes that go past the system's page cache, from memory straight to the medium. An image is written once and not
 * read again: in the cache it would only push out what the machine works with, and cost a copy of every byte.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { isAligned } from './aligned-memory.ts'

/** Not every file system takes direct writes, nor every place: these errors say so, at opening or at the write. */
const NOT_TAKEN = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT', 'EACCES', 'EPERM'])

export class DirectWriter {
  readonly #fd: number
  #handle: Promise<FileHandle> | undefined
  #isOff = constants.O_DIRECT === undefined

  /** For the open file `fd`, through a second opening of it. */
  constructor(fd: number) {
    this.#fd = fd
  }

  /**
   * Writes `source` at byte `offset`, as far as that goes, and says how many bytes that was: 0 where memory or place are
   * not aligned, or the file system takes no direct writes. Throws what the system throws.
   */
  async write(offset: number, source: Buffer): Promise<number> {
    if (this.#isOff || !isAligned(source, offset)) return 0
    try {
      // By its number, so that it is the same file whatever has become of its name.
      this.#handle ??= open(`/proc/self/fd/${this.#fd}`, constants.O_WRONLY | constants.O_DIRECT)
      return (await (await this.#handle).write(source, 0, source.length, offset)).bytesWritten
    } catch (error) {
      if (!NOT_TAKEN.has(String((error as NodeJS.ErrnoException).code))) throw error
      this.#isOff = true
      return 0
    }
  }

  async close(): Promise<void> {
    const handle = await this.#handle?.catch(() => undefined)
    await handle?.close()
  }
}
