/** Watches over memory: a single buffer, and the process as a whole. */
import { BrokenPromise } from './observer.ts'

/** What one case may take beyond what the process had before. */
export const MEMORY_LIMIT = 512 * 1024 ** 2
/** No part of reading an input of a few MiB needs a buffer of that size. */
const BUFFER_LIMIT = 128 * 1024 ** 2

const ARRAYS = [
  'Uint8Array',
  'Int8Array',
  'Uint16Array',
  'Uint32Array',
  'Int32Array',
  'Float64Array',
  'BigUint64Array',
] as const

/** Makes every request for a large buffer throw where it is made: the system would give it out untouched, and say nothing. */
export function watchBuffers(): void {
  for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
    const allocate: (size: number, ...rest: never[]) => Buffer<ArrayBuffer> = Buffer[name]
    Buffer[name] = (size: number, ...rest: never[]) => allocate(checked(size, 1), ...rest)
  }
  for (const name of ARRAYS) {
    const type = globalThis[name]
    globalThis[name] = new Proxy(type, {
      construct(target, args: unknown[], newTarget) {
        if (typeof args[0] === 'number') checked(args[0], type.BYTES_PER_ELEMENT)
        return Reflect.construct(target, args, newTarget)
      },
    }) as never
  }
}

function checked(count: number, size: number): number {
  if (count * size > BUFFER_LIMIT) throw new BrokenPromise(`a buffer of ${count * size} bytes is asked for`)
  return count
}

/** Says afterwards how much more memory `work` took than there was before, as far as it was more than ever before. */
export function memoryMeter(): () => number {
  const before = process.memoryUsage.rss()
  const peak = peakMemory()
  return () => (peakMemory() > peak ? peakMemory() - before : 0)
}

/** The most memory this process ever had. */
const peakMemory = () => process.resourceUsage().maxRSS * 1024
