/** Where a differencing image says its parent is, [MS-VHDX] 2.6.2.6. */
import { isGuid } from '../binary/guid.ts'
import { OptionError } from '../errors.ts'
import { parentLocatorEntry, parentLocatorHeader, VHDX_PARENT_LOCATOR } from './format.ts'
import type { Breach, RuleCode } from './rules.ts'
import type { StructureReader } from './structure-reader.ts'

export interface ParentLocator {
  readonly entries: ReadonlyMap<string, string>
  /** The DataWriteGuid the parent must have, lower-case without braces. */
  readonly linkage: string | undefined
  /** Another one that will do: there only while the child is merged into its parent. */
  readonly linkage2: string | undefined
  /** Where to look, in the order of the specification: relative to this file, by volume, absolute. */
  readonly paths: readonly string[]
}

/** Far more than the five keys the specification has; Microsoft's openvmm draws the same line. */
const MAX_ENTRIES = 256

const PATH_KEYS = ['relative_path', 'volume_path', 'absolute_win32_path'] as const

/** Paths of a parent, as they stand in a locator: those that are known. */
export type ParentPaths = Readonly<Partial<Record<(typeof PATH_KEYS)[number], string>>>

/** An entry's lengths have 16 bits. */
const MAX_TEXT_LENGTH = 0xffff

/** Reads the locator in `bytes`, which lie at byte `position` of the file. */
export function readParentLocator(reader: StructureReader, bytes: Buffer, position: number): ParentLocator | undefined {
  const report = (code: RuleCode, breach: Omit<Breach, 'structure' | 'position'>, at = 0) =>
    reader.report(code, { structure: parentLocatorHeader.name, position: position + at, ...breach })

  const size = bytes.length
  if (size < parentLocatorHeader.size) {
    report('PARENT_LOCATOR_ENTRY', { expected: `at least ${parentLocatorHeader.size} bytes`, actual: `${size} bytes` })
    return undefined
  }
  const { locatorType, keyValueCount } = parentLocatorHeader.decode(bytes, 0, position)
  if (locatorType !== VHDX_PARENT_LOCATOR) {
    report('PARENT_LOCATOR_TYPE', { field: 'locatorType', expected: VHDX_PARENT_LOCATOR, actual: locatorType })
    return undefined
  }
  const room = Math.floor((size - parentLocatorHeader.size) / parentLocatorEntry.size)
  if (keyValueCount > Math.min(room, MAX_ENTRIES)) {
    const expected = `at most ${Math.min(room, MAX_ENTRIES)}`
    const at = parentLocatorHeader.offsetOf('keyValueCount')
    report('PARENT_LOCATOR_ENTRY', { field: 'keyValueCount', expected, actual: `${keyValueCount}` }, at)
    return undefined
  }
  const entries = new Map<string, string>()
  for (let index = 0; index < keyValueCount; index++) {
    const at = parentLocatorHeader.size + index * parentLocatorEntry.size
    const entry = parentLocatorEntry.decode(bytes, at, position)
    const key = textAt(bytes, entry.keyOffset, entry.keyLength)
    const value = textAt(bytes, entry.valueOffset, entry.valueLength)
    if (key === undefined || value === undefined) {
      const expected = 'a key and a value of UTF-16 inside the locator'
      report('PARENT_LOCATOR_ENTRY', { field: `entry ${index}`, expected, actual: 'outside it or no text' }, at)
    } else if (entries.has(key)) {
      report(
        'PARENT_LOCATOR_ENTRY',
        { field: `entry ${index}`, expected: 'a key of its own', actual: `'${key}' again` },
        at,
      )
    } else entries.set(key, value)
  }
  const linkage = linkageOf(entries.get('parent_linkage'))
  if (linkage === undefined) {
    const actual = entries.has('parent_linkage') ? `'${entries.get('parent_linkage')}'` : 'missing'
    report('PARENT_LINKAGE', { field: 'parent_linkage', expected: 'a GUID in braces', actual })
  }
  if (entries.has('parent_linkage2')) {
    report('PARENT_LINKAGE2', {
      field: 'parent_linkage2',
      expected: 'absent',
      actual: `${entries.get('parent_linkage2')}`,
    })
  }
  const paths = PATH_KEYS.flatMap(key => entries.get(key) ?? [])
  if (paths.length === 0) {
    report('PARENT_PATHS', { expected: `naming the parent by one of ${PATH_KEYS.join(', ')}`, actual: 'without any' })
  }
  return { entries, linkage, linkage2: linkageOf(entries.get('parent_linkage2')), paths }
}

