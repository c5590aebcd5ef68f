/** What was found: each kind once, with as few changes as show it, in a file that does it again. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../helpers/folders.ts'
import type { Case } from './case.ts'
import type { WrittenCase } from './messages.ts'
import type { Target } from './target.ts'

/** A finding as it is written to a file. */
export interface Found extends WrittenCase {
  readonly target: string
  /** What went wrong. */
  readonly failure: readonly string[]
  /** Of the seed's content: changes mean nothing in another one. */
  readonly seedHash: string
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
  const id = hashOf(signatureOf(found.target, found.failure.join('\n')))
  const path = join(folder, `${found.target}-${id}.json`)
  writeFileSync(path, `${JSON.stringify(found, undefined, 2)}\n`)
  return path
}

export const readFinding = (path: string): Found => JSON.parse(readFileSync(path, 'utf8'))

/** The case of a finding. Throws where its seed is not what it was. */
export async function caseOf(found: Found, target: Target): Promise<Case> {
  const seed = (await target.load()).find(({ name }) => name === found.seed)
  if (seed === undefined || hashOf(seed.content) !== found.seedHash) {
    throw new Error(`the seed '${found.seed}' of ${target.name} is not what it was: find it anew`)
  }
  return { ...found, seed }
}

export const hashOf = (content: Buffer | string) => createHash('sha256').update(content).digest('hex').slice(0, 8)
