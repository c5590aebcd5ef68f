/** Hashes of many files: in order, and one that is damaged costs no other. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FormatError, NotFoundError, StorageError } from '../../lib/errors.ts'
import { type HashOptions, type HashSource, hashContents } from '../../lib/extract/hash-entries.ts'
import type { Entry } from '../../lib/volume/entry.ts'
import { collect } from '../helpers/collect.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { type FakeEntry, FakeFiles } from './fake-files.ts'

const MiB = 1024 ** 2
const digest = (content: Buffer | string, algorithm = 'sha256') => createHash(algorithm).update(content).digest('hex')

async function hashed(entries: readonly FakeEntry[], options: HashOptions = {}) {
  const files = new FakeFiles(...entries)
  const list = await collect(files.list(await files.stat('/')))
  const portions = hashContents(files, batches(list.map(entry => ({ entry }))), options)
  return (await collect(portions)).flat().map(({ entry, hash, error }) => [entry.name, hash ?? error?.code])
}

async function* batches(...list: readonly (readonly HashSource[])[]) {
  yield* list
}

test('in the order they came, although read in the order of the disk', async () => {
  const order: string[] = []
  const device = (name: string) =>
    new (class extends MemoryDevice {
      override async read(offset: number, target: Buffer): Promise<void> {
        order.push(name)
        await super.read(offset, target)
      }
    })(Buffer.from(name))
  const entries = ['c', 'a', 'b'].map((name, i) => ({ name, content: device(name), position: [30, 10, 20][i]! }))
  expect(await hashed(entries)).toEqual(['c', 'a', 'b'].map(name => [name, digest(name)]))
  expect(order).toEqual(['a', 'b', 'c'])
})

test('contents of all sizes, in portions', async () => {
  const sizes = [0, 1, MiB - 1, MiB, MiB + 1, 3 * MiB + 7, 70 * MiB, 5]
  const entries = sizes.map((size, i) => ({ name: `${i}`, content: pattern(size, i) }))
  expect(await hashed(entries)).toEqual(entries.map(({ name, content }) => [name, digest(content)]))
})

test('what has no content has no hash; what is damaged has an error; the others have theirs', async () => {
  const bad = (code: string) => new FormatError(code, 'damaged')
  const worn = new FaultyDevice(new MemoryDevice(pattern(3 * MiB)), { unreadable: [{ offset: 2 * MiB, length: 512 }] })
  const entries: FakeEntry[] = [
    { name: 'directory', entries: [] },
    { name: 'link', kind: 'link' },
    { name: 'only an index', content: new NotFoundError('NO_SUCH_STREAM', 'it has no content') },
    { name: 'known', error: bad('RECORD') },
    { name: 'opening', content: bad('OPENING') },
    { name: 'reading', content: worn },
    { name: 'good', content: 'good' },
  ]
  expect(await hashed(entries)).toEqual([
    ['directory', undefined],
    ['link', undefined],
    ['only an index', undefined],
    ['known', 'RECORD'],
    ['opening', 'OPENING'],
    ['reading', expect.any(String)],
    ['good', digest('good')],
  ])
})

test('streams, and other algorithms', async () => {
  const files = new FakeFiles({ name: 'a', content: 'content', streamContents: { note: 'noted' } })
  const entry: Entry = await files.stat('/a')
  const portions = hashContents(files, batches([{ entry }, { entry, stream: 'note' }]), { algorithm: 'md5' })
  expect((await collect(portions)).flat().map(({ hash }) => hash)).toEqual([
    digest('content', 'md5'),
    digest('noted', 'md5'),
  ])
})

test('a disk that went away ends it, and so does the signal', async () => {
  const gone = { name: 'a', content: new StorageError('DEVICE_GONE', 'gone') }
  await expect(hashed([gone])).rejects.toThrow('gone')
  const signal = AbortSignal.abort(new Error('enough'))
  await expect(hashed([{ name: 'a', content: 'x' }], { signal })).rejects.toThrow('enough')
})
