import { describe, expect, test } from 'vitest'
import { dataByHoleMap } from '../../lib/device/hole-map.ts'
import { SEEK_DATA, type Seek } from '../../lib/device/native.ts'

const fail = (code: string): never => {
  throw Object.assign(new Error(code), { code })
}

/** lseek(2) on a file of 100 bytes with data from 10 to 20 and from 40 to 50. */
const seek: Seek = (position, whence) => {
  if (position >= 100) return fail('ENXIO')
  const inData = (at: number) => (at >= 10 && at < 20) || (at >= 40 && at < 50)
  for (let at = position; at < 100; at++) if (inData(at) === (whence === SEEK_DATA)) return at
  return whence === SEEK_DATA ? fail('ENXIO') : 100
}

describe('dataByHoleMap', () => {
  test.each([
    [
      0,
      100,
      [
        [10, 10],
        [40, 10],
      ],
    ],
    [0, 10, []],
    [0, 11, [[10, 1]]],
    [
      15,
      27,
      [
        [15, 5],
        [40, 2],
      ],
    ],
    [20, 20, []],
    [49, 51, [[49, 1]]],
    [50, 50, []],
  ])('from %i, %i bytes', (offset, length, expected) => {
    const ranges = [...dataByHoleMap(seek, { offset, length })].map(range => [range.offset, range.length])
    expect(ranges).toEqual(expected)
  })

  test('all is data where the file system keeps no map', () => {
    const within = { offset: 5, length: 50 }
    expect([...dataByHoleMap(() => fail('EINVAL'), within)]).toEqual([within])
    const noHoles: Seek = (position, whence) => (whence === SEEK_DATA ? position : fail('EOPNOTSUPP'))
    expect([...dataByHoleMap(noHoles, within)]).toEqual([within])
  })

  test('a file that became shorter has no data past its end', () => {
    expect([...dataByHoleMap(seek, { offset: 90, length: 500 })]).toEqual([])
  })
})
