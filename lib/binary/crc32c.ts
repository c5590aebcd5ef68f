/** CRC-32C (Castagnoli), the checksum of [MS-VHDX] 2: reflected polynomial 0x82F63B78, start and final XOR all ones. */

const TABLES = makeTables()

/** Eight tables, so that eight bytes are taken at a time. */
function makeTables(): readonly Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256))
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    tables[0]![byte] = crc
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let n = 1; n < 8; n++) {
      const previous = tables[n - 1]![byte]!
      tables[n]![byte] = tables[0]![previous & 0xff]! ^ (previous >>> 8)
    }
  }
  return tables
}

/** The CRC-32C of `data`, unsigned. `previous`: the CRC of what came before it, to go on from. */
export function crc32c(data: Uint8Array, previous = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ]
  let crc = ~previous
  let at = 0
  for (const last = data.length - 7; at < last; at += 8) {
    crc ^= data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    crc =
      t7[crc & 0xff]! ^
      t6[(crc >>> 8) & 0xff]! ^
      t5[(crc >>> 16) & 0xff]! ^
      t4[crc >>> 24]! ^
      t3[data[at + 4]!]! ^
      t2[data[at + 5]!]! ^
      t1[data[at + 6]!]! ^
      t0[data[at + 7]!]!
  }
  for (; at < data.length; at++) crc = t0[(crc ^ data[at]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

/**
 * The CRC-32C of a structure that holds its own checksum: the 4 bytes at `checksumOffset` count as zeros.
 * `data` is left as it is.
 */
export function crc32cWithout(data: Uint8Array, checksumOffset: number): number {
  const before = crc32c(data.subarray(0, checksumOffset))
  const field = crc32c(new Uint8Array(4), before)
  return crc32c(data.subarray(checksumOffset + 4), field)
}
