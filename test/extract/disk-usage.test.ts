/** What directories come to. */
import { expect, test } from 'vitest'
import { FormatError, UnsupportedError } from '../../lib/errors.ts'
import { diskUsage } from '../../lib/extract/disk-usage.ts'
import { type FakeEntry, FakeFiles } from './fake-files.ts'

const file = (name: string, size: number, more: Partial<FakeEntry> = {}): FakeEntry => ({
  name,
  content: 'x'.repeat(size),
  allocatedSize: 4096,
  ...more,
})

const files = new FakeFiles(
  file('top', 1),
  {
    name: 'b',
    allocatedSize: 100,
    entries: [
      file('one', 10, { record: 7, links: 2 }),
      { name: 'deep', entries: [file('two', 20), file('again', 10, { record: 7, links: 2 })] },
    ],
  },
  {
    name: 'a b',
    entries: [
      file('bad', 0, { error: new FormatError('DAMAGED', 'damaged') }),
      file('secret', 0, { error: new UnsupportedError('EFS', 'encrypted') }),
    ],
  },
  { name: 'empty', entries: [] },
)

const usage = async (path: string, depth?: number) =>
  (await diskUsage(files, await files.stat(path), { depth })).map(
    ({ path, size, allocatedSize, files, directories, errors }) =>
      `${path}: ${size} ${allocatedSize} ${files} ${directories} ${errors}`,
  )

test('each directory with all that is below, which stands before it; a file of two names counts once', async () => {
  expect(await usage('/')).toEqual([
    '/a b: 0 8192 2 1 1',
    '/b/deep: 20 4096 2 1 0',
    '/b: 30 8292 3 2 0',
    '/empty: 0 0 0 1 0',
    '/: 31 20580 6 5 1',
  ])
})

test('down to a depth', async () => {
  expect(await usage('/', 0)).toEqual(['/: 31 20580 6 5 1'])
  expect(await usage('/', 1)).toHaveLength(4)
  expect(await usage('/b', 0)).toEqual(['/b: 30 8292 3 2 0'])
})

test('a file by itself', async () => {
  expect(await usage('/top')).toEqual(['/top: 1 4096 1 0 0'])
})
