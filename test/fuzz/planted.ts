/** A format whose reader has every kind of mistake, by its first byte: the fuzzer has to find them all. */
import type { Target } from './target.ts'

const MiB = 1024 ** 2

const MISTAKES: Readonly<Record<number, (content: Buffer) => unknown>> = {
  1: content => (content as never as { field: { name: string } }).field.name,
  2: () => Buffer.alloc(600 * MiB),
  3: () => new Uint32Array(200 * MiB),
  4: () => {
    for (;;);
  },
  5: () => new Promise(() => {}),
  6: () => process.exit(7),
  7: () => void Promise.reject(new Error('nobody waits for it')),
}

export const planted: Target = {
  name: 'planted',
  load: async () => [
    {
      name: 'sound',
      content: Buffer.alloc(16),
      places: [{ kind: 'number', offset: 0, length: 1, fields: [] }],
      guarded: [{ offset: 8, length: 8 }],
    },
  ],
  seal() {},
  async exercise(content, observer) {
    observer.note(content)
    await MISTAKES[content[0]!]?.(content)
  },
}

export const targets = [planted]
