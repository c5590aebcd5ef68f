/** Content that is not in the volume or has no key: an error by name, from a list and from opening alike. */
import { mkdir, open, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decodeReparsePoint } from '../../lib/ntfs/reparse-point.ts'
import { type StreamFacts, whyUndecodable } from '../../lib/ntfs/undecodable.ts'
import { FileAttribute } from '../../lib/volume/entry.ts'
import { noise } from '../codec/wof-streams.ts'
import { collect } from '../helpers/collect.ts'
import { describeWith, testWith } from '../helpers/tools.ts'
import { reparseValue, setReparsePoint } from './reparse-points.ts'
import { attributePlace, openBytes, recordOf, volumeBytes, volumeTools } from './volumes.ts'

const wof = (provider: number, format: number) => Buffer.from(Uint32Array.of(1, provider, 1, format).buffer)
const point = (tag: number, data: Buffer = Buffer.alloc(0)) => decodeReparsePoint(reparseValue(tag, data), 0)
const PLAIN: StreamFacts = {
  name: '',
  flags: 0,
  size: 1000,
  isHole: false,
  hasHole: false,
  fileAttributes: 0x20,
  reparsePoint: undefined,
  leftOut: undefined,
}
const leftOut = { path: '\\pagefile.sys', reason: 'pagefile', bytes: 1000, clusters: 1 } as const
const AWAY = { isHole: true, hasHole: true }
const PARTS = { hasHole: true }
const OFFLINE = { fileAttributes: FileAttribute.offline }
const RECALLED = { fileAttributes: FileAttribute.recallOnDataAccess }

describe('whether a stream can be read', () => {
  test.each<[string, Partial<StreamFacts>, string | undefined]>([
    ['a plain file', {}, undefined],
    ['a plain hole', AWAY, undefined],
    ['LZNT1', { flags: 1 }, undefined],
    ['sparse', { flags: 0x8000 }, undefined],
    ['left out', { leftOut }, 'LEFT_OUT'],
    ['a stream of what was left out', { leftOut, name: 'second' }, undefined],
    ['encrypted', { flags: 0x4000 }, 'NTFS_ENCRYPTED'],
    ['an encrypted stream', { flags: 0xc000, name: 'second' }, 'NTFS_ENCRYPTED'],
    ['compressed in an unknown way', { flags: 2 }, 'NTFS_COMPRESSION_UNKNOWN'],
    ...[0, 1, 2, 3].map((format): [string, Partial<StreamFacts>, undefined] => [
      `WOF of format ${format}`,
      { ...AWAY, reparsePoint: point(0x80000017, wof(2, format)) },
      undefined,
    ]),
    ['WOF of format 4', { ...AWAY, reparsePoint: point(0x80000017, wof(2, 4)) }, 'NTFS_WOF_UNKNOWN'],
    ['WOF of provider 3', { ...AWAY, reparsePoint: point(0x80000017, wof(3, 0)) }, 'NTFS_WOF_UNKNOWN'],
    ['WIMBoot', { ...AWAY, reparsePoint: point(0x80000017, wof(1, 0)) }, 'NTFS_WIM_BACKED'],
    ['a mounted WIM', { reparsePoint: point(0x80000008) }, 'NTFS_WIM_BACKED'],
    ['deduplicated', { ...AWAY, reparsePoint: point(0x80000013) }, 'NTFS_DEDUPLICATED'],
    ['deduplicated and empty', { ...AWAY, size: 0, reparsePoint: point(0x80000013) }, undefined],
    ['a stream of a deduplicated file', { name: 'second', reparsePoint: point(0x80000013) }, undefined],
    ['single instance', { reparsePoint: point(0x80000007) }, 'NTFS_SINGLE_INSTANCE'],
    ['HSM, away', { ...OFFLINE, reparsePoint: point(0xc0000004) }, 'NTFS_HSM'],
    ['HSM 2, away', { ...AWAY, reparsePoint: point(0x80000006) }, 'NTFS_HSM'],
    ['HSM, parts of it', { ...PARTS, reparsePoint: point(0xc0000004) }, 'NTFS_HSM'],
    ['HSM, here', { reparsePoint: point(0xc0000004) }, undefined],
    ...[0x9000001a, 0x9000601a, 0x9000f01a, 0x80000021, 0x8000001e, 0x9000001c].flatMap(
      (tag): [string, Partial<StreamFacts>, string | undefined][] => [
        [`cloud ${tag.toString(16)}, a hole`, { ...AWAY, reparsePoint: point(tag) }, 'NTFS_CLOUD_PLACEHOLDER'],
        [`cloud ${tag.toString(16)}, offline`, { ...OFFLINE, reparsePoint: point(tag) }, 'NTFS_CLOUD_PLACEHOLDER'],
        [`cloud ${tag.toString(16)}, in part`, { ...RECALLED, reparsePoint: point(tag) }, 'NTFS_CLOUD_PLACEHOLDER'],
        [`cloud ${tag.toString(16)}, with holes`, { ...PARTS, reparsePoint: point(tag) }, 'NTFS_CLOUD_PLACEHOLDER'],
        [`cloud ${tag.toString(16)}, here`, { reparsePoint: point(tag) }, undefined],
      ],
    ),
    [
      'cloud, here, with extended attributes',
      { fileAttributes: FileAttribute.recallOnOpen, reparsePoint: point(0x9000001a) },
      undefined,
    ],
    ['a container layer', { ...AWAY, reparsePoint: point(0x90001018) }, 'NTFS_PLACEHOLDER'],
    ['an unknown tag, a hole', { ...AWAY, reparsePoint: point(0x80004321) }, 'NTFS_PLACEHOLDER'],
    ['an unknown tag, sparse', { ...PARTS, reparsePoint: point(0x80004321) }, undefined],
    ['an unknown tag, here', { reparsePoint: point(0x80004321) }, undefined],
    ['a link with a hole', { ...AWAY, reparsePoint: point(0xa000000c) }, undefined],
  ])('%s', (_, facts, code) => {
    expect(whyUndecodable({ ...PLAIN, ...facts })?.code).toBe(code)
  })
})