/** UTF-16 without its end; undefined for what is empty, outside, of odd length or holds a NUL. */
function textAt(bytes: Buffer, offset: number, length: number): string | undefined {
  if (offset === 0 || length === 0 || length % 2 !== 0 || offset + length > bytes.length) return undefined
  const text = bytes.toString('utf16le', offset, offset + length)
  return text.includes('\0') ? undefined : text
}

/** The GUID of `{…}`. The specification says lower-case, and its own example is upper-case. */
function linkageOf(text: string | undefined): string | undefined {
  const guid = /^\{(.*)\}$/.exec(text ?? '')?.[1]?.toLowerCase()
  return guid !== undefined && isGuid(guid) ? guid : undefined
}

/** How a locator names an image by its DataWriteGuid: in braces, and in lower case, which vhdiinfo needs. */
export const linkageText = (dataWriteGuid: string) => `{${dataWriteGuid}}`

/** `entries` with other paths: those that `paths` does not have lead elsewhere, and are gone. */
export const withPaths = (entries: ReadonlyMap<string, string>, paths: ParentPaths): ReadonlyMap<string, string> =>
  new Map([
    ...[...entries].filter(([key]) => !(PATH_KEYS as readonly string[]).includes(key)),
    ...PATH_KEYS.flatMap(key => (paths[key] === undefined ? [] : [[key, paths[key]] as const])),
  ])

/** `entries` for a parent that may soon go by the DataWriteGuid `id`, too: as long as it is merged into. */
export const withSecondLinkage = (entries: ReadonlyMap<string, string>, id: string): ReadonlyMap<string, string> =>
  new Map([...entries, ['parent_linkage2', linkageText(id)]])

/** `entries` for a parent that goes by the DataWriteGuid `id` and no other. */
export const withLinkage = (entries: ReadonlyMap<string, string>, id: string): ReadonlyMap<string, string> =>
  new Map([...[...entries].filter(([key]) => key !== 'parent_linkage2'), ['parent_linkage', linkageText(id)]])

/** Keys and values for a parent with the DataWriteGuid `linkage` at `paths`. */
export const newLocator = (linkage: string, paths: ParentPaths): ReadonlyMap<string, string> =>
  withPaths(withLinkage(new Map(), linkage), paths)

/**
 * The bytes of a locator with these keys and values, in their order.
 * Throws OptionError (PARENT_PATH_TOO_LONG) for a text that no locator can hold.
 */
export function parentLocatorBytes(entries: ReadonlyMap<string, string>): Buffer {
  const head = Buffer.alloc(parentLocatorHeader.size + entries.size * parentLocatorEntry.size)
  parentLocatorHeader.encode({ locatorType: VHDX_PARENT_LOCATOR, keyValueCount: entries.size }, head)
  const texts: Buffer[] = []
  let [at, offset] = [parentLocatorHeader.size, head.length]
  for (const pair of entries) {
    const [key, value] = pair.map(text => Buffer.from(text, 'utf16le')) as [Buffer, Buffer]
    if (value.length > MAX_TEXT_LENGTH) {
      const message = `the parent's path has ${value.length / 2} characters, 32767 are the most: '${pair[1].slice(0, 80)}…'`
      throw new OptionError('PARENT_PATH_TOO_LONG', message)
    }
    const valueOffset = offset + key.length
    const entry = { keyOffset: offset, valueOffset, keyLength: key.length, valueLength: value.length }
    at += parentLocatorEntry.encode(entry, head, at)
    texts.push(key, value)
    offset = valueOffset + value.length
  }
  return Buffer.concat([head, ...texts])
}
