/** What was found: each kind once, with as few changes as show it, in a file that does it again. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib'
import { cacheFolder } from '../helpers/folders.ts'
import type { WrittenCase } from './messages.ts'

/** A finding as it is written to a file. `input` is the whole mutant, packed: a seed may be another one some day. */
export interface Found extends WrittenCase {
  readonly target: string
  readonly runSeed: string
  readonly number: number
  readonly failure: string
  readonly input: string
}

/** The same for failures that are alike: their first line without numbers and names, and where in the library they began. */
export function signatureOf(target: string, failure: string): string {
  const [first, ...rest] = failure.split('\n')
  const place = rest.find(line => line.includes('/lib/'))?.match(/at (?:async )?(\S+) .*\/lib\/([^:]+)/)
  return [target, first!.replace(/'.*?'|`.*?`|\/\S*|\d+/g, '·').slice(0, 160), place?.[1], place?.[2]].join(' | ')
}

/** Writes `found` to the cache and returns the file's path. */
export function saveFinding(found: Found): string {
  const folder = join(cacheFolder, 'fuzz')
  mkdirSync(folder, { recursive: true })
  const id = createHash('sha256').update(signatureOf(found.target, found.failure)).digest('hex').slice(0, 8)
  const path = join(folder, `${found.target}-${id}.json`)
  writeFileSync(path, `${JSON.stringify(found, undefined, 2)}\n`)
  return path
}

export const readFinding = (path: string): Found => JSON.parse(readFileSync(path, 'utf8'))

export const packInput = (input: Buffer) => brotliCompressSync(input).toString('base64')
export const unpackInput = (packed: string) => brotliDecompressSync(Buffer.from(packed, 'base64'))
