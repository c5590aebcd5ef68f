/**
 * `work` on each of `items`, up to `limit` at a time, results in the order of the items. `slot` is from 0 to `limit - 1`
 * and is one item's own until its result has been taken and the next was asked for: what a buffer can be kept by.
 */
export async function* mapInOrder<Item, Result>(
  items: AsyncIterable<Item> | Iterable<Item>,
  limit: number,
  work: (item: Item, slot: number) => Promise<Result>,
): AsyncGenerator<Result> {
  const pending: Promise<Result>[] = []
  let started = 0
  try {
    for await (const item of items) {
      const result = work(item, started++ % limit)
      // Awaited in its turn; until then a rejection is not unhandled.
      result.catch(() => {})
      pending.push(result)
      if (pending.length === limit) yield await pending.shift()!
    }
    while (pending.length > 0) yield await pending.shift()!
  } finally {
    await Promise.allSettled(pending)
  }
}
