/** Entries as people read them. */
import { type Entry, FileAttribute } from '../lib/index.ts'
import type { Listed } from './entry-json.ts'
import { shortFileTime } from './file-time.ts'
import { printableLine, printableName } from './printable.ts'

const KIND_LETTERS = { file: '-', directory: 'd', link: 'l', other: 'o' } as const

const LETTERS = [
  ['a', FileAttribute.archive],
  ['r', FileAttribute.readOnly],
  ['h', FileAttribute.hidden],
  ['s', FileAttribute.system],
  ['c', FileAttribute.compressed],
  ['e', FileAttribute.encrypted],
  ['p', FileAttribute.sparse],
] as const

/** For help pages: what `attributeLetters` gives. */
export const LETTERS_HELP =
  'd directory, l link, a archive, r read-only, h hidden, s system, c compressed, e encrypted, p sparse'

/** `da-h----`: the kind, and a letter for each attribute that is set. */
export function attributeLetters({ kind, attributes }: Entry): string {
  return KIND_LETTERS[kind] + LETTERS.map(([letter, bit]) => ((attributes & bit) !== 0 ? letter : '-')).join('')
}

const TIME_WIDTH = 19
const NO_TIME = ' '.repeat(TIME_WIDTH)
const NO_LETTERS = ' '.repeat(1 + LETTERS.length)

/** How `entryLines` writes. */
export interface LineOptions {
  /** With attributes, links, size and time. */
  readonly long?: boolean
  /** With a line for each stream. */
  readonly streams?: boolean
  /** The whole path instead of the name. */
  readonly path?: boolean
}

const NO_HASH = ' '.repeat(64)

/** A line for each of `batch`, with numbers set right among them. */
export function entryLines(batch: readonly Listed[], options: LineOptions = {}): string[] {
  const { long = false, streams = false, path = false } = options
  const width = (values: readonly number[]) => String(values.reduce((most, value) => Math.max(most, value), 0)).length
  const sizeWidth = width(batch.flatMap(({ entry }) => [entry.size, ...entry.streams.map(({ size }) => size)]))
  const linksWidth = width(batch.map(({ entry }) => entry.links))
  const line = (letters: string, links: string, size: number, time: string, name: string) =>
    long ? [letters, links.padStart(linksWidth), String(size).padStart(sizeWidth), time, name].join('  ') : name
  return batch.flatMap(listed => {
    const { entry, error = entry.error } = listed
    const hash = 'hash' in listed ? `${listed.hash ?? NO_HASH}  ` : ''
    const name = printableName(path ? entry.path : entry.name)
    const problem = error === undefined ? '' : `  ! ${printableLine(error.message)} [${error.code}]`
    const shown = `${hash}${name}${mark(entry, long, path)}${problem}`
    const time = shortFileTime(entry.modified).padEnd(TIME_WIDTH)
    return [
      line(attributeLetters(entry), String(entry.links), entry.size, time, shown),
      ...(streams ? entry.streams : []).map(stream => {
        const full = `${hash && `${NO_HASH}  `}${name}:${printableName(stream.name)}`
        return line(NO_LETTERS, '', stream.size, NO_TIME, full)
      }),
    ]
  })
}

/** What tells a directory and a link from a file. */
function mark({ kind, target }: Entry, long: boolean, path: boolean): string {
  if (kind === 'directory') return path ? '' : '/'
  return long && target !== undefined ? ` -> ${printableLine(target)}` : ''
}
