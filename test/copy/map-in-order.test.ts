/** mapInOrder against the obvious: one item after another. */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mapInOrder } from '../../lib/copy/map-in-order.ts'

interface Item {
  readonly id: number
  readonly delay: number
  readonly fails: boolean
}

const anyItems = (failing: fc.Arbitrary<boolean>) =>
  fc
    .array(fc.record({ delay: fc.nat(3), fails: failing }), { maxLength: 12 })
    .map(items => items.map((item, id): Item => ({ ...item, id })))
const anyLimit = fc.integer({ min: 1, max: 5 })

/** Runs it, and watches that no more than `limit` work at a time and that a slot has one owner. */
async function run(items: readonly Item[], limit: number, sourceFails = false, taken = Number.POSITIVE_INFINITY) {
  const owners = new Map<number, number>()
  let [working, closed] = [0, false]
  async function* source() {
    try {
      yield* items
      if (sourceFails) throw new Error('source')
    } finally {
      closed = true
    }
  }
  const mapped = mapInOrder(source(), limit, async ({ id, delay, fails }, slot) => {
    expect(slot).toBeLessThan(limit)
    expect(owners.has(slot)).toBe(false)
    owners.set(slot, id)
    expect(++working).toBeLessThanOrEqual(limit)
    await sleep(delay)
    working--
    if (fails) throw new Error(`item ${id}`)
    return { id, slot }
  })
  const results: number[] = []
  let error: string | undefined
  try {
    for await (const { id, slot } of mapped) {
      results.push(id)
      if (results.length >= taken) break
      await sleep(1)
      expect(owners.get(slot)).toBe(id)
      owners.delete(slot)
    }
  } catch (thrown) {
    error = (thrown as Error).message
  }
  expect({ working, closed }).toEqual({ working: 0, closed: true })
  return { results, error }
}

test('every result, in order', async () => {
  await fc.assert(
    fc.asyncProperty(anyItems(fc.constant(false)), anyLimit, async (items, limit) => {
      expect(await run(items, limit)).toEqual({ results: items.map(({ id }) => id), error: undefined })
    }),
    { numRuns: 30 },
  )
})

test('the first item in order that fails ends it, after all before it came out and everything has settled', async () => {
  await fc.assert(
    fc.asyncProperty(anyItems(fc.boolean()), anyLimit, async (items, limit) => {
      const first = items.findIndex(({ fails }) => fails)
      const before = first < 0 ? items : items.slice(0, first)
      const error = first < 0 ? undefined : `item ${first}`
      expect(await run(items, limit)).toEqual({ results: before.map(({ id }) => id), error })
    }),
    { numRuns: 30 },
  )
})

test('items that cannot be had any more end it at once, and a consumer may leave early', async () => {
  await fc.assert(
    fc.asyncProperty(anyItems(fc.constant(false)), anyLimit, fc.nat(11), async (items, limit, taken) => {
      const ids = items.map(({ id }) => id)
      const failed = await run(items, limit, true)
      expect(failed.error).toBe('source')
      expect(failed.results).toEqual(ids.slice(0, failed.results.length))
      expect(await run(items, limit, false, taken + 1)).toEqual({ results: ids.slice(0, taken + 1), error: undefined })
    }),
    { numRuns: 30 },
  )
})
