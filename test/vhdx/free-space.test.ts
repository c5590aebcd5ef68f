import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { BatCheck } from '../../lib/vhdx/bat-check.ts'
import { FreeSpace } from '../../lib/vhdx/free-space.ts'
import { geometryOf } from '../../lib/vhdx/layout.ts'
import { BAT_AT, TestImage } from './test-image.ts'

const geometry = geometryOf({
  virtualSize: 64 * MiB,
  blockSize: MiB,
  logicalSectorSize: 512,
  physicalSectorSize: 512,
  hasParent: false,
})

/** Of a file with 4 MiB of structures. */
const ofEmptyImage = (size = 4 * MiB) =>
  new FreeSpace(new BatCheck(size, BAT_AT, geometry, [{ name: 'all', position: 0, offset: 0, length: 4 * MiB }]))

/** Of a file whose BAT begins with `entries`, by their state and their place in MiB. */
async function of(size: number, entries: readonly (readonly [state: number, mebibyte: number])[]): Promise<FreeSpace> {
  const image = await TestImage.make({ virtualSize: 64 * MiB, blockSize: MiB })
  for (const [block, [state, mebibyte]] of entries.entries()) image.setBat(block, state, mebibyte)
  const check = new BatCheck(size, BAT_AT, geometry, [{ name: 'all', position: 0, offset: 0, length: 4 * MiB }])
  check.page({ index: 0, bytes: image.content.subarray(BAT_AT, BAT_AT + 64 * 8) })
  return new FreeSpace(check)
}

describe('a place for a block', () => {
  test('is the first gap that is large enough, or behind all', async () => {
    const space = await of(16 * MiB, [
      [6, 5],
      [6, 8],
      [6, 12],
    ])
    expect([1, 2, 2, 3, 1].map(count => space.allocate(count * MiB) / MiB)).toEqual([4, 6, 9, 13, 11])
    expect(space.end).toBe(16 * MiB)
  })

  test('is none where a block lies that has no bytes and keeps its space', async () => {
    const space = await of(8 * MiB, [
      [3, 4],
      [1, 6],
    ])
    expect([1, 1].map(count => space.allocate(count * MiB) / MiB)).toEqual([5, 7])
  })

  test('is none that is kept beyond the end of the file either', async () => {
    const space = await of(5 * MiB, [
      [6, 4],
      [3, 6],
      [3, 2 ** 30],
    ])
    expect([1, 1].map(count => space.allocate(count * MiB) / MiB)).toEqual([5, 7])
  })

  test('is one that an entry names which no reader looks at', async () => {
    const space = await of(8 * MiB, [
      [0, 4],
      [2, 5],
    ])
    expect(space.allocate(2 * MiB) / MiB).toBe(4)
  })
})

describe('space that is given back', () => {
  test('is used again when it is free, not when it is released', () => {
    const space = ofEmptyImage()
    const range = { offset: space.allocate(2 * MiB), length: 2 * MiB }
    space.release(range)
    expect(space.allocate(2 * MiB)).toBe(6 * MiB)
    expect(space.takeReleased()).toEqual([range])
    expect(space.takeReleased()).toEqual([])
    expect(space.allocate(2 * MiB)).toBe(8 * MiB)
    space.free(range)
    expect(space.allocate(2 * MiB)).toBe(4 * MiB)
  })

  test('is one with what is free beside it, and cuts the end', () => {
    const space = ofEmptyImage()
    const places = [1, 1, 1, 1].map(count => space.allocate(count * MiB))
    for (const offset of [places[2]!, places[1]!]) space.free({ offset, length: MiB })
    expect(space.allocate(2 * MiB)).toBe(5 * MiB)
    for (const place of [7, 6]) space.free({ offset: place * MiB, length: MiB })
    expect(space.end).toBe(6 * MiB)
  })
})

test('whatever is taken and given back, nothing is given out twice, and always the first that fits', () => {
  const step = fc.record({ length: fc.constantFrom(1, 2, 5, 32), freed: fc.option(fc.nat(), { freq: 2 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const space = ofEmptyImage()
      const taken: { offset: number; length: number }[] = []
      for (const { length, freed } of steps) {
        if (freed !== null && taken.length > 0) space.free(taken.splice(freed % taken.length, 1)[0]!)
        else {
          const range = { offset: space.allocate(length * MiB), length: length * MiB }
          const isFree = (offset: number) =>
            taken.every(other => offset + range.length <= other.offset || other.offset + other.length <= offset)
          const first = Array.from({ length: 3000 }, (_, n) => (4 + n) * MiB).find(isFree)
          expect(range.offset).toBe(first)
          taken.push(range)
        }
        expect(space.end).toBe(Math.max(4 * MiB, ...taken.map(range => range.offset + range.length)))
      }
    }),
  )
})
