/** Large content goes past the page cache where the file system takes that, and is the same bytes everywhere. */
import { open, readFile, stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { alignedBuffer } from '../../lib/device/aligned-memory.ts'
import { BufferPool } from '../../lib/device/buffer-pool.ts'
import { copyContent } from '../../lib/extract/copy-content.ts'
import { scratch } from '../helpers/folders.ts'
import { sparseDevice } from '../helpers/sparse-device.ts'
import { run, testWith } from '../helpers/tools.ts'

/** Pieces that begin and end anywhere, and a hole. */
const SIZE = 24 * MiB + 5
const content = sparseDevice(SIZE, [
  { offset: 0, length: 5 * MiB + 1000 },
  { offset: 6 * MiB + 512, length: 4 * MiB },
  { offset: 20 * MiB, length: 4 * MiB + 5 },
])

async function expectCopied(path: string): Promise<void> {
  let told = 0
  await using file = await open(path, 'wx')
  await copyContent(content, file, path, {
    buffers: new BufferPool(3, MiB, alignedBuffer),
    signal: undefined,
    onCopied: bytes => {
      told += bytes
    },
  })
  expect(told).toBe(13 * MiB + 1005)
  const expected = Buffer.alloc(SIZE)
  await content.read(0, expected)
  expect((await readFile(path)).equals(expected)).toBe(true)
  expect((await stat(path)).blocks * 512).toBeLessThan(16 * MiB)
}

test('large content with holes', async () => {
  await using folder = await scratch()
  await expectCopied(folder.path('copied'))
})

testWith(['root'], 'on a file system in memory', async () => {
  await using folder = await scratch()
  await run('mount', ['-t', 'tmpfs', 'tmpfs', folder.path('.')])
  await expectCopied(folder.path('copied')).finally(() => run('umount', [folder.path('.')]))
})
