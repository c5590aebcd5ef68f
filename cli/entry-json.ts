/** Entries as lines of JSON, with the same keys for every file system: null is what it has not. */
import { type DiskImageError, type Entry, FileAttribute } from '../lib/index.ts'
import { FILE_TIME_LENGTH, FileTimeSlot } from './file-time.ts'
import { JsonBytes, jsonText, NULL } from './json-bytes.ts'

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
const RECORD = ',"record":'
const LINKS = jsonText(',"links":')
/** How nearly all entries end. */
const PLAIN_END = jsonText(',"links":1,"streams":[],"target":null}\n')
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
  writeTimes(json, entry)
  json.text(attributeList(entry.attributes))
  if (entry.record === undefined) json.text(NULL)
  else json.number(entry.record)
  const error = listed.error ?? entry.error
  const isPlain = entry.links === 1 && entry.streams.length === 0 && entry.target === undefined
  if (isPlain && error === undefined && !('hash' in listed)) {
    json.text(PLAIN_END)
    return
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
  if (error !== undefined) writeError(json, error)
  else if ('hash' in listed) writeHash(json, listed.hash)
  json.text(END)
}

/** The same line as a value, for who has more to say of the entry. */
export function entryJson(entry: Entry): object {
  const json = new JsonBytes()
  writeEntry(json, { entry })
  return JSON.parse(json.take().toString('utf8'))
}

const TIMES = ['modified', 'created', 'accessed', 'changed'] as const
const TIME_KEYS = TIMES.map(name => jsonText(`,"${name}":`))

/** All four as they were in the entry before, ready to be written in one piece where the next has all four, too. */
const times = Buffer.from(TIMES.map(name => `,"${name}":"${' '.repeat(FILE_TIME_LENGTH)}"`).join(''))
const slots = TIMES.map(name => new FileTimeSlot(times.subarray(times.indexOf(`"${name}"`) + name.length + 4)))

function writeTimes(json: JsonBytes, { modified, created, accessed, changed }: Entry): void {
  const fits =
    modified !== undefined &&
    created !== undefined &&
    accessed !== undefined &&
    changed !== undefined &&
    slots[0]!.set(modified) &&
    slots[1]!.set(created) &&
    slots[2]!.set(accessed) &&
    slots[3]!.set(changed)
  if (fits) {
    json.text(times)
    return
  }
  for (const [i, time] of [modified, created, accessed, changed].entries()) {
    json.text(TIME_KEYS[i]!)
    json.time(time)
  }
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

/** Lists of names by attributes, from key to key: a volume has few combinations. Emptied when a hostile one has many. */
const attributeLists = new Map<number, Uint8Array>()
const MAX_ATTRIBUTE_LISTS = 1_000

function attributeList(attributes: number): Uint8Array {
  const known = attributeLists.get(attributes)
  if (known !== undefined) return known
  const list = jsonText(`,"attributes":${JSON.stringify(attributeNames(attributes))}${RECORD}`)
  if (attributeLists.size === MAX_ATTRIBUTE_LISTS) attributeLists.clear()
  attributeLists.set(attributes, list)
  return list
}
