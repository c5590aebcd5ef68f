/** The bitmap of a window, against a set of numbers. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ClusterBitmap } from '../../lib/ntfs/cluster-bitmap.ts'

const FIRST = 64

/** A window's length and ranges that may go over both of its ends. */
const cases = fc.integer({ min: 1, max: 200 }).chain(length =>
  fc.record({
    length: fc.constant(length),
    changes: fc.array(fc.record({ from: fc.nat(FIRST + length + 20), length: fc.nat(80), set: fc.boolean() }), {
      maxLength: 12,
    }),
    other: fc.array(fc.record({ from: fc.nat(FIRST + length), length: fc.nat(40) }), { maxLength: 4 }),
  }),
)

function fill(
  bitmap: ClusterBitmap,
  length: number,
  changes: readonly { from: number; length: number; set: boolean }[],
) {
  bitmap.moveTo(FIRST, FIRST + length)
  const model = new Set<number>()
  for (const change of changes) {
    const to = change.from + change.length
    if (change.set) bitmap.set(change.from, to)
    else bitmap.clear(change.from, to)
    for (let i = Math.max(change.from, FIRST); i < Math.min(to, FIRST + length); i++) {
      if (change.set) model.add(i)
      else model.delete(i)
    }
  }
  return model
}

test('set, clear and look for runs as a set of numbers does', () => {
  const bitmap = new ClusterBitmap(256)
  fc.assert(
    fc.property(cases, ({ length, changes }) => {
      const model = fill(bitmap, length, changes)
      const end = FIRST + length
      for (let from = FIRST; from <= end; from++) {
        let [used, free] = [from, from]
        while (used < end && !model.has(used)) used++
        while (free < end && model.has(free)) free++
        expect(bitmap.nextUsed(from, end)).toBe(used)
        expect(bitmap.nextFree(from, end)).toBe(free)
        const near = Math.min(from + 7, end)
        expect(bitmap.nextUsed(from, near)).toBe(Math.min(used, near))
        expect(bitmap.nextFree(from, near)).toBe(Math.min(free, near))
      }
    }),
  )
})

test('merging tells what either bitmap has alone', () => {
  const [one, two] = [new ClusterBitmap(256), new ClusterBitmap(300)]
  fc.assert(
    fc.property(cases, ({ length, changes, other }) => {
      const mine = fill(one, length, changes)
      const others = fill(
        two,
        length,
        other.map(range => ({ ...range, set: true })),
      )
      const only = [...mine].filter(cluster => !others.has(cluster)).sort((a, b) => a - b)
      expect(one.merge(two, 3)).toEqual({
        mine: mine.size,
        onlyMine: only.length,
        onlyOther: [...others].filter(cluster => !mine.has(cluster)).length,
        firstOnlyMine: only.slice(0, 3),
      })
      for (let i = FIRST; i < FIRST + length; i++) {
        expect(one.nextUsed(i, i + 1) === i).toBe(mine.has(i) || others.has(i))
      }
    }),
  )
})

test('bits of the last byte that stand for no cluster are dropped', () => {
  const bitmap = new ClusterBitmap(256)
  for (const length of [1, 7, 8, 31, 32, 33, 63, 64, 100]) {
    bitmap.moveTo(FIRST, FIRST + length)
    bitmap.bytes.fill(0xff)
    bitmap.trim()
    expect(bitmap.merge(new ClusterBitmap(256), 0).mine).toBe(length)
    expect(bitmap.nextFree(FIRST, FIRST + length)).toBe(FIRST + length)
  }
})

test('is moved on empty', () => {
  const bitmap = new ClusterBitmap(256)
  bitmap.moveTo(0, 256)
  bitmap.set(0, 256)
  bitmap.moveTo(256, 300)
  expect(bitmap.nextUsed(256, 300)).toBe(300)
})
