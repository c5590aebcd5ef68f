/** What an image says cannot do anything to a terminal. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { printable, printableLine, printableName } from '../../cli/printable.ts'

test.each([
  ['plain name ä 大小.txt', 'plain name ä 大小.txt'],
  ['\x1b[2Jgone', '\\x1b[2Jgone'],
  ['bell\x07 \x9b31m', 'bell\\x07 \\x9b31m'],
  ['two\nlines\r\t', 'two\\nlines\\r\\t'],
  ['back\\slash', 'back\\\\slash'],
  ['half \ud83d', 'half \\ud83d'],
  ['whole \u{1f600}', 'whole \u{1f600}'],
  ['\u202etxt.exe', '\\u202etxt.exe'],
])('%j', (name, shown) => {
  expect(printableName(name)).toBe(shown)
})

test('the backslashes of a link target stay, and the newlines of a text', () => {
  expect(printableLine('C:\\Users\n')).toBe('C:\\Users\\n')
  expect(printable('a\nb\x1b')).toBe('a\nb\\x1b')
})

test('whatever a name is, what is shown has no control character, and two names are never shown alike', () => {
  const names = fc.string({
    unit: fc.oneof(
      fc.integer({ min: 0, max: 0xffff }).map(c => String.fromCharCode(c)),
      fc.constantFrom('\\', 'n', 'x', '1', 'b', '\n'),
    ),
  })
  fc.assert(
    fc.property(names, names, (a, b) => {
      expect(printableName(a)).not.toMatch(/[\p{Cc}\p{Cs}]/u)
      expect(printableName(a) === printableName(b)).toBe(a === b)
    }),
  )
})
