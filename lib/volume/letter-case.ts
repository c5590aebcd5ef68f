/** Names that differ in case only, unit by unit of UTF-16: no locale, no change of length. */

/** One capital for each UTF-16 unit. */
export type UpcaseTable = Uint16Array

const UNITS = 0x10000

let unicode: UpcaseTable | undefined

/** The capital of every unit by Unicode, for volumes without a table of their own. */
export function unicodeUpcase(): UpcaseTable {
  unicode ??= Uint16Array.from({ length: UNITS }, (_, unit) => {
    const capital = String.fromCharCode(unit).toUpperCase()
    return capital.length === 1 ? capital.charCodeAt(0) : unit
  })
  return unicode
}

/** Hot: whether `a` and `b` differ in case at most. */
export function sameLetters(a: string, b: string, upcase: UpcaseTable): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) {
    if (upcase[a.charCodeAt(i)] !== upcase[b.charCodeAt(i)]) return false
  }
  return true
}
