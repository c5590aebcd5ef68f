/** Many ordered streams of ranges as one: partitions of a disk, which may overlap when a table is odd. */
import { mergeTouching, type Range } from './ranges.ts'

/** Ranges in order, all inside `extent`. */
export interface RangeStream {
  readonly extent: Range
  ranges(): AsyncIterable<Range>
}

interface ActiveStream {
  readonly iterator: AsyncIterator<Range>
  head: Range
}

/** The union of `streams`, in order. A stream is started when its extent is reached, so that few are open at a time. */
export function unionRanges(streams: readonly RangeStream[]): AsyncIterable<Range> {
  return mergeTouching(inOrder(streams))
}

async function* inOrder(streams: readonly RangeStream[]): AsyncIterable<Range> {
  const waiting = [...streams].sort((a, b) => a.extent.offset - b.extent.offset)
  const active: ActiveStream[] = []
  try {
    while (waiting.length > 0 || active.length > 0) {
      let first = earliest(active)
      while (waiting.length > 0 && (first === undefined || waiting[0]!.extent.offset <= first.head.offset)) {
        const iterator = waiting.shift()!.ranges()[Symbol.asyncIterator]()
        const { value, done } = await iterator.next()
        if (!done) active.push({ iterator, head: value })
        first = earliest(active)
      }
      if (first === undefined) continue
      yield first.head
      const { value, done } = await first.iterator.next()
      if (done) active.splice(active.indexOf(first), 1)
      else first.head = value
    }
  } finally {
    await Promise.all(active.map(stream => stream.iterator.return?.()))
  }
}

function earliest(active: readonly ActiveStream[]): ActiveStream | undefined {
  let first = active[0]
  for (const stream of active) if (stream.head.offset < first!.head.offset) first = stream
  return first
}
