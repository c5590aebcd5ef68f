/** Names that differ in case only, unit by unit of UTF-16: no locale, no change of length. */

/** One capital for each UTF-16 unit. */
export type UpcaseTable = Uint16Array

const UNITS = 0x10000
/** Units that are looked at together: most have no letters with a case. */
const BLOCK = 0x100

let unicode: UpcaseTable | undefined

/** The capital of every unit by Unicode, for volumes without a table of their own. */
export function unicodeUpcase(): UpcaseTable {
  unicode ??= madeOfBlocks()
  return unicode
}

function madeOfBlocks(): UpcaseTable {
  const table = Uint16Array.from({ length: UNITS }, (_, unit) => unit)
  for (let first = 0; first < UNITS; first += BLOCK) {
    const units = table.subarray(first, first + BLOCK)
    const text = String.fromCharCode(...units)
    if (text.toUpperCase() === text) continue
    for (const [i, unit] of units.entries()) {
      const capital = String.fromCharCode(unit).toUpperCase()
      if (capital.length === 1) units[i] = capital.charCodeAt(0)
    }
  }
  return table
}

/** Hot: whether `a` and `b` differ in case at most. */
export function sameLetters(a: string, b: string, upcase: UpcaseTable): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) {
    if (upcase[a.charCodeAt(i)] !== upcase[b.charCodeAt(i)]) return false
  }
  return true
}
