/** One ordered stream of ranges without another, for streams that are too long to be held as lists. */
import { endOf, type Range } from './ranges.ts'

/** What of `ranges` is not in `holes`. Both are in order, and neither has ranges that overlap each other. */
export async function* subtractStream<R extends Range>(
  ranges: AsyncIterable<R>,
  holes: AsyncIterable<Range>,
): AsyncIterable<R> {
  const iterator = holes[Symbol.asyncIterator]()
  const next = async () => ((await iterator.next()) as IteratorResult<Range, undefined>).value
  try {
    let hole = await next()
    for await (const range of ranges) {
      let from = range.offset
      while (hole !== undefined && hole.offset < endOf(range)) {
        if (hole.offset > from) yield { ...range, offset: from, length: hole.offset - from }
        from = Math.max(from, endOf(hole))
        if (from >= endOf(range)) break
        hole = await next()
      }
      if (from < endOf(range)) yield { ...range, offset: from, length: endOf(range) - from }
    }
  } finally {
    await iterator.return?.()
  }
}
