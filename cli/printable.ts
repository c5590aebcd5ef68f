/**
 * Text from an image, made safe for a terminal. Whoever made the image chose its names and labels, and a terminal obeys
 * what it is sent: control characters become visible, and so do characters that turn the direction of writing, by which
 * `exe.txt` is made to look like something else, and halves of characters, which no encoding can carry.
 */

const UNSAFE = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu
const UNSAFE_BUT_NEWLINE = new RegExp(`(?!\\n)${UNSAFE.source}`, 'gu')

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escaped(character: string): string {
  const code = character.charCodeAt(0)
  return SHORT[character] ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`)
}

/** `text`, in which only newlines are left of what is unsafe. */
export const printable = (text: string): string => text.replace(UNSAFE_BUT_NEWLINE, escaped)

/** A name or a path on one line, from which the true one can be told: a backslash in it becomes two. */
export const printableName = (name: string): string => name.replaceAll('\\', '\\\\').replace(UNSAFE, escaped)

/** What may have backslashes that mean what they are, such as the target of a link, on one line. */
export const printableLine = (text: string): string => text.replace(UNSAFE, escaped)
