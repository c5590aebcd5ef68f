import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { ContentHasher, chooseGrain, isZero, MAX_GRAINS, UNIT } from '../../lib/copy/content-hash.ts'
import { HashThread } from '../../lib/copy/hash-thread.ts'
import { alignedBuffer } from '../../lib/device/aligned-memory.ts'
import { pattern } from '../helpers/pattern.ts'

const SIZE = 7 * MiB + 1000
const disk = alignedBuffer(SIZE)
pattern(SIZE).copy(disk)
disk.fill(0, 2 * MiB, 3 * MiB)
disk.fill(0, 4 * MiB, 6 * MiB)

const plain = (bytes: Buffer) => createHash('sha256').update(bytes).digest()
const unitOf = (unit: number) => disk.subarray(unit * UNIT, (unit + 1) * UNIT)

async function hashesOf(grain: number) {
  await using thread = new HashThread()
  const hasher = new ContentHasher(thread, grain, SIZE)
  for (let unit = 0; unit * UNIT < SIZE; unit++) if (!isZero(unitOf(unit))) void hasher.add(unit, unitOf(unit))
  const { stretches, digests } = await hasher.finish()
  return { stretches, digests: Buffer.from(digests, 'base64').toString('hex').match(/.{64}/g) }
}

test('at a grain of a unit, hashes are those of the bytes', async () => {
  const { stretches, digests } = await hashesOf(UNIT)
  expect(stretches).toEqual([
    [0, 2],
    [3, 1],
    [6, 2],
  ])
  expect(digests).toEqual([0, 1, 3, 6, 7].map(unit => plain(unitOf(unit)).toString('hex')))
})

test('at a larger grain, hashes are those of all the hashes of the units, zeros and the short last one too', async () => {
  const { stretches, digests } = await hashesOf(2 * MiB)
  expect(stretches).toEqual([
    [0, 2],
    [3, 1],
  ])
  const grain = (...units: number[]) => plain(Buffer.concat(units.map(unit => plain(unitOf(unit))))).toString('hex')
  expect(digests).toEqual([grain(0, 1), grain(2, 3), grain(6, 7)])
})

test('a grain is chosen so that few enough are listed', () => {
  const disk = 100 * 1024 * MiB
  expect(chooseGrain(size => disk / size)).toBe(16 * MiB)
  expect(disk / 16 / MiB).toBeLessThanOrEqual(MAX_GRAINS)
})

test('isZero sees the last byte, across units', () => {
  const bytes = Buffer.alloc(2 * UNIT + 3)
  expect(isZero(bytes)).toBe(true)
  bytes[bytes.length - 1] = 1
  expect(isZero(bytes)).toBe(false)
})
