/** Files as WOF keeps them, compressed by wimlib: a resource of a WIM file that is not solid has the same form. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run } from '../helpers/run.ts'

/** The four formats, with their numbers in the reparse point. */
export const WOF_FORMATS = [
  { number: 0, name: 'XPRESS 4K', method: 'xpress', chunkSize: 4096 },
  { number: 1, name: 'LZX', method: 'lzx', chunkSize: 32_768 },
  { number: 2, name: 'XPRESS 8K', method: 'xpress', chunkSize: 8192 },
  { number: 3, name: 'XPRESS 16K', method: 'xpress', chunkSize: 16_384 },
] as const

export type WofFormat = (typeof WOF_FORMATS)[number]

/** The WofCompressedData stream of each of `contents`, all of them different, in their order. Throws for one that gets no smaller. */
export async function compressByWimlib(contents: readonly Buffer[], format: WofFormat): Promise<Buffer[]> {
  await using files = await scratch()
  const source = files.path('source')
  await mkdir(source)
  for (const [i, content] of contents.entries()) await writeFile(join(source, `${i}`), content)
  const wim = files.path('wim')
  const how = [`--compress=${format.method}`, `--chunk-size=${format.chunkSize}`, '--no-acls', '--threads=1']
  await run('wimlib-imagex', ['capture', source, wim, 'name', ...how])
  const bytes = await readFile(wim)
  return contents.map(content => resourceOf(bytes, content))
}

/** The resource of a WIM file that has the content `content`, as it is stored. */
function resourceOf(wim: Buffer, content: Buffer): Buffer {
  const hash = createHash('sha1').update(content).digest()
  const [tableSize, table] = [wim.readUIntLE(0x30, 6), Number(wim.readBigUInt64LE(0x38))]
  for (let entry = table; entry < table + tableSize; entry += 50) {
    if (!wim.subarray(entry + 30, entry + 50).equals(hash)) continue
    if ((wim[entry + 7]! & 4) === 0) throw new Error('wimlib stored it as it is')
    const [size, offset] = [wim.readUIntLE(entry, 6), Number(wim.readBigUInt64LE(entry + 8))]
    return wim.subarray(offset, offset + size)
  }
  throw new Error('wimlib lost it')
}

/** The chunks of a stream with a table of 4-byte entries, each with the bytes of content it makes. */
export function chunksOf(stream: Buffer, size: number, chunkSize: number): { chunk: Buffer; length: number }[] {
  const count = Math.ceil(size / chunkSize)
  const data = stream.subarray(4 * (count - 1))
  const start = (chunk: number) => (chunk === 0 ? 0 : stream.readUInt32LE(4 * (chunk - 1)))
  return Array.from({ length: count }, (_, i) => ({
    chunk: data.subarray(start(i), i + 1 < count ? start(i + 1) : data.length),
    length: Math.min(chunkSize, size - i * chunkSize),
  }))
}

/** Decodes chunk by chunk; a chunk as long as its content is stored as it is. */
export function unpack(
  stream: Buffer,
  size: number,
  chunkSize: number,
  decode: (source: Buffer, target: Buffer) => void,
): Buffer {
  const content = chunksOf(stream, size, chunkSize).map(({ chunk, length }) => {
    const target = Buffer.alloc(length, 0xee)
    if (chunk.length === length) chunk.copy(target)
    else decode(chunk, target)
    return target
  })
  return Buffer.concat(content)
}

/** Bytes without any order, and always the same. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Words of a small language: what compresses as text does. */
export function prose(length: number, seed = 1): Buffer {
  const random = noise(length, seed)
  const word = (i: number) => noise(2 + (random[i]! % 9), random[i]!).map(byte => 97 + (byte % 26))
  const parts: Uint8Array[] = []
  for (let i = 0, size = 0; size < length; i++) {
    parts.push(word(i), Buffer.from(random[i]! < 20 ? '.\r\n' : ' '))
    size += parts.at(-1)!.length + parts.at(-2)!.length
  }
  return Buffer.concat(parts).subarray(0, length)
}

/** Contents of all kinds that wimlib makes smaller, of sizes around the ends of chunks. */
export async function samples(): Promise<Buffer[]> {
  const program = await readFile(process.execPath)
  const calls = program.subarray(program.length >>> 1, (program.length >>> 1) + 300_001)
  const mixed = Buffer.concat([prose(40_000), noise(50_000), Buffer.alloc(70_000), prose(5, 2), pattern(33_000)])
  return [
    calls,
    mixed,
    prose(200_000, 3),
    Buffer.alloc(100_000),
    Buffer.alloc(32_768, 'again '),
    ...[4095, 4096, 4097, 32_767, 32_769, 65_536, 1000].map((size, i) => prose(size, 4 + i)),
  ]
}
