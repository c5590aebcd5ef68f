/** Security descriptors: the bytes and parts that ntfs-3g's audit finds, and the text that Windows writes. */
import { describe, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { FormatError, hex, UnsupportedError } from '../../lib/errors.ts'
import type { Finding } from '../../lib/finding.ts'
import { securityIdOf } from '../../lib/ntfs/file-identifiers.ts'
import { Mft } from '../../lib/ntfs/mft.ts'
import { NtfsFile } from '../../lib/ntfs/ntfs-file.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { formatSddl } from '../../lib/ntfs/sddl.ts'
import { type AccessControlList, decodeSecurityDescriptor } from '../../lib/ntfs/security-descriptor.ts'
import { SecurityStore } from '../../lib/ntfs/security-store.ts'
import { type CorpusImage, corpusImages } from '../helpers/corpus.ts'
import { run } from '../helpers/run.ts'
import { testWith } from '../helpers/tools.ts'
import { scan } from './listing.ts'
import { volumeBytes, volumeTools } from './volumes.ts'

/** Whether it is a volume and no disk: the program takes nothing else. */
const isVolume = (image: CorpusImage) => image.expected().partitions[0]!.startSector === 0

for (const image of corpusImages('ntfs').filter(isVolume)) {
  testWith(['corpus', 'tar', 'xz', 'ntfssecaudit'], `${image.name}: what ntfssecaudit finds is found`, async () => {
    const path = await image.unpack()
    await using device = await FileDevice.open(path)
    const volume = await NtfsVolume.open(device)
    const mft = await Mft.open(device, volume.geometry, [])
    const store = await SecurityStore.open(mft, [])
    const seen = new Set<number>()
    for (const entry of await scan(await volume.openFiles())) {
      const id = securityIdOf(await NtfsFile.open(mft, entry.reference))
      if (id === 0 || seen.has(id)) continue
      seen.add(id)
      const audit = await run('ntfssecaudit', ['-vv', path, entry.path], { exitCodes: [0, 1] })
      const found = (await store.find(id))!
      expect(found.bytes.toString('hex')).toBe(bytesOf(audit.stdout))
      const { owner, group, dacl, sacl } = decodeSecurityDescriptor(found.bytes, found.position)
      expect([owner, group, ...linesOf(dacl), ...linesOf(sacl)].join('\n')).toBe(partsOf(audit.stdout).join('\n'))
    }
    expect(await store.find(1)).toBeUndefined()
  })
}

/** The dump that ntfssecaudit begins with: an offset of six digits, then words of eight. */
const bytesOf = (audit: string) =>
  [...audit.matchAll(/^ {8}[0-9a-f]{6} ((?: [0-9a-f]{8})+)$/gm)].map(([, words]) => words!.replaceAll(' ', '')).join('')

const linesOf = (list: AccessControlList | undefined) =>
  (list ?? []).map(({ type, flags, mask, sid }) => `${type} ${hex(flags)} ${hex(mask)} ${sid}`)

/** The SIDs of owner and group, then type, flags, mask and SID of each entry. */
function partsOf(audit: string): string[] {
  const one = (text: string, pattern: RegExp) => pattern.exec(text)![1]!
  const [head, ...entries] = audit.split(/^ {4}ACE \d+ at/m)
  return [
    one(head!, /O:dec (\S+)/),
    one(head!, /G:dec (\S+)/),
    ...entries.map(entry =>
      [/type {5}(\S+)/, /flags {4}(\S+)/, /Acc rgts (\S+)/, /dec (S-\S+)/]
        .map(pattern => one(entry, pattern))
        .join(' '),
    ),
  ]
}

testWith(volumeTools, 'a descriptor that is damaged is read from its copy, which is told once', async () => {
  const bytes = await volumeBytes({})
  const openStore = async (findings: Finding[]) => {
    const device = new MemoryDevice(bytes, { readOnly: true })
    const { geometry } = await NtfsVolume.open(device)
    return await SecurityStore.open(await Mft.open(device, geometry, []), findings)
  }
  const FIRST_ID = 0x100
  const findings: Finding[] = []
  const sound = await (await openStore(findings)).find(FIRST_ID)
  expect(findings).toEqual([])
  const clean = Buffer.from(sound!.bytes)
  bytes[sound!.position]! ^= 0xff
  const store = await openStore(findings)
  for (const _ of [1, 2]) expect((await store.find(FIRST_ID))!.bytes).toEqual(clean)
  expect(findings).toMatchObject([{ code: 'NTFS_SECURE_COPY_USED', message: expect.stringContaining('at byte 0x') }])
})

test('what Windows gives to a folder on a new volume, as its own tools write it', async context => {
  const image = corpusImages('ntfs').find(({ name }) => name === 'ntfs/velociraptor/test.ntfs.dd')
  if (image === undefined) return context.skip('there is no corpus')
  await using disk = await FileDevice.open(await image.unpack())
  const { startSector, sectors } = image.expected().partitions[0]!
  const volume = await NtfsVolume.open(new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 }))
  const files = await volume.openFiles()
  const { sddl } = await files.details(await files.stat('/Folder A'))
  const machine = 'S-1-5-21-2378245050-552909339-522783033'
  expect(sddl).toBe(
    `O:${machine}-1001G:${machine}-513D:(A;;FA;;;BA)(A;OICIIO;GA;;;BA)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)` +
      '(A;;0x1301bf;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)',
  )
})

