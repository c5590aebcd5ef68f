import { describe, expect, test } from 'vitest'
import { GiB, MiB, TiB } from '../../lib/binary/size.ts'
import {
  automaticBlockSize,
  batRegionLength,
  bitmapEntryIndex,
  blockOfEntry,
  chunkRatio,
  differencingEntryCount,
  dynamicEntryCount,
  geometryOf,
  isBitmapEntry,
  payloadEntryIndex,
} from '../../lib/vhdx/layout.ts'

const BLOCK_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256]

test('chunk ratio of every block size and both sector sizes', () => {
  expect(BLOCK_SIZES.map(size => chunkRatio(size * MiB, 512))).toEqual([4096, 2048, 1024, 512, 256, 128, 64, 32, 16])
  expect(BLOCK_SIZES.map(size => chunkRatio(size * MiB, 4096))).toEqual([
    32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128,
  ])
})

describe('sizes of the table', () => {
  test.each([
    [GiB, 2, 512, 1, 512, 2049, 1, 1],
    [127 * GiB, 1, 130048, 32, 130079, 131104, 1, 2],
    [127 * GiB, 32, 4064, 32, 4095, 4128, 1, 1],
    [TiB, 1, 1048576, 256, 1048831, 1048832, 9, 9],
    [TiB, 2, 524288, 256, 524543, 524544, 5, 5],
    [TiB, 32, 32768, 256, 33023, 33024, 1, 1],
    [64 * TiB, 1, 67108864, 16384, 67125247, 67125248, 513, 513],
    [64 * TiB, 2, 33554432, 16384, 33570815, 33570816, 257, 257],
    [64 * TiB, 256, 262144, 16384, 278527, 278528, 3, 3],
  ])(
    '%i bytes in blocks of %i MiB',
    (size, block, blocks, chunks, dynamic, differencing, dynamicMiB, differencingMiB) => {
      const ratio = chunkRatio(block * MiB, 512)
      expect(Math.ceil(blocks / ratio)).toBe(chunks)
      expect(dynamicEntryCount(blocks, ratio)).toBe(dynamic)
      expect(differencingEntryCount(blocks, ratio)).toBe(differencing)
      expect(batRegionLength(dynamic)).toBe(dynamicMiB * MiB)
      expect(batRegionLength(differencing)).toBe(differencingMiB * MiB)
      const shape = { virtualSize: size, blockSize: block * MiB, logicalSectorSize: 512, physicalSectorSize: 512 }
      expect(geometryOf({ ...shape, hasParent: false })).toMatchObject({ blockCount: blocks, batEntryCount: dynamic })
      expect(geometryOf({ ...shape, hasParent: true })).toMatchObject({ batEntryCount: differencing })
    },
  )
})

describe('interleaving', () => {
  test('places of boundary blocks, as Windows and qemu put them', () => {
    expect([0, 4095, 4096, 8192, 12287].map(block => payloadEntryIndex(block, 4096))).toEqual([
      0, 4095, 4097, 8194, 12289,
    ])
    expect(payloadEntryIndex(4063, 128)).toBe(4094)
  })

  test.each(BLOCK_SIZES.flatMap(size => [512, 4096].map(sector => [size, sector] as const)))(
    'blocks of %i MiB, sectors of %i: each entry is one block or one bitmap, counted by hand',
    (size, sector) => {
      const ratio = chunkRatio(size * MiB, sector)
      const wrong: number[] = []
      let [block, chunk] = [0, 0]
      for (let index = 0; index < 2 * ratio + 5; index++) {
        // A bitmap entry stands behind every `ratio` payload entries.
        const isBitmap = block > 0 && block % ratio === 0 && chunk < block / ratio
        const place = isBitmap ? bitmapEntryIndex(chunk, ratio) : payloadEntryIndex(block, ratio)
        const isRight = blockOfEntry(index, ratio) === block && isBitmapEntry(index, ratio) === isBitmap
        if (!isRight || place !== index) wrong.push(index)
        if (isBitmap) chunk++
        else block++
      }
      expect(wrong).toEqual([])
      expect(chunk).toBe(2)
    },
  )
})

test('automatic block size: 1 MiB up to 2 TiB, then doubling', () => {
  const sizes = [512, 2 * TiB, 2 * TiB + 512, 4 * TiB, 4 * TiB + 512, 16 * TiB, 64 * TiB]
  expect(sizes.map(size => automaticBlockSize(size) / MiB)).toEqual([1, 1, 2, 2, 4, 8, 32])
})
