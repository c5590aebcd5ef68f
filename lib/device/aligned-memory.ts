/** Memory that begins at a page, which direct writes need, and that threads can share. */

/** All that is used of WebAssembly: nothing else in JavaScript says where in memory it lies. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    initial: number
    maximum: number
    shared: true
  }) => { readonly buffer: SharedArrayBuffer }
}

const WASM_PAGE = 64 * 1024

/** What direct writes are aligned to: the sectors of every disk, and the pages of memory. */
const ALIGNMENT = 4096

const aligned = new WeakSet<ArrayBufferLike>()

/** A buffer of `length` bytes in shared memory that begins at a page. */
export function alignedBuffer(length: number): Buffer {
  const pages = Math.ceil(length / WASM_PAGE)
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  aligned.add(buffer)
  return Buffer.from(buffer, 0, length)
}

/** Whether `bytes`, to be written at byte `offset`, lie so that they can be written directly. */
export const isAligned = (bytes: Buffer, offset: number) =>
  aligned.has(bytes.buffer) && [bytes.byteOffset, bytes.length, offset].every(value => value % ALIGNMENT === 0)
