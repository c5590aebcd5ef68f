/** Aligned writes go past the page cache, others through it: together they must be one file. */
import { readFile, stat } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { alignedBuffer, isAligned } from '../../lib/device/aligned-memory.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'

const PAGE = 4096
const PAGES = 64

const anyWrite = fc.record({
  page: fc.nat(PAGES - 1),
  pages: fc.integer({ min: 1, max: 8 }),
  aligned: fc.boolean(),
  seed: fc.nat(1000),
})

async function expectOneFile(path: (name: string) => string): Promise<void> {
  let count = 0
  await fc.assert(
    fc.asyncProperty(fc.array(anyWrite, { maxLength: 25 }), async writes => {
      const name = path(`file-${count++}`)
      const expected = Buffer.alloc((PAGES + 8) * PAGE)
      const file = await FileDevice.open(name, { mode: 'create' })
      await file.write(0, expected)
      for (const { page, pages, aligned, seed } of writes) {
        const bytes = aligned ? alignedBuffer(pages * PAGE) : Buffer.alloc(pages * PAGE)
        pattern(bytes.length, seed).copy(bytes)
        await file.write(page * PAGE, bytes)
        bytes.copy(expected, page * PAGE)
        const read = Buffer.alloc(bytes.length)
        await file.read(page * PAGE, read)
        expect(read.equals(bytes)).toBe(true)
      }
      await file.flush()
      await file.close()
      expect((await readFile(name)).equals(expected)).toBe(true)
      expect((await stat(name)).blocks * 512).toBeGreaterThanOrEqual(expected.length)
    }),
    { numRuns: 20 },
  )
}

test('aligned and other writes to one file, in any order', async () => {
  await using folder = await scratch()
  await expectOneFile(folder.path)
})

testWith(['root'], 'where the file system may not take direct writes', async () => {
  await using folder = await scratch()
  await run('mount', ['-t', 'tmpfs', 'tmpfs', folder.path('.')])
  await expectOneFile(folder.path).finally(() => run('umount', [folder.path('.')]))
})

test('a buffer is aligned when its memory and its place are', () => {
  const buffer = alignedBuffer(3 * PAGE)
  expect(isAligned(buffer, PAGE)).toBe(true)
  expect(isAligned(buffer, 512)).toBe(false)
  expect(isAligned(buffer.subarray(512), 0)).toBe(false)
  expect(isAligned(buffer.subarray(0, 100), 0)).toBe(false)
  expect(isAligned(Buffer.alloc(PAGE), 0)).toBe(false)
})
