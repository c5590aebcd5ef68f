/** Runlists as NTFS stores them, for tests. */
import { HOLE, type Run } from '../../lib/ntfs/run-list.ts'

/** The fewest bytes of a two's-complement number, or `least` if that is more. */
function signedBytes(value: bigint, least = 1): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest >>= 8n) {
    bytes.push(Number(rest & 0xffn))
    const done = rest >= -128n && rest <= 127n
    if (done && bytes.length >= least) return bytes
  }
}

/** Mapping pairs as NTFS stores them; `wide` bytes at least for every number. */
export function mappingPairs(runs: readonly Run[], wide = 1): Buffer {
  let base = 0n
  const pairs = runs.flatMap(({ lcn, length }) => {
    const lengthBytes = signedBytes(BigInt(length), wide)
    const deltaBytes = lcn === HOLE ? [] : signedBytes(BigInt(lcn) - base, wide)
    if (lcn !== HOLE) base = BigInt(lcn)
    return [deltaBytes.length * 16 + lengthBytes.length, ...lengthBytes, ...deltaBytes]
  })
  return Buffer.from([...pairs, 0])
}
