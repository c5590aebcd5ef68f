/** How the places of a seed are told: by the library's own declarations of the structures. */
import type { Range } from '../../lib/device/ranges.ts'
import type { Field, Place } from './target.ts'

/** What of a `Struct` tells its fields. */
interface Described {
  readonly name: string
  readonly size: number
  readonly fieldPlaces: readonly { readonly name: string; readonly offset: number; readonly size: number }[]
}

/** `structure` at byte `offset`. */
export const structurePlace = (structure: Described, offset: number): Place => ({
  kind: structure.name,
  offset,
  length: structure.size,
  fields: fieldsAt(structure, offset),
})

export const fieldsAt = ({ name, fieldPlaces }: Described, offset: number): Field[] =>
  fieldPlaces.map(field => ({ name: `${name}.${field.name}`, offset: offset + field.offset, length: field.size }))

/** Bytes that are no row of numbers. */
export const bytesPlace = (kind: string, { offset, length }: Range): Place => ({ kind, offset, length, fields: [] })

/** A row of `count` numbers of `size` bytes each. */
export const tablePlace = (kind: string, offset: number, count: number, size: number): Place => ({
  kind,
  offset,
  length: count * size,
  fields: Array.from({ length: count }, (_, i) => ({ name: `${kind}[${i}]`, offset: offset + i * size, length: size })),
})
