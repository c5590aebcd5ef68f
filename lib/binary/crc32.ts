/** CRC-32 (IEEE 802.3), the checksum of GPT headers and entry arrays: reflected polynomial 0xEDB88320, start and final XOR all ones. */

const TABLE = makeTable()

function makeTable(): Uint32Array {
  const table = new Uint32Array(256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
    table[byte] = crc
  }
  return table
}

/** The CRC-32 of `data`, unsigned. `previous`: the CRC of what came before it, to go on from. */
export function crc32(data: Uint8Array, previous = 0): number {
  let crc = ~previous
  for (const byte of data) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

/** The CRC-32 of a structure that holds its own checksum: the 4 bytes at `checksumOffset` count as zeros. */
export function crc32Without(data: Uint8Array, checksumOffset: number): number {
  const before = crc32(data.subarray(0, checksumOffset))
  return crc32(data.subarray(checksumOffset + 4), crc32(new Uint8Array(4), before))
}
