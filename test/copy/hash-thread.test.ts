import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { HashThread } from '../../lib/copy/hash-thread.ts'
import { alignedBuffer } from '../../lib/device/aligned-memory.ts'
import { pattern } from '../helpers/pattern.ts'

const bytes = alignedBuffer(100_000)
pattern(bytes.length).copy(bytes)
const ended = { name: 'StorageError', code: 'THREAD_ENDED' }

/** Claims to lie beyond its memory, which is an error on the thread. */
const poison = Object.defineProperty(alignedBuffer(1), 'byteOffset', { value: 100_000 })

test('hashes many pieces at a time, each its own', async () => {
  await using thread = new HashThread()
  const pieces = Array.from({ length: 50 }, (_, i) => bytes.subarray(i * 100, i * 1000 + 1))
  const digests = await Promise.all(pieces.map(piece => thread.sha256(piece)))
  expect(digests).toEqual(pieces.map(piece => createHash('sha256').update(piece).digest()))
})

test('a thread that ends by an error rejects the jobs under way and all to come', async () => {
  await using thread = new HashThread()
  const jobs = [thread.sha256(poison), thread.sha256(bytes)]
  for (const job of jobs) await expect(job).rejects.toMatchObject(ended)
  await expect(thread.sha256(bytes)).rejects.toMatchObject({ ...ended, message: expect.stringContaining('length') })
})

test('a thread that was closed, with no job under way or with one, answers nothing more', async () => {
  const idle = new HashThread()
  await idle[Symbol.asyncDispose]()
  await expect(idle.sha256(bytes)).rejects.toMatchObject(ended)

  const busy = new HashThread()
  const job = expect(busy.sha256(bytes)).rejects.toMatchObject(ended)
  await busy[Symbol.asyncDispose]()
  await job
})
