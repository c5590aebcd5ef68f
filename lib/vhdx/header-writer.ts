/** How the headers of a file are changed so that one of them is always good, [MS-VHDX] 2.2.2.1. */
import type { BlockDevice } from '../device/block-device.ts'
import { formatError } from '../errors.ts'
import { HEADER_POSITIONS, type Header, header } from './format.ts'
import { type CurrentHeader, headerBytes } from './header.ts'

const LAST_SEQUENCE_NUMBER = 2n ** 64n - 1n

export class HeaderWriter {
  readonly #file: BlockDevice
  #current: CurrentHeader

  constructor(file: BlockDevice, current: CurrentHeader) {
    this.#file = file
    this.#current = current
  }

  /**
   * Writes the current header with `change` over the other one and flushes: it is the current one from then on.
   * Throws FormatError (HEADER_SEQUENCE_END) when there is no higher number for it.
   */
  async update(change: Partial<Header>): Promise<void> {
    const { position, header: before } = this.#current
    if (before.sequenceNumber === LAST_SEQUENCE_NUMBER) {
      throw formatError('HEADER_SEQUENCE_END', {
        structure: header.name,
        field: 'sequenceNumber',
        position: position + header.offsetOf('sequenceNumber'),
        expected: 'a number that can be counted up',
        actual: `${before.sequenceNumber}, the last there is`,
        advice: 'The file can be read, not changed: convert it to a new image',
      })
    }
    const next = { ...before, ...change, sequenceNumber: before.sequenceNumber + 1n }
    const other = HEADER_POSITIONS.find(place => place !== position)!
    await this.#file.write(other, headerBytes(next))
    await this.#file.flush()
    this.#current = { position: other, header: next }
  }
}
