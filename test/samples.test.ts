/**
 * Every sample disk is captured, and the library has to say of it what its JSON file says. A new sample is a new pair of
 * files in samples/ and the script that makes it, and no code here.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { vhdx, vhdxJson } from './helpers/cli.ts'
import { repository, scratch } from './helpers/folders.ts'
import { run } from './helpers/run.ts'

const folder = join(repository, 'samples')
const names = readdirSync(folder)
  .filter(name => name.endsWith('.raw.br'))
  .map(name => name.slice(0, -'.raw.br'.length))

/** What a JSON file says: parts of what the commands print. */
interface Said {
  readonly capture: Readonly<Record<string, unknown>>
  readonly info: Readonly<Record<string, unknown>>
  /** Of the volume that is taken unless told: every entry, by its path. */
  readonly files: readonly Readonly<Record<string, unknown>>[]
}

describe.each(names)('sample %s', name => {
  test('has a script that makes it', () => {
    expect(existsSync(join(folder, 'make', `${name}.sh`))).toBe(true)
  })

  test('is captured, and the image is what its JSON file says', async () => {
    const said: Said = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'))
    await using work = await scratch()
    const [disk, image] = [work.path('disk.raw'), work.path('image.vhdx')]
    await run('node', [join(folder, 'packing.js'), 'unpack', name, disk])
    expect(await vhdxJson('capture', disk, image)).toMatchObject(said.capture)
    expect(await vhdxJson('info', image)).toMatchObject(said.info)
    const listed = await vhdx(['ls', '-R', '--json', '--hash', image])
    const entries = listed.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(entries.sort((a, b) => (a.path < b.path ? -1 : 1))).toMatchObject(said.files)
    expect(await vhdx(['check', image])).toMatchObject({ exitCode: 0 })
    expect(await vhdx(['verify', image])).toMatchObject({ exitCode: 0 })
  })
})
