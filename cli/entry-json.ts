/** Entries as lines of JSON, with the same keys for every file system: null is what it has not. */
import { type DiskImageError, type Entry, FileAttribute } from '../lib/index.ts'
import { type JsonBytes, jsonText } from './json-bytes.ts'

/** What became of hashing a file. */
export type Hashed = { readonly sha256: string } | { readonly error: DiskImageError }

const PATH = jsonText('{"path":')
const KIND = {
  file: jsonText(',"kind":"file","size":'),
  directory: jsonText(',"kind":"directory","size":'),
  link: jsonText(',"kind":"link","size":'),
  other: jsonText(',"kind":"other","size":'),
}
const ALLOCATED_SIZE = jsonText(',"allocatedSize":')
const MODIFIED = jsonText(',"modified":')
const CREATED = jsonText(',"created":')
const ACCESSED = jsonText(',"accessed":')
const CHANGED = jsonText(',"changed":')
const ATTRIBUTES = jsonText(',"attributes":')
const RECORD = jsonText(',"record":')
const NO_RECORD = jsonText(',"record":null')
const LINKS = jsonText(',"links":')
const STREAMS = jsonText(',"streams":[')
const NO_STREAMS = jsonText(',"streams":[]')
const FIRST_NAME = jsonText('{"name":')
const NEXT_NAME = jsonText(',{"name":')
const SIZE = jsonText(',"size":')
const END_OBJECT = jsonText('}')
const END_LIST = jsonText(']')
const TARGET = jsonText(',"target":')
const NO_TARGET = jsonText(',"target":null')
const SHA256 = jsonText(',"sha256":')
const CODE = jsonText(',"error":{"code":')
const MESSAGE = jsonText(',"message":')
const END = jsonText('}\n')

/**
 * `entry` as a line. At its end stands `sha256` where the file was hashed, or `error` where its content cannot be had,
 * as hashing it showed or as the file system says without reading it.
 */
export function writeEntry(json: JsonBytes, entry: Entry, hashed?: Hashed): void {
  json.text(PATH)
  json.string(entry.path)
  json.text(KIND[entry.kind])
  json.number(entry.size)
  json.text(ALLOCATED_SIZE)
  json.number(entry.allocatedSize)
  json.text(MODIFIED)
  json.time(entry.modified)
  json.text(CREATED)
  json.time(entry.created)
  json.text(ACCESSED)
  json.time(entry.accessed)
  json.text(CHANGED)
  json.time(entry.changed)
  json.text(ATTRIBUTES)
  json.text(attributeList(entry.attributes))
  if (entry.record === undefined) json.text(NO_RECORD)
  else {
    json.text(RECORD)
    json.number(entry.record)
  }
  json.text(LINKS)
  json.number(entry.links)
  if (entry.streams.length === 0) json.text(NO_STREAMS)
  else writeStreams(json, entry.streams)
  if (entry.target === undefined) json.text(NO_TARGET)
  else {
    json.text(TARGET)
    json.string(entry.target)
  }
  if (hashed !== undefined && 'sha256' in hashed) {
    json.text(SHA256)
    json.string(hashed.sha256)
  } else writeError(json, hashed?.error ?? entry.error)
  json.text(END)
}

function writeStreams(json: JsonBytes, streams: Entry['streams']): void {
  json.text(STREAMS)
  for (const [i, { name, size }] of streams.entries()) {
    json.text(i === 0 ? FIRST_NAME : NEXT_NAME)
    json.string(name)
    json.text(SIZE)
    json.number(size)
    json.text(END_OBJECT)
  }
  json.text(END_LIST)
}

function writeError(json: JsonBytes, error: DiskImageError | undefined): void {
  if (error === undefined) return
  json.text(CODE)
  json.string(error.code)
  json.text(MESSAGE)
  json.string(error.message)
  json.text(END_OBJECT)
}

/** Names of the bits that are set, in the order of [MS-FSCC]; those without a name as `0x80000000`. */
export function attributeNames(attributes: number): string[] {
  const known = Object.entries(FileAttribute).filter(([, bit]) => (attributes & bit) !== 0)
  const rest = known.reduce((left, [, bit]) => left - bit, attributes)
  return [...known.map(([name]) => name), ...(rest === 0 ? [] : [`0x${rest.toString(16)}`])]
}

/** Lists of names by attributes: a volume has few combinations. Emptied when a hostile one has many. */
const attributeLists = new Map<number, Uint8Array>()
const MAX_ATTRIBUTE_LISTS = 1_000

function attributeList(attributes: number): Uint8Array {
  const known = attributeLists.get(attributes)
  if (known !== undefined) return known
  const list = jsonText(JSON.stringify(attributeNames(attributes)))
  if (attributeLists.size === MAX_ATTRIBUTE_LISTS) attributeLists.clear()
  attributeLists.set(attributes, list)
  return list
}
