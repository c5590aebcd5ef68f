/** Lines of JSON, written byte by byte, say what JSON.stringify would. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { attributeNames, type Listed, writeEntry } from '../../cli/entry-json.ts'
import { formatFileTime } from '../../cli/file-time.ts'
import { JsonBytes } from '../../cli/json-bytes.ts'
import { FormatError } from '../../lib/errors.ts'
import type { Entry } from '../../lib/volume/entry.ts'

function written(...list: readonly Listed[]): string {
  const json = new JsonBytes()
  for (const listed of list) writeEntry(json, listed)
  return json.take().toString()
}

const timeOf = (time: bigint | undefined) => (time === undefined ? null : formatFileTime(time))

/** The keys, in their order, and what they are. */
function expected({ entry, error = entry.error, ...rest }: Listed): string {
  return JSON.stringify({
    path: entry.path,
    kind: entry.kind,
    size: entry.size,
    allocatedSize: entry.allocatedSize,
    modified: timeOf(entry.modified),
    created: timeOf(entry.created),
    accessed: timeOf(entry.accessed),
    changed: timeOf(entry.changed),
    attributes: attributeNames(entry.attributes),
    record: entry.record ?? null,
    links: entry.links,
    streams: entry.streams,
    target: entry.target ?? null,
    ...(error !== undefined
      ? { error: { code: error.code, message: error.message } }
      : 'hash' in rest
        ? { sha256: rest.hash ?? null }
        : {}),
  })
}

const text = fc.string({
  unit: fc.oneof(fc.constantFrom('a', '/', ' ', '"', '\\', '\n', '\x7f', 'ä', '大', '\ud800', '\udc00', '\u{1f600}')),
})
const count = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 9, 10, 99, 100, 2 ** 53 - 1))
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const time = optional(fc.bigInt(0n, 2n ** 64n - 1n))
const error = optional(fc.tuple(text, text).map(([code, message]) => new FormatError(code, message)))
const entries: fc.Arbitrary<Entry> = fc.record({
  path: text,
  name: text,
  kind: fc.constantFrom('file', 'directory', 'link', 'other'),
  size: count,
  allocatedSize: count,
  modified: time,
  created: time,
  accessed: time,
  changed: time,
  attributes: fc.nat(0xffff_ffff),
  record: optional(count),
  links: count,
  streams: fc.array(fc.record({ name: text, size: count }), { maxLength: 3 }),
  target: optional(text),
  position: optional(count),
  isSystem: fc.boolean(),
  error,
})
const hash = optional(fc.constantFrom('00ff'.repeat(16)))
const listed: fc.Arbitrary<Listed> = fc.oneof(fc.record({ entry: entries }), fc.record({ entry: entries, hash, error }))

test('whatever an entry is', () => {
  fc.assert(
    fc.property(fc.array(listed, { maxLength: 3 }), list => {
      expect(written(...list)).toBe(list.map(each => `${expected(each)}\n`).join(''))
    }),
  )
})

test('a path longer than the memory it is written to', () => {
  const [entry] = fc.sample(entries, { numRuns: 1, seed: 1 })
  const path = `/${'x'.repeat(100_000)}ä`
  const list = Array.from({ length: 5 }, () => ({ entry: { ...entry!, path } }))
  expect(written(...list) === list.map(each => `${expected(each)}\n`).join('')).toBe(true)
})

test('attributes by name, and by number what has none', () => {
  expect(attributeNames(0x21)).toEqual(['readOnly', 'archive'])
  expect(attributeNames(0x8000_0010)).toEqual(['directory', '0x80000000'])
  expect(attributeNames(0)).toEqual([])
})
