/** Where tests find and put things. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const repository = fileURLToPath(new URL('../../', import.meta.url))

/** What is worth keeping from one run to the next. Not in git; may be removed at any time. */
export const cacheFolder = join(repository, 'test/.cache')

/** Real images, beside the repository. May be missing. */
export const corpusFolder = join(repository, '../shared/corpus')

export const hasCorpus = existsSync(corpusFolder)

export interface Scratch extends AsyncDisposable {
  readonly folder: string
  /** The path of `name` in the folder. */
  path(name: string): string
}

/** A new empty folder, removed with all that is in it when it is disposed of. */
export async function scratch(): Promise<Scratch> {
  const folder = await mkdtemp(join(tmpdir(), 'vhdx-test-'))
  return {
    folder,
    path: name => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
