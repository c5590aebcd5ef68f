/** Finding entries by what they are. */
import { expect, test } from 'vitest'
import { type FindOptions, findEntries } from '../../lib/extract/find.ts'
import { collect } from '../helpers/collect.ts'
import { FakeFiles } from './fake-files.ts'

const files = new FakeFiles(
  { name: 'a.txt', content: 'x'.repeat(10), modified: 100n },
  {
    name: 'Users',
    modified: 50n,
    entries: [
      { name: 'B.TXT', content: 'x'.repeat(20), modified: 200n },
      { name: 'link', kind: 'link', content: '', modified: 100n },
      { name: 'timeless.txt', content: 'x', modified: undefined },
    ],
  },
)

async function found(options: FindOptions, start = '/'): Promise<string[]> {
  const batches = await collect(findEntries(files, await files.stat(start), options))
  return batches.flat().map(({ path }) => path)
}

test.each<[string, FindOptions, string[]]>([
  ['all', {}, ['/', '/a.txt', '/Users/B.TXT', '/Users/link', '/Users/timeless.txt', '/Users']],
  ['by name, whatever the case', { names: ['*.txt'] }, ['/a.txt', '/Users/B.TXT', '/Users/timeless.txt']],
  ['by any of several names', { names: ['a*', 'l?nk'] }, ['/a.txt', '/Users/link']],
  ['by path', { names: ['/Users/*.txt'] }, ['/Users/B.TXT', '/Users/timeless.txt']],
  ['by kind', { kinds: ['directory', 'link'] }, ['/', '/Users/link', '/Users']],
  ['by size, both ends included', { minSize: 10, maxSize: 20 }, ['/a.txt', '/Users/B.TXT']],
  ['newer', { newerThan: 100n, kinds: ['file'] }, ['/Users/B.TXT']],
  ['older', { olderThan: 200n, kinds: ['file', 'link'] }, ['/a.txt', '/Users/link']],
  ['all of it together', { names: ['*.txt'], minSize: 15, newerThan: 1n }, ['/Users/B.TXT']],
])('%s', async (_, options, paths) => {
  expect(await found(options)).toEqual(paths)
})

test('below a directory, and a file itself', async () => {
  expect(await found({ names: ['*.txt'] }, '/Users')).toEqual(['/Users/B.TXT', '/Users/timeless.txt'])
  expect(await found({}, '/a.txt')).toEqual(['/a.txt'])
  expect(await found({ minSize: 11 }, '/a.txt')).toEqual([])
})
