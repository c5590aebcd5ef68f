import { describe, expect, test } from 'vitest'
import { BlockDevice } from '../../lib/device/block-device.ts'
import { type Medium, SectorMedium } from '../../lib/device/medium.ts'
import { pattern } from '../helpers/pattern.ts'
import { SectorsOnly } from '../helpers/sectors-only.ts'
import { describeBlockDevice } from './conformance.ts'

/** A medium as a device, to hold it to the same contract. */
class MediumDevice extends BlockDevice {
  readonly size: number
  readonly #medium: Medium

  constructor(medium: Medium, size: number) {
    super()
    this.#medium = medium
    this.size = size
  }

  protected override readBytes(offset: number, target: Buffer): Promise<void> {
    return this.#medium.read(offset, target)
  }

  protected override writeBytes(offset: number, source: Buffer): Promise<void> {
    return this.#medium.write(offset, source)
  }

  async close(): Promise<void> {}
}

describe.each([512, 4096])('sectors of %i bytes', sectorSize => {
  describeBlockDevice('a medium of whole sectors', {
    writable: async content => {
      const medium = new SectorMedium(new SectorsOnly(Buffer.from(content), sectorSize), sectorSize)
      return new MediumDevice(medium, content.length)
    },
  })

  test('whole sectors go straight through, in one request and one buffer', async () => {
    const base = new SectorsOnly(pattern(20 * sectorSize), sectorSize)
    const medium = new SectorMedium(base, sectorSize)
    const target = Buffer.alloc(5 * sectorSize + 10)
    await medium.read(2 * sectorSize - 10, target)
    expect(target.equals(pattern(target.length, 2 * sectorSize - 10))).toBe(true)
    expect(base.requests).toEqual([
      { offset: sectorSize, length: sectorSize },
      { offset: 2 * sectorSize, length: 5 * sectorSize },
    ])
  })

  test('a write that fails does not stop the next', async () => {
    const base = new SectorsOnly(pattern(4 * sectorSize), sectorSize)
    const medium = new SectorMedium(base, sectorSize)
    await expect(medium.write(4 * sectorSize + 1, Buffer.alloc(1))).rejects.toMatchObject({ code: 'IO_ERROR' })
    await medium.write(1, Buffer.from([9]))
    expect([...base.content.subarray(0, 3)]).toEqual([1, 9, 3])
  })
})
