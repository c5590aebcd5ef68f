/** The program as it is built: all that it needs is in it, and so are the licences of what others wrote. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repository, type Scratch, scratch } from './helpers/folders.ts'
import { installInto } from './helpers/installed.ts'
import { run } from './helpers/run.ts'

/** The sources that are in files of the build, and in all that they import at once. */
async function sourcesIn(paths: readonly string[]): Promise<string[]> {
  const texts = new Map<string, string>()
  for (let waiting = [...paths]; waiting.length > 0; ) {
    const path = waiting.pop()!
    if (texts.has(path)) continue
    const text = await readFile(path, 'utf8')
    texts.set(path, text)
    const imports = text.matchAll(/^(?:import|export|\}) (?:.* )?from "(\.[^"]+)"|^import "(\.[^"]+)"/gm)
    waiting = [...waiting, ...[...imports].map(([, from, bare]) => join(dirname(path), (from ?? bare)!))]
  }
  return [...texts.values()].flatMap(text => [...text.matchAll(/^\/\/ (\S+\.ts)$/gm)].map(([, source]) => source!))
}

describe('the built program', () => {
  let folder: Scratch
  let bin = ''
  let disk = ''

  beforeAll(async () => {
    folder = await scratch()
    bin = await installInto(folder.path('installed'))
    disk = folder.path('disk.raw')
    await run('node', [join(repository, 'samples/packing.js'), 'unpack', 'windows-gpt', disk])
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  const vhdx = async (...args: string[]) => (await run('node', [bin, ...args])).stdout

  test('needs no package for tables, archives, globs and help pages', async () => {
    expect(await vhdx('partitions', disk)).toContain('Basic data partition')
    expect(await vhdx('cp', disk, '-r', '/Users', '--zip', folder.path('out.zip'))).toContain('2 files, 2 folders')
    expect(await vhdx('cp', disk, '/Users/**/*.txt', '--tar', folder.path('out.tar'))).toContain('2 files')
    expect(await vhdx('--help')).toContain('vhdx capture <source> <target>')
    expect(await vhdx('ls', '--help')).toContain('The whole volume, a line of JSON for each entry')
  })

  test('a command loads no other, and of the library only what it needs', async () => {
    const dist = folder.path('installed/dist')
    const ls = (await readdir(dist)).find(name => name.startsWith('ls-'))!
    const sources = await sourcesIn([join(dist, 'cli/main.js'), join(dist, ls)])
    expect(sources).toEqual(expect.arrayContaining(['cli/commands/ls.ts', 'lib/ntfs/ntfs-files.ts']))
    expect(sources.filter(source => ['cli/commands/cp.ts', 'lib/vhdx/builder.ts'].includes(source))).toEqual([])
  })

  test('the types of the library need no types of what is built into it', async () => {
    const types = folder.path('installed/dist/types')
    await run('node_modules/.bin/tsc', ['--project', 'lib', '--outDir', types], { cwd: repository })
    // As it is installed these two lie as they do here, and the one refers to the other.
    const { files } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'))
    expect(files).toEqual(expect.arrayContaining(['dist', 'lib/binary/buffer-layout.d.ts']))
    await writeFile(
      folder.path('user.ts'),
      `import { type Entry, openFiles } from './installed/dist/types/lib/index.js'
      export const size = async (): Promise<number> => ((await (await openFiles('a')).files.stat('b')) satisfies Entry).size`,
    )
    const options =
      '--ignoreConfig --noEmit --strict --module nodenext --target es2023 --lib es2023,esnext.disposable'.split(' ')
    const node = ['--typeRoots', join(repository, 'node_modules/@types'), '--types', 'node']
    await run('node_modules/.bin/tsc', [...options, ...node, folder.path('user.ts')], { cwd: repository })
  })

  test('carries the licence of every package that is built into it', async () => {
    const notices = await readFile(folder.path('installed/dist/THIRD-PARTY-NOTICES.txt'), 'utf8')
    const parts = notices.split(/^-{80}\n\n/m)
    const names = parts.map(part => part.split(' ')[0])
    expect(names).toEqual(expect.arrayContaining(['yargs', 'cliui', 'buffer-layout', 'zip-stream', 'picomatch']))
    expect(parts.filter(part => !/^\S+ \d+\.\d+\.\d+\n\n[\s\S]*(Permission|Copyright)/.test(part))).toEqual([])
  })
})