describe('a descriptor by hand', () => {
  /** S-1-5-18. */
  const SYSTEM = '010100000000000512000000'
  const bytesOf = (hexText: string) => Buffer.from(hexText.replaceAll(' ', ''), 'hex')
  const sddlOf = (hexText: string) => formatSddl(decodeSecurityDescriptor(bytesOf(hexText), 0))
  /** With `control` and one list of one entry `ace`, as DACL or SACL; no owner and no group. */
  function withEntry(ace: string, kind: 'dacl' | 'sacl' = 'dacl', control = kind === 'dacl' ? 0x8004 : 0x8010): string {
    const size = Buffer.alloc(2)
    const aceBytes = bytesOf(ace)
    aceBytes.writeUInt16LE(aceBytes.length, 2)
    size.writeUInt16LE(8 + aceBytes.length)
    const flags = Buffer.alloc(2)
    flags.writeUInt16LE(control)
    const offsets = kind === 'dacl' ? '00000000 14000000' : '14000000 00000000'
    return `0100${flags.toString('hex')} 00000000 00000000 ${offsets} 0200${size.toString('hex')}01000000 ${aceBytes.toString('hex')}`
  }

  test.each([
    ['an audit entry', `0240 0000 ff011f00 ${SYSTEM}`, 'sacl', 'S:(AU;SA;FA;;;SY)'],
    ['a label', `1100 0000 01000000 010100000000001000100000`, 'sacl', 'S:(ML;;NW;;;LW)'],
    ['letters for every bit', `0103 0000 00000100 ${SYSTEM}`, 'dacl', 'D:(D;OICI;SD;;;SY)'],
    ['a number where there are not', `0010 0000 00021000 ${SYSTEM}`, 'dacl', 'D:(A;ID;0x100200;;;SY)'],
    [
      'an entry about an object',
      `0500 0000 00010000 01000000 78563412 3412 3412 1234567812345678 ${SYSTEM}`,
      'dacl',
      'D:(OA;;CR;12345678-1234-1234-1234-567812345678;;SY)',
    ],
  ] as const)('%s', (_, ace, kind, sddl) => {
    expect(sddlOf(withEntry(ace, kind))).toBe(sddl)
  })

  test('flags of a list', () => {
    expect(sddlOf(withEntry(`0000 0000 ff011f00 ${SYSTEM}`, 'dacl', 0x9504))).toBe('D:PARAI(A;;FA;;;SY)')
  })

  test('a list that is not there, and one that lets everybody do everything', () => {
    expect(sddlOf(`01000080 14000000 14000000 00000000 00000000 ${SYSTEM}`)).toBe('O:SYG:SY')
    expect(sddlOf('01000480 00000000 00000000 00000000 00000000')).toBe('D:NO_ACCESS_CONTROL')
  })

  test('a large authority is written as a number of twelve digits', () => {
    expect(sddlOf('01000080 14000000 00000000 00000000 00000000 0101 010000000000 05000000')).toBe(
      'O:S-1-0x010000000000-5',
    )
  })

  /** Bytes, and their number before them. */
  const counted = (bytes: Buffer) => Buffer.concat([Buffer.from(Uint32Array.of(bytes.length).buffer), bytes])
  const utf16 = (text: string) => Buffer.from(text, 'utf16le')
  const hexOf = (...parts: readonly (Buffer | number)[]) =>
    parts.map(part => (typeof part === 'number' ? Buffer.of(part) : part).toString('hex')).join('')
  const user = (name: string) => hexOf(0xf9, counted(utf16(name)))
  const resource = (name: string) => hexOf(0xfa, counted(utf16(name)))
  const string = (text: string) => hexOf(0x10, counted(utf16(text)))
  const sid = (bytes: string) => hexOf(0x51, counted(bytesOf(bytes)))
  const list = (...items: readonly string[]) => hexOf(0x50, counted(bytesOf(items.join(''))))
  const number = (value: bigint, base = 2, sign = 3) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(value)
    return hexOf(0x04, bytes, sign, base)
  }
  const condition = (type: string, ...tokens: readonly string[]) =>
    sddlOf(withEntry(`${type}00 0000 a9001200 ${SYSTEM} 61727478 ${tokens.join('')}`))
  const [EQUALS, AT_LEAST, CONTAINS, ANY_OF, AND, OR, NOT] = ['80', '85', '86', '88', 'a0', 'a1', 'a2']
  const [EXISTS, MEMBER_OF] = ['87', '89']

  // The first ones are those of Windows' own store folder and of the examples in [MS-DTYP] 2.5.1.1 and 2.4.4.17.
  test.each([
    [[hexOf(0xf8, counted(utf16('WIN://SYSAPPID'))), EXISTS], '(Exists WIN://SYSAPPID)'],
    [[hexOf(0xf8, counted(utf16('WIN://SYSAPPID'))), string('A.B_8W'), CONTAINS], '(WIN://SYSAPPID Contains "A.B_8W")'],
    [
      [user('Title'), string('PM'), EQUALS, user('Division'), string('Sales'), EQUALS, OR],
      '((@User.Title == "PM") || (@User.Division == "Sales"))',
    ],
    [[user('Project'), resource('Project'), ANY_OF], '(@User.Project Any_of @Resource.Project)'],
    [
      [list(sid(SYSTEM), sid('01020000000000052000000020020000')), MEMBER_OF, NOT, user('a b'), EXISTS, AND],
      '((!(Member_of {SID(SY), SID(BA)})) && (Exists @User.a%0020b))',
    ],
    [[user('n'), number(-5n), AT_LEAST], '(@User.n >= -5)'],
    [[user('n'), number(31n, 3, 1), EQUALS], '(@User.n == +0x1f)'],
    [[user('n'), number(8n, 1), EQUALS], '(@User.n == 010)'],
    [[user('o'), hexOf(0x18, counted(Buffer.of(1, 0xab))), EQUALS], '(@User.o == #01ab)'],
    [[user('here'), '000000'], '(@User.here)'],
  ])('a condition: %#', (tokens, text) => {
    for (const [type, letters] of [
      ['09', 'XA'],
      ['0a', 'XD'],
    ] as const) {
      expect(condition(type, ...tokens)).toBe(`D:(${letters};;0x1200a9;;;SY;${text})`)
    }
  })

  test.each([
    ['no condition', ''],
    ['two', user('a') + user('b')],
    ['an operator without operands', AND],
    ['a name that is cut off', hexOf(0xf9, Buffer.from('ff00000061', 'hex'))],
    ['a list in a list', list(list(string('a')))],
    ['a SID that is longer than it says', hexOf(0x51, counted(bytesOf(SYSTEM).subarray(0, 8)))],
  ])('a condition that is damaged: %s', (_, tokens) => {
    expect(() => condition('09', tokens)).toThrow(FormatError)
  })

  test('data of an entry that is no condition, and tokens that nobody knows, are not put into words', () => {
    expect(() => sddlOf(withEntry(`0900 0000 ff011f00 ${SYSTEM} 61727479`))).toThrow(UnsupportedError)
    expect(() => condition('09', 'ee')).toThrow(UnsupportedError)
    expect(() => sddlOf(withEntry(`1500 0000 ff011f00 ${SYSTEM}`))).toThrow(UnsupportedError)
  })

  /** A resource attribute with `values`, each with what its type has around it. */
  function attribute(type: number, flags: number, ...values: readonly Buffer[]): string {
    const name = utf16('Project\0')
    const head = Buffer.alloc(16 + 4 * values.length)
    head.writeUInt32LE(head.length, 0)
    head.writeUInt16LE(type, 4)
    head.writeUInt32LE(flags, 8)
    head.writeUInt32LE(values.length, 12)
    let end = head.length + name.length
    for (const [i, value] of values.entries()) {
      head.writeUInt32LE(end, 16 + 4 * i)
      end += value.length
    }
    return `1200 0000 00000000 010100000000000100000000 ${hexOf(head, name, ...values)}`
  }
  const eight = (value: bigint) => Buffer.from(BigInt64Array.of(value).buffer)
  const ATTRIBUTES: readonly [text: string, entry: string][] = [
    ['TS,0x0,"Windows","SQL"', attribute(3, 0, utf16('Windows\0'), utf16('SQL\0'))],
    ['TI,0x10020,3000,-1', attribute(1, 0x10020, eight(3000n), eight(-1n))],
    ['TU,0x0,18446744073709551615', attribute(2, 0, eight(-1n))],
    ['TD,0x0,SY', attribute(5, 0, counted(bytesOf(SYSTEM)))],
    ['TB,0x0,1', attribute(6, 0, eight(1n))],
    ['TX,0x0,01ab', attribute(16, 0, counted(Buffer.of(1, 0xab)))],
  ]
  test.each(ATTRIBUTES)('a resource attribute: %s', (text, entry) => {
    expect(sddlOf(withEntry(entry, 'sacl'))).toBe(`S:(RA;;;;;WD;("Project",${text}))`)
  })

  test('a resource attribute that is damaged', () => {
    const [, entry] = ATTRIBUTES[0]!
    const sound = bytesOf(withEntry(entry, 'sacl'))
    const start = 20 + 8 + 8 + 12
    for (const [at, value] of [
      [0, 0xff],
      [4, 99],
      [12, 0xff],
      [16, 0xff],
    ] as const) {
      const bytes = Buffer.from(sound)
      bytes[start + at] = value
      expect(() => formatSddl(decodeSecurityDescriptor(bytes, 0))).toThrow(FormatError)
    }
    // Sixteen thousand values, all of them the same long text.
    const values = Array.from({ length: 10_000 }, () => Buffer.alloc(0))
    const many = bytesOf(withEntry(attribute(3, 0, ...values, Buffer.alloc(20_000, 'x'), utf16('\0')), 'sacl'))
    expect(() => formatSddl(decodeSecurityDescriptor(many, 0))).toThrow(FormatError)
  })

  test('each byte turned over: right, or an error of ours', () => {
    const condition = `0900 0000 a9001200 ${SYSTEM} 61727478 ${user('n') + number(5n) + EQUALS}`
    for (const [entry, kind] of [
      [`0000 0000 ff011f00 ${SYSTEM}`, 'dacl'],
      [condition, 'dacl'],
      [ATTRIBUTES[0]![1], 'sacl'],
    ] as const) {
      turnOver(bytesOf(withEntry(entry, kind)))
    }
  })

  function turnOver(clean: Buffer): void {
    for (let at = 0; at < clean.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const bytes = Buffer.from(clean)
        bytes[at] = value
        try {
          formatSddl(decodeSecurityDescriptor(bytes, 0))
        } catch (error) {
          expect(error instanceof FormatError || error instanceof UnsupportedError).toBe(true)
        }
      }
      expect(() => decodeSecurityDescriptor(clean.subarray(0, at), 0)).toThrow(FormatError)
    }
  }
})
