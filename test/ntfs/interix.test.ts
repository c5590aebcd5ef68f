/** Links and devices as Interix made them, and ntfs-3g makes them: shown as what they are, never as small files. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { decodeInterix } from '../../lib/ntfs/interix.ts'
import { run } from '../helpers/run.ts'
import { testWith } from '../helpers/tools.ts'
import { describeAll, scan, walk } from './listing.ts'
import { openBytes, volumeBytes, volumeTools } from './volumes.ts'

testWith(volumeTools, 'what ntfs-3g made', async () => {
  const bytes = await volumeBytes({}, async folder => {
    await mkdir(join(folder, 'folder'))
    await symlink('../plain Größe', join(folder, 'folder/link'))
    await symlink('/etc/passwd', join(folder, 'absolute'))
    await run('mknod', [join(folder, 'character'), 'c', '1', '3'])
    await run('mknod', [join(folder, 'block'), 'b', '8', '1'])
    await writeFile(join(folder, 'plain Größe'), 'IntxLNK\x01is only a file that begins so')
  })
  const files = await (await openBytes(bytes)).openFiles()
  const nothing = { size: 0, error: undefined }
  expect(await files.stat('/folder/link')).toMatchObject({ ...nothing, kind: 'link', target: '../plain Größe' })
  expect(await files.stat('/absolute')).toMatchObject({ ...nothing, kind: 'link', target: '/etc/passwd' })
  for (const device of ['character', 'block']) {
    const entry = await files.stat(device)
    expect(entry).toMatchObject({ ...nothing, kind: 'other', target: undefined })
    await expect(files.open(entry)).rejects.toThrow(`/${device} is a device, a pipe, a socket or the like`)
  }
  expect(await files.stat('/plain Größe')).toMatchObject({ kind: 'file', size: 37 })
  expect(describeAll(await walk(files, await files.stat('/')))).toEqual(describeAll(await scan(files)))
})

test.each([
  ['a link', 'IntxLNK\x01a\0/\0b\0', { kind: 'link', target: 'a/b' }],
  ['a character device', `IntxCHR\0${'\0'.repeat(16)}`, { kind: 'other', target: undefined }],
  ['a link of another version', 'IntxLNK\x02a\0', undefined],
  ['only the first letters', 'Intx', undefined],
])('%s', (_, content, expected) => {
  expect(decodeInterix(Buffer.from(content, 'latin1'))).toEqual(expected)
})
