/** The BAT as `inspect` shows it, [MS-VHDX] 2.5, and the sector bitmaps it leads to. */
import { MiB } from '../binary/size.ts'
import type { Range } from '../device/ranges.ts'
import { OptionError } from '../errors.ts'
import { Bat } from './bat.ts'
import { highAt, lowAt, mebibyteOf, reservedBitsOf, stateOf } from './bat-entry.ts'
import { BAT_ENTRY_SIZE, BITMAP_BLOCK_SIZE, BITMAP_PRESENT, NOT_PRESENT, PAYLOAD_STATES } from './format.ts'
import { blockOfEntry, type Geometry, isBitmapEntry } from './layout.ts'
import { setBitCount } from './sector-bitmap.ts'
import type { Facts, StructureSheet } from './structure-sheet.ts'

/** Entries of the BAT that are to be shown one by one. */
export interface BatEntries {
  readonly first: number
  readonly count: number
}

const MAX_BAT_ENTRIES = 65536
const MAX_BITMAPS = 64

/** Throws OptionError (TOO_MANY_ENTRIES). */
export async function inspectBat(sheet: StructureSheet, wanted: BatEntries | undefined): Promise<void> {
  const { regionTables, geometry } = sheet.structures
  const region = regionTables?.bat
  if (region === undefined || geometry === undefined) return
  const size = geometry.batEntryCount * BAT_ENTRY_SIZE
  const facts: Facts = [
    ['entries', geometry.batEntryCount],
    ['payloadBlocks', geometry.blockCount],
    ['chunkRatio', geometry.chunkRatio],
  ]
  const isWhole = size <= region.length && region.offset + size <= sheet.file.size
  const bat = new Bat(sheet.file, region.offset, geometry)
  sheet.facts('BAT', region, [...facts, ...(isWhole ? await stateFacts(bat) : [])], isWhole ? undefined : 'bad')
  if (wanted !== undefined && isWhole) await showEntries(sheet, region, geometry, wanted)
  if (geometry.hasParent && isWhole) await showBitmaps(sheet, bat, geometry)
}

/** How many blocks are in each state that occurs. */
async function stateFacts(bat: Bat): Promise<Facts> {
  const counts = new Map<string, number>()
  for await (const { kind, count } of bat.runs(stateOf)) {
    const state = PAYLOAD_STATES[kind]!
    counts.set(state, (counts.get(state) ?? 0) + count)
  }
  return [...counts]
}

async function showEntries(
  sheet: StructureSheet,
  region: Range,
  geometry: Geometry,
  wanted: BatEntries,
): Promise<void> {
  if (wanted.count > MAX_BAT_ENTRIES) {
    throw new OptionError('TOO_MANY_ENTRIES', `${MAX_BAT_ENTRIES} BAT entries are the most that are shown at once`)
  }
  const first = Math.min(wanted.first, geometry.batEntryCount)
  const count = Math.min(wanted.count, geometry.batEntryCount - first)
  const range = { offset: region.offset + first * BAT_ENTRY_SIZE, length: count * BAT_ENTRY_SIZE }
  const bytes = (await sheet.bytes(range))!
  const fields = Array.from({ length: count }, (_, n) => ({
    ...entryText(bytes, n * BAT_ENTRY_SIZE, first + n, geometry.chunkRatio),
    position: range.offset + n * BAT_ENTRY_SIZE,
  }))
  sheet.show('BAT entries', range.offset, range.length, fields)
}

function entryText(bytes: Buffer, at: number, index: number, chunkRatio: number): { name: string; value: string } {
  const [low, high] = [lowAt(bytes, at), highAt(bytes, at)]
  const [state, reserved, mebibyte] = [stateOf(low), reservedBitsOf(low), mebibyteOf(low, high)]
  const block = blockOfEntry(index, chunkRatio)
  const isBitmap = isBitmapEntry(index, chunkRatio)
  const bitmapStates: Readonly<Record<number, string>> = { [NOT_PRESENT]: 'notPresent', [BITMAP_PRESENT]: 'present' }
  const word = isBitmap ? (bitmapStates[state] ?? `reserved${state}`) : PAYLOAD_STATES[state]!
  const name = isBitmap ? `bitmap ${block / chunkRatio - 1}` : `block ${block}`
  return { name, value: `${word}${mebibyte > 0 ? ` at MiB ${mebibyte}` : ''}${reserved > 0 ? ' reserved bits' : ''}` }
}

/** The bitmaps that are present, and how many sectors each says are in this file. */
async function showBitmaps(sheet: StructureSheet, bat: Bat, { blockCount, chunkRatio }: Geometry): Promise<void> {
  let count = 0
  for (let block = 0; block < blockCount; block += chunkRatio) {
    const { state, mebibyte, position } = await bat.bitmapEntry(block)
    if (state !== BITMAP_PRESENT || ++count > MAX_BITMAPS) continue
    const name = `sector bitmap ${block / chunkRatio}`
    const offset = mebibyte * MiB
    const bits = await sheet.bytes({ offset, length: BITMAP_BLOCK_SIZE })
    if (bits === undefined) sheet.show(`${name}, by its BAT entry`, position, BAT_ENTRY_SIZE)
    else sheet.facts(name, { offset, length: BITMAP_BLOCK_SIZE }, [['sectorsInFile', setBitCount(bits)]])
  }
  const more = count - MAX_BITMAPS
  if (more > 0) sheet.facts('further sector bitmaps', { offset: bat.positionOf(0), length: 0 }, [['count', more]])
}
