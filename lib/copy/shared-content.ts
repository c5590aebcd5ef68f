/** Content that a file has in common with the file it was read from, where the file system can share it. */
import { MiB, roundDown } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'

/** What is shared at a time: the smallest block of a VHDX, so that it lies in one piece whatever is around it. */
const PIECE = MiB

/** Takes content of `source` to `file`: shared, or written where that cannot be done. */
export class SharedContent {
  /** Bytes that were not written, because the files share them. */
  bytes = 0
  readonly #source: BlockDevice
  readonly #file: BlockDevice
  /** A file system that cannot do it once is not asked again. */
  #isOff = false

  constructor(source: BlockDevice, file: BlockDevice) {
    this.#source = source
    this.#file = file
  }

  /** Takes `bytes` of the source, which are there from `offset` on, to byte `place` of the file. */
  async store(place: number, bytes: Buffer, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      if (this.#isOff) return this.#file.write(place + done, bytes.subarray(done))
      const length = Math.min(bytes.length - done, roundDown(offset + done, PIECE) + PIECE - offset - done)
      if (await this.#share(place + done, length, offset + done)) this.bytes += length
      else await this.#file.write(place + done, bytes.subarray(done, done + length))
      done += length
    }
  }

  async #share(place: number, length: number, offset: number): Promise<boolean> {
    if (offset + length > this.#source.size) return false
    const known = await this.#source.placeOf({ offset, length })
    if (known === undefined) return false
    this.#isOff = !(await this.#file.cloneFrom(known.device, known.offset, place, length))
    return !this.#isOff
  }
}
