/** What all LZ77 formats here share: a part of the output again. */

/** From here on a call to the engine is faster than a loop. */
const LEAST_FOR_COPY = 64
/** Bytes that are copied at a time where the source is at least so far back. */
const STEP = 8

/** For `copyMatch`: the same bytes, of which it copies four as one number. */
export const viewOf = (target: Buffer) => new DataView(target.buffer, target.byteOffset, target.length)

/**
 * Copies `length` bytes from `distance` bytes before `out` to `out`, the first ones first, so that a match may run into what it
 * writes itself. All must lie in `target`, of which `view` is the view. Up to 7 bytes after them change too: what is not decoded yet.
 */
export function copyMatch(target: Buffer, view: DataView, out: number, distance: number, length: number): void {
  const end = out + length
  let to = out
  let from = out - distance
  if (length >= LEAST_FOR_COPY && distance >= length) target.copyWithin(to, from, from + length)
  else if (distance < STEP || end + STEP > target.length) while (to < end) target[to++] = target[from++]!
  else {
    // Most matches are shorter than a step: this way their lengths cost no mispredicted branch.
    do {
      view.setUint32(to, view.getUint32(from, true), true)
      view.setUint32(to + 4, view.getUint32(from + 4, true), true)
      to += STEP
      from += STEP
    } while (to < end)
  }
}
