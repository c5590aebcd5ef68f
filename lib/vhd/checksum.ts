/** The checksum of footer and header, spec-notes/vhd.md, "Checksum". */

/** The one's complement of the sum of all bytes, of which the 4 at `checksumOffset` count as zeros. */
export function checksumWithout(bytes: Buffer, checksumOffset: number): number {
  let sum = 0
  for (const [i, byte] of bytes.entries()) if (i < checksumOffset || i >= checksumOffset + 4) sum += byte
  return 0xffff_ffff - sum
}
