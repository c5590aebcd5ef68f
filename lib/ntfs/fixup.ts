/** The update sequence, which shows whether all sectors of a record were written. spec-notes/ntfs.md, Fixups. */

/** The update sequence counts in pieces of 512 bytes, whatever the sector size. */
const STRIDE = 512

/**
 * Puts back the true last two bytes of each stride of the record of `size` bytes at `at`, in place.
 * Returns what is wrong with it, when the record is torn or its update sequence impossible; then nothing was changed.
 */
export function applyFixup(buffer: Buffer, at: number, size: number): string | undefined {
  const offset = buffer.readUInt16LE(at + 4)
  const count = buffer.readUInt16LE(at + 6)
  const strides = size / STRIDE
  if (count !== strides + 1) return `an update sequence of ${count}, not ${strides + 1}`
  if (offset % 2 !== 0 || offset < 8 || offset + 2 * count > STRIDE - 2) return `an update sequence at byte ${offset}`
  const sequence = at + offset
  const low = buffer[sequence]!
  const high = buffer[sequence + 1]!
  for (let end = at + STRIDE - 2; end < at + size; end += STRIDE) {
    if (buffer[end] !== low || buffer[end + 1] !== high) return `torn at byte ${end - at}`
  }
  for (let i = 1; i < count; i++) {
    const end = at + i * STRIDE - 2
    buffer[end] = buffer[sequence + 2 * i]!
    buffer[end + 1] = buffer[sequence + 2 * i + 1]!
  }
  return undefined
}
