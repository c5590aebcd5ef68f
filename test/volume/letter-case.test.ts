/** Capitals by Unicode, unit by unit. */
import { expect, test } from 'vitest'
import { sameLetters, unicodeUpcase } from '../../lib/volume/letter-case.ts'

test('each unit becomes its capital, where that is one unit', () => {
  const table = unicodeUpcase()
  const wrong = [...table.entries()].filter(([unit, capital]) => {
    const upper = String.fromCharCode(unit).toUpperCase()
    return capital !== (upper.length === 1 ? upper.charCodeAt(0) : unit)
  })
  expect([table.length, wrong]).toEqual([0x10000, []])
})

test('names that differ in case only', () => {
  const same = (a: string, b: string) => sameLetters(a, b, unicodeUpcase())
  expect([same('Größe.txt', 'GRÖßE.TXT'), same('ß', 'SS'), same('a', 'b'), same('\ud800', '\ud800')]).toEqual([
    true,
    false,
    false,
    true,
  ])
})
