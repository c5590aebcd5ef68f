/** What README.md says of the command line is what the command line says of itself. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ExitCode } from '../cli/exit-code.ts'
import { repository } from './helpers/folders.ts'

const readme = readFileSync(join(repository, 'README.md'), 'utf8')

test('it lists every command', () => {
  const commands = readdirSync(join(repository, 'cli/commands')).map(file => file.replace('.ts', ''))
  const listed = [...readme.matchAll(/^\| `vhdx (\w+) /gm)].map(([, name]) => name)
  expect(listed.sort()).toEqual(commands.sort())
})

test('it lists every exit code', () => {
  const listed = [...readme.matchAll(/^\| (\d+) \| /gm)].map(([, code]) => Number(code))
  expect(listed).toEqual(Object.values(ExitCode))
})

test('every file it names is there', () => {
  const named = [...readme.matchAll(/^sh (\S+)|\]\(([^)]+)\)/gm)].map(([, script, link]) => (script ?? link)!)
  expect(named.length).toBeGreaterThan(3)
  expect(named.filter(path => !existsSync(join(repository, path)))).toEqual([])
})
