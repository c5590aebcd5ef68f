/** What all LZ77 formats here share: a part of the output again. */

/** From here on a call to the engine is faster than a loop. */
const LEAST_FOR_COPY = 64

/**
 * Copies `length` bytes from `distance` bytes before `out` to `out`, the first ones first, so that a match may run into what it
 * writes itself. All must lie in `target`. Up to 7 bytes after them change too: what is not decoded yet.
 */
export function copyMatch(target: Buffer, out: number, distance: number, length: number): void {
  const end = out + length
  let to = out
  let from = out - distance
  if (length >= LEAST_FOR_COPY && distance >= length) target.copyWithin(to, from, from + length)
  else if (end + 8 > target.length) while (to < end) target[to++] = target[from++]!
  else {
    // Most matches are shorter than 8 bytes: this way their lengths cost no mispredicted branch.
    do {
      target[to] = target[from]!
      target[to + 1] = target[from + 1]!
      target[to + 2] = target[from + 2]!
      target[to + 3] = target[from + 3]!
      target[to + 4] = target[from + 4]!
      target[to + 5] = target[from + 5]!
      target[to + 6] = target[from + 6]!
      target[to + 7] = target[from + 7]!
      to += 8
      from += 8
    } while (to < end)
  }
}
