/** One change to an input, as data: a finding can be written down, made smaller and done again. */

export type Mutation =
  /** Puts bytes in the place of those at `offset`. */
  | { readonly what: string; readonly offset: number; readonly hex: string }
  /** Cuts the input to `size` bytes, or lengthens it with zeros. */
  | { readonly what: string; readonly size: number }

/** The input with all changes, in a new buffer or in `content` itself where its size stays. What would lie outside is left out. */
export function mutate(content: Buffer, mutations: readonly Mutation[]): Buffer {
  let mutant = content
  for (const mutation of mutations) {
    if ('size' in mutation) mutant = resized(mutant, mutation.size)
    else if (mutation.offset < mutant.length) Buffer.from(mutation.hex, 'hex').copy(mutant, mutation.offset)
  }
  return mutant
}

const resized = (content: Buffer, size: number): Buffer =>
  size <= content.length ? content.subarray(0, size) : Buffer.concat([content], size)
