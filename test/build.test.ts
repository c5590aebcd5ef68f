/** The program as it is built: all that it needs is in it, and so are the licences of what others wrote. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repository, type Scratch, scratch } from './helpers/folders.ts'
import { installInto } from './helpers/installed.ts'
import { run } from './helpers/run.ts'

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

  test('carries the licence of every package that is built into it', async () => {
    const notices = await readFile(folder.path('installed/dist/THIRD-PARTY-NOTICES.txt'), 'utf8')
    const parts = notices.split(/^-{80}\n\n/m)
    const names = parts.map(part => part.split(' ')[0])
    expect(names).toEqual(expect.arrayContaining(['yargs', 'cliui', 'buffer-layout', 'zip-stream', 'picomatch']))
    expect(parts.filter(part => !/^\S+ \d+\.\d+\.\d+\n\n[\s\S]*(Permission|Copyright)/.test(part))).toEqual([])
  })
})
