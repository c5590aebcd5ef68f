/** Seeds that other people's tools made, packed. make.ts makes them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'

const pathOf = (name: string) => new URL(`${name}.br`, import.meta.url)

/** The bytes of the seed `name`. */
export function unpackSeed(name: string): Buffer {
  if (!existsSync(pathOf(name))) throw new Error(`there is no seed ${name}: make.ts makes it`)
  return brotliDecompressSync(readFileSync(pathOf(name)))
}

export function packSeed(name: string, content: Buffer): void {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  }
  writeFileSync(pathOf(name), brotliCompressSync(content, { params }))
}
