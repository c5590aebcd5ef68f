/** A structure as `inspect` shows it: its place, and what each of its fields says. */
import { FormatError } from '../errors.ts'
import type { Problem } from './rules.ts'

export type FieldValue = string | number | bigint

/** A field with its place and its value. */
export interface InspectedField {
  readonly name: string
  /** Absolute byte in the file. */
  readonly position: number
  readonly value: FieldValue
}

/** A structure with its place and its fields, or why it cannot be read. */
export interface InspectedStructure {
  readonly name: string
  /** Absolute byte in the file. */
  readonly position: number
  /** Bytes. */
  readonly size: number
  /** What it is good for: 'current', 'used', 'spare', 'bad' and the like. */
  readonly status?: string
  readonly fields: readonly InspectedField[]
  /** The broken rules whose place lies in it. */
  readonly problems: readonly Problem[]
}

/** What is used of a `Struct`, whatever its fields. */
export interface Describable {
  readonly name: string
  readonly size: number
  readonly fieldPlaces: readonly { readonly name: string; readonly offset: number; readonly size: number }[]
  decode(bytes: Buffer, at: number, position: number): object
}

/** The fields of `structure` at `at` of `bytes`, which lie at byte `position`. Where one cannot be decoded all are shown as bytes. */
export function fieldsOf(structure: Describable, bytes: Buffer, at: number, position: number): InspectedField[] {
  const values = decoded(structure, bytes, at, position)
  return structure.fieldPlaces
    .map(({ name, offset, size }) => {
      const raw = bytes.subarray(at + offset, at + offset + size)
      return { name, position: position + at + offset, value: readable(values[name]) ?? constant(raw) }
    })
    .filter(({ name, value }) => !(name.startsWith('reserved') && /^0x0*$/.test(`${value}`)))
}

function decoded(structure: Describable, bytes: Buffer, at: number, position: number): Record<string, unknown> {
  try {
    return structure.decode(bytes, at, position) as Record<string, unknown>
  } catch (error) {
    if (error instanceof FormatError) return {}
    throw error
  }
}

function readable(value: unknown): FieldValue | undefined {
  if (Buffer.isBuffer(value)) return preview(value)
  return value as FieldValue | undefined
}

/** A signature as text where it is text; other bytes in hex. */
function constant(bytes: Buffer): string {
  const text = bytes.toString('latin1')
  return /^[a-z]+$/.test(text) ? text : preview(bytes)
}

const PREVIEW_SIZE = 32

/** The first bytes in hex. */
export const preview = (bytes: Buffer) =>
  `0x${bytes.toString('hex', 0, PREVIEW_SIZE)}${bytes.length > PREVIEW_SIZE ? '…' : ''}`
