/** Entries as lines of JSON, with the same keys for every file system: null is what it has not. */
import { type DiskImageError, type Entry, FileAttribute } from '../lib/index.ts'
import { type JsonBytes, jsonText } from './json-bytes.ts'

/** An entry in a list. */
export interface Listed {
  readonly entry: Entry
  /** Only there where hashes are asked for: SHA-256 in hex, undefined for what has no content. */
  readonly hash?: string | undefined
  /** Why it could not be hashed. */
  readonly error?: DiskImageError | undefined
}

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
const NO_SHA256 = jsonText(',"sha256":null')
const CODE = jsonText(',"error":{"code":')
const MESSAGE = jsonText(',"message":')
const END = jsonText('}\n')

/**
 * An entry as a line. At its end stands `error` where its content cannot be had, as hashing it showed or as the file
 * system says without reading it; otherwise `sha256`, where hashes are asked for.
 */
export function writeEntry(json: JsonBytes, listed: Listed): void {
  const { entry } = listed
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
  const error = listed.error ?? entry.error
  if (error !== undefined) writeError(json, error)
  else if ('hash' in listed) writeHash(json, listed.hash)
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

function writeHash(json: JsonBytes, hash: string | undefined): void {
  if (hash === undefined) json.text(NO_SHA256)
  else {
    json.text(SHA256)
    json.string(hash)
  }
}

function writeError(json: JsonBytes, error: DiskImageError): void {
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
