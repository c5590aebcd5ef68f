/** Paths that may name a stream. */
import { expect, test } from 'vitest'
import { findStream } from '../../lib/extract/stream-path.ts'
import { FakeFiles } from './fake-files.ts'

const files = new FakeFiles({
  name: 'x',
  entries: [
    { name: 'a', streamContents: { Zone: '', zone: '', Note: '' } },
    { name: 'a:literal' },
    { name: 'odd:one' },
  ],
})

test.each([
  ['/x/a', '/x/a', undefined],
  ['/x/a:none', '/x/a', 'none'],
  ['/x/a:note', '/x/a', 'Note'],
  ['/x/a:NOTE:$DATA', '/x/a', 'Note'],
  ['/x/a:zone', '/x/a', 'zone'],
  ['/x/a::$data', '/x/a', undefined],
  ['/x/a:literal', '/x/a:literal', undefined],
  ['/x/odd:one:note', '/x/odd:one', 'note'],
  ['/x:note', '/x', 'note'],
])('%s is %s, stream %s', async (path, entryPath, stream) => {
  const found = await findStream(files, path)
  expect([found.entry.path, found.stream]).toEqual([entryPath, stream])
})

test.each(['/x/b', '/x/b:note', '/y/a:note', '/x:y/a', ':note'])('%s is not there', async path => {
  await expect(findStream(files, path)).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
})
