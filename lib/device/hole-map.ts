/** Where a sparse file has data, by SEEK_DATA and SEEK_HOLE of lseek(2). */
import { SEEK_DATA, SEEK_HOLE, type Seek } from './native.ts'
import { endOf, type Range } from './ranges.ts'

/**
 * The ranges of `within` that hold data, in order, not touching each other; all of `within` where the file system keeps
 * no map. For a file that changes meanwhile, what changes is in or out.
 */
export function* dataByHoleMap(seek: Seek, within: Range): Iterable<Range> {
  const end = endOf(within)
  for (let at = within.offset; at < end; ) {
    const start = seekTo(seek, at, SEEK_DATA, end)
    if (start >= end) return
    const next = Math.min(seekTo(seek, start, SEEK_HOLE, end), end)
    yield { offset: start, length: next - start }
    at = next
  }
}

function seekTo(seek: Seek, position: number, whence: typeof SEEK_DATA | typeof SEEK_HOLE, end: number): number {
  try {
    return seek(position, whence)
  } catch (error) {
    // ENXIO: nothing of the kind before the file's end. Anything else: no map, so data from here on.
    const none = (error as NodeJS.ErrnoException).code === 'ENXIO'
    return none || whence === SEEK_HOLE ? end : position
  }
}