/** Files of 100,000 bytes that are one hole, and files that are not, each with a tag. */
const HOLES: readonly [string, number, string][] = [
  ['dedup', 0x80000013, 'NTFS_DEDUPLICATED'],
  ['cloud', 0x9000601a, 'NTFS_CLOUD_PLACEHOLDER'],
  ['old cloud', 0x80000021, 'NTFS_CLOUD_PLACEHOLDER'],
  ['hsm', 0xc0000004, 'NTFS_HSM'],
  ['sis', 0x80000007, 'NTFS_SINGLE_INSTANCE'],
]

describeWith([...volumeTools, 'setfattr'], 'a volume', () => {
  test('lists with the error what it refuses to open, and reads the rest', async () => {
    const bytes = await volumeBytes({}, async folder => {
      for (const [name, tag] of HOLES) {
        await writeFile(join(folder, name), '')
        await truncate(join(folder, name), 100_000)
        await writeFile(join(folder, `${name}:second`), 'is read')
        await setReparsePoint(join(folder, name), tag, Buffer.alloc(20, 1))
      }
      await writeFile(join(folder, 'wim'), '')
      await truncate(join(folder, 'wim'), 100_000)
      await setReparsePoint(join(folder, 'wim'), 0x80000017, wof(1, 0))
      await writeFile(join(folder, 'no stream'), '')
      await truncate(join(folder, 'no stream'), 100_000)
      await setReparsePoint(join(folder, 'no stream'), 0x80000017, wof(2, 1))
      await writeFile(join(folder, 'on the disk'), noise(50_000))
      await setReparsePoint(join(folder, 'on the disk'), 0x9000601a, Buffer.alloc(20, 1))
      const parts = await open(join(folder, 'in part'), 'w')
      await parts.truncate(100_000)
      await parts.write(noise(8192), 0, 8192, 40_960).finally(() => parts.close())
      await setReparsePoint(join(folder, 'in part'), 0x9000601a, Buffer.alloc(20, 1))
      await mkdir(join(folder, 'synchronised'))
      await setReparsePoint(join(folder, 'synchronised'), 0x9000601a, Buffer.alloc(20, 1))
    })
    const files = await (await openBytes(bytes)).openFiles()
    for (const [name, , code] of [...HOLES, ['wim', 0, 'NTFS_WIM_BACKED'] as const]) {
      const entry = await files.stat(name)
      expect(entry).toMatchObject({ kind: 'file', size: 100_000, error: { code, name: 'UnsupportedError' } })
      await expect(files.open(entry)).rejects.toMatchObject({ code })
      if (name === 'wim') continue
      const second = await files.open(entry, 'second')
      const target = Buffer.alloc(7)
      await second.read(0, target)
      expect(target.toString()).toBe('is read')
    }
    const parts = await files.stat('in part')
    const refused = { code: 'NTFS_CLOUD_PLACEHOLDER', message: expect.stringContaining('parts of the content') }
    expect(parts.error).toMatchObject(refused)
    await expect(files.open(parts)).rejects.toMatchObject(refused)
    await expect(files.open(await files.stat('no stream'))).rejects.toMatchObject({ code: 'NTFS_WOF_STREAM' })
    await expect(files.open(await files.stat('no stream'), 'third')).rejects.toMatchObject({ code: 'NO_SUCH_STREAM' })
    const here = await files.open(await files.stat('on the disk'))
    const content = Buffer.alloc(50_000)
    await here.read(0, content)
    expect(content.equals(noise(50_000))).toBe(true)
    const directory = await files.stat('synchronised')
    expect(directory).toMatchObject({ kind: 'directory', error: undefined })
    expect(await collect(files.list(directory))).toEqual([])
  })
})

