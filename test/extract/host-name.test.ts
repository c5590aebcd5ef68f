/** What names from an image become. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ARCHIVE_NAMES, hostName, numberedName, POSIX_NAMES, WINDOWS_NAMES } from '../../lib/extract/host-name.ts'

describe('names that every system takes stay as they are', () => {
  for (const name of [
    'thesis.docx',
    'Größe und 大小.bin',
    '😀',
    'a b',
    '.hidden',
    'CONfig',
    'com10',
    'nul1.txt',
    '%41',
  ]) {
    test(name, () => {
      expect([POSIX_NAMES, WINDOWS_NAMES, ARCHIVE_NAMES].map(rules => hostName(name, rules))).toEqual([
        name,
        name,
        name,
      ])
    })
  }
})

test.each([
  ['', '_', '_'],
  ['.', '%2E', '%2E'],
  ['..', '%2E%2E', '%2E%2E'],
  ['../x', '..%2Fx', '..%2Fx'],
  ['a/b', 'a%2Fb', 'a%2Fb'],
  ['a\\b', 'a\\b', 'a%5Cb'],
  ['..\\..\\x', '..\\..\\x', '..%5C..%5Cx'],
  ['C:', 'C:', 'C%3A'],
  ['a:b', 'a:b', 'a%3Ab'],
  ['a\0b', 'a%00b', 'a%00b'],
  ['a\nb\u001b[2J', 'a%0Ab%1B[2J', 'a%0Ab%1B[2J'],
  ['what?*"<>|', 'what?*"<>|', 'what%3F%2A%22%3C%3E%7C'],
  ['CON', 'CON', 'CON_'],
  ['con.txt', 'con.txt', 'con_.txt'],
  ['Aux .tar.gz', 'Aux .tar.gz', 'Aux_ .tar.gz'],
  ['NUL', 'NUL', 'NUL_'],
  ['COM1', 'COM1', 'COM1_'],
  ['lpt².log', 'lpt².log', 'lpt²_.log'],
  ['conout$', 'conout$', 'conout$_'],
  ['end.', 'end.', 'end_'],
  ['end ', 'end ', 'end_'],
  ['...', '...', '.._'],
  ['half \ud83d', 'half %uD83D', 'half %uD83D'],
  ['\ude00 half', '%uDE00 half', '%uDE00 half'],
])('%j is %j on Linux and %j on Windows', (name, posix, windows) => {
  expect([hostName(name, POSIX_NAMES), hostName(name, WINDOWS_NAMES)]).toEqual([posix, windows])
})

test('a backslash is no separator in an archive', () => {
  expect(hostName('..\\x', ARCHIVE_NAMES)).toBe('..%5Cx')
})

test('long names are cut before their extension, between characters', () => {
  const long = hostName(`${'😀'.repeat(100)}.docx`, POSIX_NAMES)
  expect(long).toBe(`${'😀'.repeat(62)}.docx`)
  expect(hostName('ü'.repeat(255), WINDOWS_NAMES)).toBe('ü'.repeat(255))
  expect(numberedName(long, 12, POSIX_NAMES)).toBe(`${'😀'.repeat(61)} (12).docx`)
})

test('whatever the name, it is one safe name', () => {
  const names = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 300 }).map(units => String.fromCharCode(...units)),
    fc.stringMatching(/^[./\\: conNUL1]{0,9}$/),
  )
  fc.assert(
    fc.property(names, name => {
      const [posix, windows, archive] = [POSIX_NAMES, WINDOWS_NAMES, ARCHIVE_NAMES].map(rules => hostName(name, rules))
      for (const safe of [posix!, windows!, archive!]) {
        expect(safe).not.toMatch(/^\.{0,2}$/)
        expect(safe).not.toMatch(/[/\0]/)
        expect(Buffer.from(safe).toString()).toBe(safe)
      }
      expect(Buffer.byteLength(posix!)).toBeLessThanOrEqual(255)
      expect(archive).not.toContain('\\')
      expect(windows!.length).toBeLessThanOrEqual(255)
      expect(windows).not.toMatch(/[<>:"/\\|?*]|[. ]$/)
      expect(windows).not.toMatch(/^(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)/i)
    }),
  )
})
