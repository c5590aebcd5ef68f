/** What a value that came out of JSON has to look like, declared field by field. */

/** Returns `value` as what it should be, or throws ShapeError. `field` is its name for people. */
export type Shape<T> = (value: unknown, field: string) => T

/** A value that is not as declared; the message says which, and how. */
export class ShapeError extends Error {}

const wrong = (field: string, expected: string, value: unknown) =>
  new ShapeError(`its '${field}' is ${nameOf(value)}, expected ${expected}`)

/** What `value` is, in few words whatever it is. */
function nameOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : String(value)
}

export const text: Shape<string> = (value, field) => {
  if (typeof value !== 'string') throw wrong(field, 'a text', value)
  return value
}

export const flag: Shape<boolean> = (value, field) => {
  if (typeof value !== 'boolean') throw wrong(field, 'true or false', value)
  return value
}

/** A whole number from 0 to 2^53 - 1. */
export const count: Shape<number> = (value, field) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw wrong(field, 'a whole number', value)
  return value as number
}

export const oneOf =
  <T extends string | number>(...values: readonly T[]): Shape<T> =>
  (value, field) => {
    if (!values.includes(value as T)) throw wrong(field, values.join(' or '), value)
    return value as T
  }

export const nullable =
  <T>(shape: Shape<T>): Shape<T | null> =>
  (value, field) =>
    value === null ? null : shape(value, field)

export const optional =
  <T>(shape: Shape<T>): Shape<T | undefined> =>
  (value, field) =>
    value === undefined ? undefined : shape(value, field)

export const listOf =
  <T>(shape: Shape<T>): Shape<readonly T[]> =>
  (value, field) => {
    if (!Array.isArray(value)) throw wrong(field, 'a list', value)
    return value.map((item, i) => shape(item, `${field}[${i}]`))
  }

/** A list of exactly two. */
export const pairOf =
  <T>(shape: Shape<T>): Shape<readonly [T, T]> =>
  (value, field) => {
    const [first, second, ...more] = listOf(shape)(value, field)
    if (first === undefined || second === undefined || more.length > 0) throw wrong(field, 'a pair', value)
    return [first, second]
  }

const record: Shape<Readonly<Record<string, unknown>>> = (value, field) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(field, 'an object', value)
  return value as Record<string, unknown>
}

/** An object with these fields. Others it may have are dropped. */
export const object =
  <T extends object>(fields: { readonly [Name in keyof T]: Shape<T[Name]> }): Shape<T> =>
  (value, field) => {
    const given = record(value, field)
    const entries = Object.entries<Shape<unknown>>(fields).map(
      ([name, shape]) => [name, shape(given[name], field === '' ? name : `${field}.${name}`)] as const,
    )
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as T
  }

/** How deep lists and objects of no declared shape may lie in one another: what prints them recurses. */
const MAX_DEPTH = 32

/** An object of anything that is not nested too deeply to be printed. */
export const shallowRecord: Shape<Readonly<Record<string, unknown>>> = (value, field) => {
  const isTooDeep = (part: unknown, depth: number): boolean =>
    typeof part === 'object' &&
    part !== null &&
    (depth === 0 || Object.values(part).some(inner => isTooDeep(inner, depth - 1)))
  const given = record(value, field)
  if (isTooDeep(given, MAX_DEPTH)) throw wrong(field, `nested at most ${MAX_DEPTH} deep`, value)
  return given
}
