/** Directories in the order in which people read them, each once. */
import { expect, test } from 'vitest'
import { FormatError } from '../../lib/errors.ts'
import { DirectoryWalk } from '../../lib/extract/directory-walk.ts'
import { FakeFiles } from './fake-files.ts'

test('by name, whatever the case', async () => {
  const files = new FakeFiles(...['b', 'a', 'C', 'B', 'ä', '10', '9'].map(name => ({ name })))
  const entries = await new DirectoryWalk(files).list(await files.stat('/'))
  expect(entries.map(({ name }) => name)).toEqual(['10', '9', 'a', 'B', 'b', 'C', 'ä'])
})

test('a directory that is found in two places is listed in one', async () => {
  const files = new FakeFiles(
    { name: 'a', record: 40, entries: [{ name: 'inside' }] },
    { name: 'b', record: 40, entries: [{ name: 'inside' }] },
    { name: 'c', position: 4096, entries: [] },
    { name: 'd', position: 4096, entries: [] },
    { name: 'e', entries: [] },
    { name: 'f', entries: [] },
  )
  const walk = new DirectoryWalk(files)
  const outcome = async (path: string) => {
    const list = walk.list(await files.stat(path))
    return list.then(
      entries => entries.length,
      error => (error as FormatError).code,
    )
  }
  const paths = ['/a', '/b', '/c', '/d', '/e', '/f']
  const outcomes: unknown[] = []
  for (const path of paths) outcomes.push(await outcome(path))
  expect(outcomes).toEqual([1, 'DIRECTORY_TWICE', 0, 'DIRECTORY_TWICE', 0, 0])
})

test('a damaged directory is not entered', async () => {
  const files = new FakeFiles({ name: 'a', entries: [{ name: 'b' }], error: new FormatError('BAD', 'bad') })
  await expect(new DirectoryWalk(files).list(await files.stat('/a'))).rejects.toThrow('bad')
})
