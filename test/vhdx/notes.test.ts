/** spec-notes/vhdx.md has a heading for each section that the code cites, and a line for each rule. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { REPAIRS } from '../../lib/vhdx/repairs.ts'
import { RULES, type RuleCode } from '../../lib/vhdx/rules.ts'
import { repository } from '../helpers/folders.ts'

const note = readFileSync(join(repository, 'spec-notes/vhdx.md'), 'utf8')
const headings = new Set([...note.matchAll(/^#+ ([\d.]+) /gm)].map(match => match[1]))

test('every section that the code cites', () => {
  const folder = join(repository, 'lib/vhdx')
  const code = readdirSync(folder).map(name => readFileSync(join(folder, name), 'utf8'))
  const cited = code.flatMap(text => [...text.matchAll(/\[MS-VHDX\] (\d+(?:\.\d+)*)/g)].map(match => match[1]))
  const ruled = Object.values(RULES).map(({ section }) => section as string)
  const missing = [...cited, ...ruled].filter(section => section !== 'practice' && !headings.has(section))
  expect(cited.length).toBeGreaterThan(30)
  expect(missing).toEqual([])
})

test('every rule, with its section, its severity and what repair does', () => {
  const rows = Object.entries(RULES).map(([code, { section, severity }]) => {
    const { fate, words } = REPAIRS[code as RuleCode]
    return `| ${code} | ${section} | ${severity} | ${fate}: ${words} |`
  })
  expect(note.split('\n').filter(line => /^\| [A-Z]/.test(line))).toEqual(rows)
})
