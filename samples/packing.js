/**
 * Packs and unpacks sample disks: they are mostly zeros, which brotli keeps small, and holes where they are unpacked.
 *   node samples/packing.js unpack windows-gpt DISK
 *   node samples/packing.js pack DISK windows-gpt
 */
import { open, readFile, writeFile } from 'node:fs/promises'
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'

const HOLE = 64 * 1024
const ZEROS = Buffer.alloc(HOLE)
const packed = name => new URL(`${name}.raw.br`, import.meta.url)

async function pack(disk, name) {
  const content = await readFile(disk)
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  }
  await writeFile(packed(name), brotliCompressSync(content, { params }))
}

async function unpack(name, disk) {
  const content = brotliDecompressSync(await readFile(packed(name)))
  const file = await open(disk, 'w')
  await file.truncate(content.length)
  for (let offset = 0; offset < content.length; offset += HOLE) {
    const piece = content.subarray(offset, offset + HOLE)
    if (!piece.equals(ZEROS.subarray(0, piece.length))) await file.write(piece, 0, piece.length, offset)
  }
  await file.close()
}

const [verb, from, to] = process.argv.slice(2)
if (from === undefined || to === undefined) throw new Error('usage: packing.js pack DISK NAME, or unpack NAME DISK')
await (verb === 'pack' ? pack : unpack)(from, to)
