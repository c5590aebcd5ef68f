import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RangeLock } from '../../lib/device/range-lock.ts'

interface Held {
  readonly first: number
  readonly end: number
  readonly kind: 'shared' | 'exclusive'
}

/** Work that begins when the lock is got, and ends when it is told to. */
function begin(lock: RangeLock, { first, end, kind }: Held) {
  let hasBegun = false
  let finish = () => {}
  const done = lock.with(first, end, kind, () => {
    hasBegun = true
    return new Promise<void>(resolve => {
      finish = resolve
    })
  })
  return { done, finish: () => finish(), hasBegun: () => hasBegun }
}

/** Until all that can happen by itself has happened. */
const settled = () => new Promise(resolve => setImmediate(resolve))

const shared = (first: number, end: number): Held => ({ first, end, kind: 'shared' })
const exclusive = (first: number, end: number): Held => ({ first, end, kind: 'exclusive' })

async function hasBegun(...wanted: readonly Held[]): Promise<boolean[]> {
  const lock = new RangeLock()
  const works = wanted.map(held => begin(lock, held))
  await settled()
  return works.map(work => work.hasBegun())
}

describe('who waits', () => {
  test('shared ones do not wait for each other', async () => {
    expect(await hasBegun(shared(0, 4), shared(2, 6))).toEqual([true, true])
  })

  test('an exclusive one waits for whoever has some of its numbers, and they for it', async () => {
    expect(await hasBegun(shared(0, 4), exclusive(3, 6))).toEqual([true, false])
    expect(await hasBegun(exclusive(0, 4), shared(3, 6))).toEqual([true, false])
    expect(await hasBegun(exclusive(0, 4), exclusive(0, 1))).toEqual([true, false])
  })

  test('ranges that only touch have nothing to do with each other', async () => {
    expect(await hasBegun(exclusive(0, 4), exclusive(4, 8))).toEqual([true, true])
  })

  test('nobody overtakes one that waits for some of the same numbers, so that it has its turn', async () => {
    expect(await hasBegun(shared(0, 4), exclusive(2, 6), shared(3, 4), shared(7, 8))).toEqual([
      true,
      false,
      false,
      true,
    ])
  })
})

test('work that fails gives its numbers back, and its error', async () => {
  const lock = new RangeLock()
  await expect(lock.with(0, 1, 'exclusive', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await lock.with(0, 1, 'exclusive', async () => 7)).toBe(7)
})

test('whatever is asked for, no two are at work that must not be, and all are served', async () => {
  const held = fc.record({
    first: fc.nat(6),
    length: fc.integer({ min: 1, max: 4 }),
    kind: fc.constantFrom('shared' as const, 'exclusive' as const),
    turns: fc.nat(5),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(held, { maxLength: 24 }), async wanted => {
      const lock = new RangeLock()
      const atWork: Held[] = []
      let served = 0
      const work = wanted.map(({ first, length, kind, turns }) =>
        lock.with(first, first + length, kind, async () => {
          const mine = { first, end: first + length, kind }
          const disturbed = atWork.filter(
            other => mine.first < other.end && other.first < mine.end && [mine.kind, other.kind].includes('exclusive'),
          )
          expect(disturbed).toEqual([])
          atWork.push(mine)
          for (let turn = 0; turn < turns; turn++) await undefined
          atWork.splice(atWork.indexOf(mine), 1)
          served++
        }),
      )
      await Promise.all(work)
      expect(served).toBe(wanted.length)
    }),
  )
})
