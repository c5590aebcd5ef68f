/** Binary structures: declared once, then decoded, encoded, probed and measured from that declaration. */
import { type Layout, Structure } from 'buffer-layout'
import { FormatError, hex } from '../errors.ts'
import { Fixed } from './fields.ts'

// biome-ignore lint/suspicious/noExplicitAny: a record of fields of any value type; `ValueOf` gives each its own type back
type Fields = Readonly<Record<string, Layout<any>>>

type ValueOf<F extends Fields> = {
  -readonly [Name in keyof F as F[Name] extends Fixed ? never : Name]: F[Name] extends Layout<infer T> ? T : never
}

/** The type a struct decodes to: `type Header = Infer<typeof header>`. */
export type Infer<S> = S extends Struct<infer F> ? ValueOf<F> : never

/**
 * Declares the structure `name`, whose fields lie one after another with no gaps.
 * `size` is what the specification says; a declaration that adds up to anything else throws at load.
 */
export const struct = <const F extends Fields>(name: string, size: number, fields: F) => new Struct(name, size, fields)

/** A declared structure. Decoding errors name structure, field and absolute byte. */
export class Struct<F extends Fields> extends Structure<ValueOf<F>> {
  readonly name: string
  readonly size: number
  readonly #places: readonly {
    name: string
    offset: number
    field: Layout<unknown>
  }[]

  constructor(name: string, size: number, fields: F) {
    super(Object.entries(fields).map(([key, field]) => field.replicate(key)))
    this.name = name
    this.size = size
    if (this.span !== size) throw new Error(`${name} adds up to ${this.span} bytes, its specification says ${size}`)
    this.#places = Object.entries(fields).map(([key, field]) => ({
      name: key,
      offset: this.offsetOf(key),
      field,
    }))
  }

  /** Where `field` lies from the start of the structure, in bytes. */
  override offsetOf(field: keyof F & string): number {
    return super.offsetOf(field)!
  }

  /** Name, offset and size of each field in order, for `inspect` and for tests that flip every byte. */
  get fieldPlaces(): readonly { name: string; offset: number; size: number }[] {
    return this.#places.map(({ name, offset, field }) => ({
      name,
      offset,
      size: field.span,
    }))
  }

  /** Whether the signature and every other constant are in place. */
  matches(source: Buffer, at = 0): boolean {
    return (
      source.length - at >= this.size &&
      this.#places.every(({ field, offset }) => !(field instanceof Fixed) || field.isIn(source, at + offset))
    )
  }

  /**
   * Reads the structure at `at` of `source`. `position` is where `source` itself lies on its device, for error messages.
   * Throws FormatError: TRUNCATED, BAD_CONSTANT, NUMBER_TOO_LARGE.
   */
  override decode(source: Buffer, at = 0, position = 0): ValueOf<F> {
    if (source.length - at < this.size) {
      const left = Math.max(source.length - at, 0)
      throw new FormatError(
        'TRUNCATED',
        `${this.name} at byte ${hex(position + at)} needs ${this.size} bytes, but only ${left} are left`,
        {
          structure: this.name,
          position: position + at,
          expected: this.size,
          actual: left,
        },
      )
    }
    const value: Record<string, unknown> = {}
    for (const { name, offset, field } of this.#places) {
      try {
        const decoded =
          field instanceof Struct ? field.decode(source, at + offset, position) : field.decode(source, at + offset)
        if (!(field instanceof Fixed)) value[name] = decoded
      } catch (error) {
        throw this.#located(error, name, position + at + offset)
      }
    }
    return value as ValueOf<F>
  }

  /** Writes `value` at `at` of `target`. Throws RangeError naming the field when a value is missing or does not fit. */
  override encode(value: ValueOf<F>, target: Buffer, at = 0): number {
    for (const { name, offset, field } of this.#places) {
      try {
        field.encode(value[name as keyof ValueOf<F>], target, at + offset)
      } catch (error) {
        throw new RangeError(`cannot write ${this.name}.${name}: ${(error as Error).message}`, { cause: error })
      }
    }
    return this.size
  }

  toBuffer(value: ValueOf<F>): Buffer {
    const target = Buffer.alloc(this.size)
    this.encode(value, target)
    return target
  }

  #located(error: unknown, field: string, position: number): unknown {
    if (!(error instanceof FormatError) || 'field' in error.details) return error
    return new FormatError(
      error.code,
      `${this.name}.${field} at byte ${hex(position)} ${error.message}`,
      { ...error.details, structure: this.name, field, position },
      { cause: error },
    )
  }
}
