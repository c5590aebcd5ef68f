/** Types for buffer-layout 1.2.2, which ships none. Only what lib/binary uses. */
declare module 'buffer-layout' {
  export class Layout<T = unknown> {
    constructor(span: number, property?: string)
    readonly span: number
    readonly property: string | undefined
    decode(source: Buffer, at?: number): T
    encode(value: T, target: Buffer, at?: number): number
    replicate(property: string): Layout<T>
  }
  export class Structure<T> extends Layout<T> {
    // biome-ignore lint/suspicious/noExplicitAny: fields of any value type; Struct gives each its own type back
    constructor(fields: readonly Layout<any>[], property?: string)
    offsetOf(property: string): number | undefined
  }
  export function u8(): Layout<number>
  export function u16(): Layout<number>
  export function u32(): Layout<number>
  export function s8(): Layout<number>
  export function u16be(): Layout<number>
  export function u32be(): Layout<number>
  export function blob(length: number): Layout<Buffer>
  export function seq<T>(element: Layout<T>, count: number): Layout<T[]>
}
