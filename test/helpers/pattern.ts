/** Test bytes that depend on their place, modulo a prime, so that a misplaced block cannot pass. */

/** `length` bytes for `offset`. Never zero: 1 + (offset + i) mod 251. */
export function pattern(length: number, offset = 0): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i < length; i++) bytes[i] = 1 + ((offset + i) % 251)
  return bytes
}
