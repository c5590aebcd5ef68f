/** Names from an image as names on this system: whatever stands there, what comes out is one plain name in one folder. */

/** What the place that is written to takes for a name. */
export interface NameRules {
  /** The characters and names that Windows keeps for itself are replaced: `:`, `?`, CON, a dot at the end. */
  readonly windows: boolean
  /** `\` separates names there, and is replaced. */
  readonly backslash: boolean
  /** Names that differ in case alone are one name there. */
  readonly foldsCase: boolean
  /** The longest name, and what it counts in. */
  readonly longest: number
  readonly unit: 'bytes' | 'UTF-16 units'
}

/** Linux and its file systems. */
export const POSIX_NAMES: NameRules = {
  windows: false,
  backslash: false,
  foldsCase: false,
  longest: 255,
  unit: 'bytes',
}

/** Windows, and the file systems made for it. */
export const WINDOWS_NAMES: NameRules = {
  windows: true,
  backslash: true,
  foldsCase: true,
  longest: 255,
  unit: 'UTF-16 units',
}

/** Archives, which may be unpacked anywhere: nothing in them may be taken for a separator. */
export const ARCHIVE_NAMES: NameRules = { ...POSIX_NAMES, backslash: true }

/** Zip archives, which are mostly unpacked on Windows. */
export const ZIP_NAMES: NameRules = { ...WINDOWS_NAMES, foldsCase: false }

const CONTROLS = '\\u0000-\\u001f\\u007f'
/** A surrogate without its other half: no UTF-8 can say it. */
const LONE_SURROGATE = '[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]'
const UNSAFE = new RegExp(`[/${CONTROLS}]|${LONE_SURROGATE}`, 'g')
const UNSAFE_WITH_BACKSLASH = new RegExp(`[/\\\\${CONTROLS}]|${LONE_SURROGATE}`, 'g')
const UNSAFE_ON_WINDOWS = new RegExp(`[/\\\\:*?"<>|${CONTROLS}]|${LONE_SURROGATE}`, 'g')

/** Windows takes these for devices, whatever extension follows and in whatever folder. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])(?= *(?:\.|$))/i

/**
 * `name` as the rules allow it; the same name always gives the same. What is not allowed becomes `%` and its number in
 * hex (`a:b` → `a%3Ab`), a device gets a `_` (`CON_.txt`), a dot or blank at the end becomes one, and what is too long is
 * cut before its extension. Never '', '.' or '..', never with a separator.
 */
export function hostName(name: string, rules: NameRules): string {
  if (name === '') return '_'
  if (name === '.' || name === '..') return name.replaceAll('.', '%2E')
  const escaped = name.replaceAll(unsafe(rules), inHex)
  if (!rules.windows) return cut(escaped, '', rules)
  const named = cut(escaped.replace(DEVICE, '$1_'), '', rules)
  return named.replace(/[. ]$/, '_')
}

/** `name`, which `hostName` gave, with a number before its extension: `report (2).pdf`. */
export const numberedName = (name: string, number: number, rules: NameRules) => cut(name, ` (${number})`, rules)

/** What names that are one name in the target have in common. */
export const foldName = (name: string, rules: NameRules) => (rules.foldsCase ? name.toUpperCase() : name)

function unsafe({ windows, backslash }: NameRules): RegExp {
  if (windows) return UNSAFE_ON_WINDOWS
  return backslash ? UNSAFE_WITH_BACKSLASH : UNSAFE
}

function inHex(character: string): string {
  const hex = character.charCodeAt(0).toString(16).toUpperCase()
  return hex.length > 2 ? `%u${hex}` : `%${hex.padStart(2, '0')}`
}

/** Longer ones are no extensions, and part of what may be cut. */
const LONGEST_EXTENSION = 16

/** `name` with `insert` before its extension, cut before that to what the rules allow. */
function cut(name: string, insert: string, { longest, unit }: NameRules): string {
  const length = (text: string) => (unit === 'bytes' ? Buffer.byteLength(text) : text.length)
  // Three bytes are the most that a UTF-16 unit takes.
  if (insert === '' && (name.length * 3 <= longest || length(name) <= longest)) return name
  const dot = name.lastIndexOf('.')
  const isExtension = dot > 0 && name.length - dot <= LONGEST_EXTENSION
  const tail = `${insert}${isExtension ? name.slice(dot) : ''}`
  const stem = [...(isExtension ? name.slice(0, dot) : name)]
  let left = longest - length(tail)
  let kept = 0
  while (kept < stem.length && length(stem[kept]!) <= left) left -= length(stem[kept++]!)
  return `${stem.slice(0, kept).join('')}${tail}`
}
