/** Reparse points: what each kind makes of a file, where links lead, what is damaged. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FormatError } from '../../lib/errors.ts'
import {
  decodeReparsePoint,
  describeReparsePoint,
  kindOfReparsePoint,
  linkTarget,
} from '../../lib/ntfs/reparse-point.ts'
import { tagName } from '../../lib/ntfs/reparse-tag.ts'
import { describeWith } from '../helpers/tools.ts'
import { linkData, reparseValue, setReparsePoint } from './reparse-points.ts'
import { openBytes, volumeBytes, volumeTools } from './volumes.ts'

const point = (tag: number, data: Buffer = Buffer.alloc(0)) => decodeReparsePoint(reparseValue(tag, data), 0x3000)
const utf16 = (text: string) => Buffer.from(text, 'utf16le')
const lxTarget = (target: string) => Buffer.concat([Buffer.from([2, 0, 0, 0]), Buffer.from(target)])
const nfs = (type: string, target = '') => Buffer.concat([Buffer.alloc(8, type.padEnd(8, '\0')), utf16(target)])

describe('a link', () => {
  test.each([
    ['a junction', point(0xa0000003, linkData('\\??\\C:\\Users', 'C:\\Users')), 'C:\\Users'],
    ['a junction without print name', point(0xa0000003, linkData('\\??\\C:\\Users', '')), 'C:\\Users'],
    ['a volume', point(0xa0000003, linkData('\\??\\Volume{1}\\', '')), 'Volume{1}\\'],
    ['a symbolic link', point(0xa000000c, linkData('..\\a', '..\\a', 1)), '..\\a'],
    ['a symbolic link without print name', point(0xa000000c, linkData('\\??\\D:\\a', '', 0)), 'D:\\a'],
    ['a link of WSL', point(0xa000001d, lxTarget('../größe')), '../größe'],
    ['a link of NFS', point(0x80000014, nfs('LNK\x01', '/a/b')), '/a/b'],
  ])('%s', (_, link, target) => {
    expect(kindOfReparsePoint(link)).toBe('link')
    expect(linkTarget(link)).toBe(target)
  })

  test.each([
    ['AF_UNIX', 0x80000023, 'other'],
    ['LX_FIFO', 0x80000024, 'other'],
    ['LX_BLK', 0x80000026, 'other'],
    ['WCI_TOMBSTONE', 0xa000001f, 'other'],
    ['WOF', 0x80000017, undefined],
    ['DEDUP', 0x80000013, undefined],
    ['CLOUD', 0x9000001a, undefined],
    ['CLOUD_6', 0x9000601a, undefined],
    ['ONEDRIVE', 0x80000021, undefined],
    ['APPEXECLINK', 0x8000001b, undefined],
  ])('%s is none', (name, tag, kind) => {
    expect(tagName(tag)).toBe(`IO_REPARSE_TAG_${name}`)
    expect(kindOfReparsePoint(point(tag))).toBe(kind)
    expect(linkTarget(point(tag))).toBeUndefined()
  })

  test('what NFS has besides', () => {
    expect(kindOfReparsePoint(point(0x80000014, nfs('FIFO')))).toBe('other')
    expect(linkTarget(point(0x80000014, nfs('CHR')))).toBeUndefined()
  })
})

describe('what there is to know', () => {
  test.each([
    [point(0x9000f01a), { tag: 0x9000f01a, tagName: 'IO_REPARSE_TAG_CLOUD_F', facts: { dataLength: 0 } }],
    [
      point(0xa000000c, linkData('a', 'b', 1)),
      {
        tag: 0xa000000c,
        tagName: 'IO_REPARSE_TAG_SYMLINK',
        facts: { substituteName: 'a', printName: 'b', relative: 'yes' },
      },
    ],
    [
      point(0x80000017, Buffer.from(Uint32Array.of(1, 2, 1, 3).buffer)),
      { tag: 0x80000017, tagName: 'IO_REPARSE_TAG_WOF', facts: { provider: 2, format: 3 } },
    ],
    [
      point(0x8000001b, Buffer.concat([Buffer.from([3, 0, 0, 0]), utf16('Package\0Package!App\0C:\\App.exe\x000\0')])),
      {
        tag: 0x8000001b,
        tagName: 'IO_REPARSE_TAG_APPEXECLINK',
        facts: { packageId: 'Package', entryPoint: 'Package!App', target: 'C:\\App.exe' },
      },
    ],
    [point(0x80000014, nfs('SOCK')), { tag: 0x80000014, tagName: 'IO_REPARSE_TAG_NFS', facts: { type: 'SOCK' } }],
    [point(0x80001234, Buffer.alloc(3)), { tag: 0x80001234, tagName: '0x80001234', facts: { dataLength: 3 } }],
  ])('of %j', (reparsePoint, expected) => {
    expect(describeReparsePoint(reparsePoint)).toEqual(expected)
  })

  test('of a tag that is not of Microsoft', () => {
    const value = Buffer.concat([
      reparseValue(0x0000_1234, Buffer.alloc(0)),
      Buffer.alloc(16, 0x11),
      Buffer.from('data'),
    ])
    value.writeUInt16LE(4, 4)
    const found = decodeReparsePoint(value, 0)
    expect(found.data.toString()).toBe('data')
    expect(describeReparsePoint(found).facts).toEqual({ guid: '11111111-1111-1111-1111-111111111111', dataLength: 4 })
  })
})

describe('damaged', () => {
  test.each([
    ['cut', Buffer.alloc(7)],
    ['data beyond the end', reparseValue(0x80000017, Buffer.alloc(4)).subarray(0, 11)],
    ['more than 16 KiB', reparseValue(0x80000017, Buffer.alloc(16 * 1024 - 7))],
    ['no GUID', reparseValue(0x1234, Buffer.alloc(0))],
  ])('%s', (_, value) => {
    expect(() => decodeReparsePoint(value, 0x3000)).toThrow(FormatError)
    expect(() => decodeReparsePoint(value, 0x3000)).toThrow('at byte 0x3000')
  })

  test.each([
    ['no names', point(0xa0000003)],
    ['a name beyond the end', point(0xa0000003, linkData('abc', 'abc').subarray(0, -1))],
    ['a link without flags', point(0xa000000c, Buffer.alloc(8))],
    ['NFS of no kind', point(0x80000014, Buffer.alloc(7))],
  ])('%s', (_, damaged) => {
    expect(() => [kindOfReparsePoint(damaged), linkTarget(damaged), describeReparsePoint(damaged)]).toThrow(FormatError)
  })

  test('any bytes', () => {
    const tags = fc.constantFrom(0xa0000003, 0xa000000c, 0xa000001d, 0x80000014, 0x80000017, 0x8000001b, 0x1234)
    fc.assert(
      fc.property(tags, fc.uint8Array({ maxLength: 60 }), (tag, bytes) => {
        try {
          const found = decodeReparsePoint(reparseValue(tag, Buffer.from(bytes)), 0)
          kindOfReparsePoint(found)
          linkTarget(found)
          describeReparsePoint(found)
        } catch (error) {
          if (!(error instanceof FormatError)) throw error
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describeWith([...volumeTools, 'setfattr'], 'on a volume', () => {
  test('links by ntfs-3g and by hand', async () => {
    const bytes = await volumeBytes({}, async folder => {
      await symlink('../some/where', join(folder, 'by ntfs-3g'))
      await mkdir(join(folder, 'junction'))
      await setReparsePoint(join(folder, 'junction'), 0xa0000003, linkData('\\??\\C:\\Users', 'C:\\Users'))
      await writeFile(join(folder, 'symbolic'), '')
      await setReparsePoint(join(folder, 'symbolic'), 0xa000000c, linkData('a\\b', 'a\\b', 1))
    })
    const files = await (await openBytes(bytes)).openFiles()
    expect(await files.stat('by ntfs-3g')).toMatchObject({ kind: 'link', target: '../some/where' })
    expect(await files.stat('junction')).toMatchObject({ kind: 'link', target: 'C:\\Users' })
    expect(await files.stat('symbolic')).toMatchObject({ kind: 'link', target: 'a\\b', error: undefined })
  })
})