testWith(volumeTools, 'encrypted content is refused, and given raw when asked for', async () => {
  const ciphertext = noise(100_000)
  const bytes = await volumeBytes({}, folder => writeFile(join(folder, 'secret'), ciphertext))
  const data = attributePlace(bytes, recordOf(bytes, 'secret'), 0x80)
  bytes.writeUInt16LE(0x4000, data + 0x0c)
  // All of its clusters are written, also what lies after the end.
  bytes.writeBigUInt64LE(99_700n, data + 0x30)
  bytes.writeBigUInt64LE(99_700n, data + 0x38)
  const files = await (await openBytes(bytes)).openFiles()
  const entry = await files.stat('secret')
  expect(entry).toMatchObject({ size: 99_700, error: { code: 'NTFS_ENCRYPTED' } })
  await expect(files.open(entry)).rejects.toMatchObject({ code: 'NTFS_ENCRYPTED' })
  const raw = await files.open(entry, '', { raw: true })
  expect(raw.size).toBe(Math.ceil(99_700 / 512) * 512)
  const target = Buffer.alloc(raw.size)
  await raw.read(0, target)
  expect(target.equals(ciphertext.subarray(0, raw.size))).toBe(true)

  bytes.writeBigUInt64LE(50_000n, data + 0x38)
  const less = await (await (await openBytes(bytes)).openFiles()).open(entry, '', { raw: true })
  await less.read(0, target)
  const written = Math.ceil(50_000 / 512) * 512
  expect(target.equals(Buffer.concat([ciphertext.subarray(0, written), Buffer.alloc(raw.size - written)]))).toBe(true)
})

testWith(volumeTools, 'what the capture left out is said, not read', async () => {
  const bytes = await volumeBytes({}, folder => writeFile(join(folder, 'pagefile.sys'), noise(10_000)))
  const record = recordOf(bytes, 'pagefile.sys')
  const files = await (await openBytes(bytes)).openFiles({ leftOut: [{ ...leftOut, record }] })
  const entry = await files.stat('pagefile.sys')
  expect(entry).toMatchObject({ size: 10_000, error: { code: 'LEFT_OUT' } })
  await expect(files.open(entry)).rejects.toThrow('left out when the volume was captured (pagefile)')
})
