/** Globs over paths in a volume. */
import { expect, test } from 'vitest'
import { globMatcher } from '../../lib/copy/glob.ts'

test.each([
  ['*.iso', '/a.iso', true],
  ['*.iso', '\\a.iso', true],
  ['*.iso', '/x/y/A.ISO', true],
  ['*.iso', '/x.iso/y', false],
  ['f?o', '/foo', true],
  ['{a,b}.txt', '/b.txt', true],
  ['[ab].txt', '/x/a.txt', true],
  ['x/*.txt', '/x/a.txt', true],
  ['x\\*.txt', '/w/x/a.txt', true],
  ['/x/*.txt', '/x/a.txt', true],
  ['/x/*.txt', '/w/x/a.txt', false],
  ['/x/**', '/x/w/a.txt', true],
  ['/**/a', '/a', true],
  ['*', '/.hidden', true],
  ['*', '/', false],
])('%s, %s: %s', (glob, path, expected) => {
  expect(globMatcher([glob])(path)).toBe(expected)
})
